"""Files cached decoded read like the files themselves."""

import math
import os

import numpy as np
import pytest

from slowfast.config import get_cfg
from slowfast.datasets.annotations.manifest import VideoRecord
from slowfast.datasets.decoding.clip_reader import open_row
from slowfast.datasets.decoding.decode_cache import DecodedFiles
from slowfast.datasets.decoding.reader import MediaError
from slowfast.datasets.demo.generator import generate_demo
from slowfast.datasets.demo.scene_spec import DemoSpec
from tests.helpers.media_files import Video, write_media
from tests.helpers.media_kinds import make_kind

RATE = 16000


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """One real file with audio, of the demo set."""
    folder = tmp_path_factory.mktemp("demo")
    spec = DemoSpec(num_train_per_class=1, num_test_per_class=1)
    return sorted(generate_demo(folder, spec).rglob("*.mp4"))[0]


def files(folder, **settings):
    return DecodedFiles(folder / "decoded", settings.pop("short_side", 40), RATE, **settings)


def read(reader):
    """Frames and audio of windows inside, across the edges, and outside."""
    times = [np.linspace(a, a + 1.3, 9) for a in (-0.4, 0.0, 0.71, 2.6, 5.0)]
    starts = (-0.5, 0.0, 0.31, 1.7, 2.9, 7.0)
    return (
        [reader.read_video(t, short_side=40) for t in times],
        [reader.read_audio(start, 12345, RATE) for start in starts],
    )


@pytest.mark.parametrize("window", [(0.0, math.inf), (0.5, 2.2)])
def test_samples_are_the_same(tmp_path, clip, window):
    row = VideoRecord(str(clip), 0, *window)
    kept = files(tmp_path)
    with open_row(row) as reader:
        frames, audio = read(reader)
        extents = reader.video_extent_sec, reader.audio_extent_sec
    for _ in range(2):  # decoded now; then from the folder
        with kept.open(row) as reader:
            kept_frames, kept_audio = read(reader)
            assert (reader.video_extent_sec, reader.audio_extent_sec) == extents
        np.testing.assert_array_equal(kept_frames, frames)
        for (wave, share), (expected, expected_share) in zip(kept_audio, audio, strict=True):
            # AAC leaves noise to the decoder's chance, which depends on where decoding starts.
            differs = np.abs(wave - expected) > 1e-6
            assert differs.mean() < 0.05
            np.testing.assert_allclose(wave, expected, atol=0.02)
            assert share == pytest.approx(expected_share, abs=0.1)
    assert len(list((tmp_path / "decoded").rglob("*.npz"))) == 1


def test_a_kept_file_is_not_decoded_again_until_it_changes(tmp_path, clip, monkeypatch):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    kept, row = files(tmp_path), VideoRecord(str(copy))
    kept.open(row).close()
    opened = []

    def refuse(path, **_):
        opened.append(path)
        raise MediaError(str(path), "opened")

    monkeypatch.setattr("slowfast.datasets.decoding.decode_cache.open_media", refuse)
    kept.open(row).close()
    assert not opened
    os.utime(copy, (1, 1))
    with pytest.raises(MediaError, match="opened"):
        kept.open(row)


def test_a_damaged_entry_is_made_again(tmp_path, clip):
    kept, row = files(tmp_path), VideoRecord(str(clip))
    kept.open(row).close()
    entry = next((tmp_path / "decoded").rglob("*.npz"))
    size = entry.stat().st_size
    entry.write_bytes(entry.read_bytes()[:1000])
    with kept.open(row) as reader:
        assert reader.read_video(np.array([0.0]), short_side=40).shape == (1, 40, 40, 3)
    assert entry.stat().st_size == size


def test_settings_have_entries_of_their_own(tmp_path, clip):
    row = VideoRecord(str(clip))
    for side in (40, 20, None):
        with files(tmp_path, short_side=side).open(row) as reader:
            shape = reader.read_video(np.array([0.0]), short_side=side).shape
        assert shape == (1, side or 64, side or 64, 3)


def test_another_rate_is_refused(tmp_path, clip):
    reader = files(tmp_path).open(VideoRecord(str(clip)))
    with pytest.raises(ValueError, match=r"sample_rate_hz: got 8000; .* is cached at 16000"):
        reader.read_audio(0.0, 10, 8000)


def test_what_a_file_lacks_is_said_as_the_reader_does(tmp_path):
    silent = tmp_path / "silent.mp4"
    write_media(silent, Video())
    with files(tmp_path).open(VideoRecord(str(silent))) as reader:
        assert reader.read_audio(0.0, 10, RATE)[1] == 0.0
        with pytest.raises(MediaError, match="no audio"):
            _ = reader.audio_extent_sec
    reader = files(tmp_path, with_video=False).open(VideoRecord(str(silent)))
    with pytest.raises(MediaError, match="no video"):
        reader.read_video(np.array([0.0]))


def test_what_is_missing_damaged_or_large_is_not_kept(tmp_path, clip, monkeypatch):
    kept = files(tmp_path)
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        kept.open(VideoRecord(str(tmp_path / "gone.mp4")))
    monkeypatch.setattr("slowfast.datasets.decoding.decode_cache._LARGEST_BYTES", 1000)
    with kept.open(VideoRecord(str(clip))) as reader:
        assert len(reader.read_video(np.array([0.0, 1.0]), short_side=40)) == 2
    monkeypatch.setattr("slowfast.datasets.decoding.decode_cache._LARGEST_BYTES", 10**9)
    monkeypatch.setattr("slowfast.datasets.decoding.decode_cache._LONGEST_SEC", 1.0)
    kept.open(VideoRecord(str(clip))).close()
    monkeypatch.setattr("slowfast.datasets.decoding.decode_cache._LONGEST_SEC", 1000.0)
    damaged = make_kind("corrupt_light.mp4", tmp_path / "made")
    kept.open(VideoRecord(str(damaged))).close()
    assert not list((tmp_path / "decoded").rglob("*.npz"))


def test_without_room_files_are_decoded_each_time(tmp_path, clip):
    kept = files(tmp_path)
    kept.folder.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="CACHE_DECODED: cannot write"):
        reader = kept.open(VideoRecord(str(clip)))
    assert reader.read_video(np.array([0.0]), short_side=40).shape == (1, 40, 40, 3)


def test_the_key_turns_it_on(monkeypatch, tmp_path):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    cfg = get_cfg()
    assert DecodedFiles.from_cfg(cfg) is None
    cfg.DATA_LOADER.CACHE_DECODED = True
    cfg.DATA.DECODING_SHORT_SIZE = 0
    assert DecodedFiles.from_cfg(cfg) == (
        tmp_path / "decoded",
        None,
        cfg.AUDIO.SAMPLE_RATE,
        True,
        cfg.AUDIO.ENABLE,
        30.0,
        "",
    )
