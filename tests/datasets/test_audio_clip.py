"""Audio of clips; the loop against numpy's own indexing of the whole track."""

import numpy as np
import pytest
from helpers.media_files import Audio, Video, write_media

from slowfast.datasets.annotations.manifest import VideoRecord
from slowfast.datasets.decoding.audio_clip import load_audio_clip, load_audio_looped
from slowfast.datasets.decoding.clip_reader import open_row
from slowfast.datasets.decoding.reader import open_media

RATE = 16000
PCM = Audio("pcm_s16le", RATE, "mono", {})


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two seconds of audio that is different everywhere."""
    return write_media(tmp_path_factory.mktemp("audio") / "sweep.wav", PCM)


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """A video of two seconds whose audio lasts from 0.5 to 1.5 s."""
    audio = PCM._replace(start_sec=0.5, seconds=1.0)
    folder = tmp_path_factory.mktemp("late")
    return write_media(folder / "late.mkv", Video(), audio)


def whole(path):
    with open_media(path) as reader:
        first, last = reader.audio_extent_sec
        return reader.read_audio(first, round((last - first) * RATE), RATE)[0]


@pytest.mark.parametrize("start", [0.0, 0.3, 1.9, 2.0, 5.25, -0.7])
@pytest.mark.parametrize("seconds", [0.5, 2.0, 4.6])
def test_a_loop_goes_on_at_its_start(sweep, start, seconds):
    track, num = whole(sweep), round(seconds * RATE)
    expected = track[(round(start * RATE) + np.arange(num)) % len(track)]
    with open_media(sweep) as reader:
        audio, share = load_audio_looped(reader, start, num, RATE)
    assert share == pytest.approx(1)
    np.testing.assert_allclose(audio, expected, atol=1e-6)


def test_the_loop_is_the_track_and_not_the_video(late):
    track = whole(late)
    assert len(track) == pytest.approx(RATE, abs=RATE // 100)
    with open_media(late) as reader:
        audio, share = load_audio_looped(reader, 1.25, RATE // 2, RATE)
    assert share == pytest.approx(1, abs=0.01)
    at = (round(0.75 * RATE) + np.arange(RATE // 2)) % len(track)
    np.testing.assert_allclose(audio[:3900], track[at][:3900], atol=1e-6)


def test_the_loop_of_a_window_is_the_window(sweep):
    track = whole(sweep)[RATE // 2 : RATE]
    with open_row(VideoRecord(str(sweep), start_sec=0.5, end_sec=1.0)) as reader:
        audio, _ = load_audio_looped(reader, 0.9, RATE // 4, RATE)
    expected = track[(round(0.4 * RATE) + np.arange(RATE // 4)) % len(track)]
    np.testing.assert_allclose(audio, expected, atol=1e-6)


def test_without_a_shift_windows_are_read_plainly(late):
    with open_media(late) as reader:
        entries = load_audio_clip(reader, [0.0, 0.6, 1.4], clip_sec=0.4, sample_rate_hz=RATE)
        expected = [reader.read_audio(start, 6400, RATE)[0] for start in (0.0, 0.6, 1.4)]
    np.testing.assert_array_equal(entries["audio"], expected)
    assert entries["audio_valid"].tolist() == [False, True, False]


def test_a_shift_moves_the_audio_of_every_clip(sweep):
    with open_media(sweep) as reader:
        options = {"clip_sec": 0.5, "sample_rate_hz": RATE}
        shifted = load_audio_clip(reader, [0.2, 1.4], **options, shift_sec=0.75)
        first = reader.read_audio(0.95, 8000, RATE)[0]
    np.testing.assert_allclose(shifted["audio"][0], first, atol=1e-6)
    track = whole(sweep)
    expected = track[(round(2.15 * RATE) + np.arange(8000)) % len(track)]
    np.testing.assert_allclose(shifted["audio"][1], expected, atol=1e-6)
    assert shifted["audio_valid"].all()


def test_no_audio_is_no_fault(tmp_path):
    silent = write_media(tmp_path / "silent.mp4", Video(ticks=range(9)))
    for shift in (0.0, 0.4):
        with open_media(silent) as reader:
            entries = load_audio_clip(
                reader, [0.0], clip_sec=0.1, sample_rate_hz=RATE, shift_sec=shift
            )
        assert not entries["audio"].any()
        assert not entries["audio_valid"].any()


def test_nothing_is_read_where_nothing_is_wanted(sweep):
    with open_media(sweep) as reader:
        assert load_audio_clip(reader, [0.0], clip_sec=0.0, sample_rate_hz=RATE) == {}


def test_the_share_that_counts_as_audio_can_be_chosen(late):
    with open_media(late) as reader:
        for share, is_valid in ((0.2, True), (0.5, False)):
            options = {"clip_sec": 1.0, "sample_rate_hz": RATE, "min_share": share}
            assert load_audio_clip(reader, [1.2], **options)["audio_valid"].tolist() == [is_valid]
