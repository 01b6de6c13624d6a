"""Every kind of file that datasets hold does what it should (see helpers/media_kinds.py)."""

import numpy as np
import pytest
from helpers.media_files import read_numbers
from helpers.media_kinds import KINDS, make_kind
from reference.plain_decode import decode_audio, decode_video, shown_at

from slowfast.datasets.decoding.reader import MediaError, open_media, probe_media

pytestmark = pytest.mark.av

RATE = 24000
WHOLE = [name for name, kind in KINDS.items() if kind.expect == "ok"]
WITH_VIDEO = [name for name in WHOLE if KINDS[name].video]
WITH_AUDIO = [name for name in WHOLE if KINDS[name].has_audio]
NOISY = {"audio_ac3.mp4"}  # decoders add noise of their own
GAPS = {"fragmented.mp4"}  # the container says that audio is missing
LIFTED = {"audio_5p1.mp4"}  # another mix than the mean
SHORT = {"audio_10ms.wav"}  # shorter than a window


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make files when they are asked for, once."""
    root, paths = tmp_path_factory.mktemp("kinds"), {}

    def make(name):
        if name not in paths:
            paths[name] = make_kind(name, root / str(len(paths)))
        return paths[name]

    return make


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.expect == "error"])
def test_what_is_no_media_is_refused_when_opened(made, name):
    path = made(name)
    with pytest.raises(MediaError) as caught:
        open_media(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", WHOLE)
def test_facts(made, name):
    kind, info = KINDS[name], probe_media(made(name))
    assert (info.has_video, info.has_audio) == (kind.video is not None, kind.has_audio)
    if kind.video:
        video = kind.video
        assert (info.width, info.height) == (kind.shown_size or video.size)
        assert info.rotation == video.rotation
        num_frames = len(video.ticks) - kind.first_number
        late = video.ticks[0] / video.fps if kind.has_audio and video.ticks[0] == 30 else 0
        assert info.video_start_sec == pytest.approx(late, abs=0.11)
        length = (video.ticks[-1] - video.ticks[0] + 1) * num_frames / len(video.ticks) / video.fps
        assert info.video_end_sec - info.video_start_sec == pytest.approx(float(length), abs=0.11)
    if kind.has_audio:
        assert info.audio_end_sec > info.audio_start_sec >= 0
    assert min(info.video_start_sec, info.audio_start_sec) == pytest.approx(0, abs=0.04)


@pytest.mark.parametrize("name", WITH_VIDEO)
def test_windows_equal_plain_decoding(made, name):
    """In any order, on one reader, with reads of the audio between them."""
    path, kind = made(name), KINDS[name]
    times, frames, tick = decode_video(path)
    rng = np.random.default_rng(0)
    with open_media(path) as reader:
        info = reader.info
        start, end = info.video_start_sec, info.video_end_sec
        for share in [0.0, 1.0, *rng.random(8), *sorted(rng.random(4))]:
            instants = start + share * (end - start) + (np.arange(6) + 0.37) / 19 - 0.02
            shown = shown_at(times, instants + info.zero_sec, tick)
            got = reader.read_video(instants)
            if kind.shown_size in (None, got.shape[2:0:-1]) and kind.video.aspect is None:
                np.testing.assert_array_equal(got, frames[shown])
            upright = got if not info.rotation else np.rot90(got, -1, axes=(1, 2))
            if name != "interlaced.mp4":
                assert read_numbers(upright) == [kind.first_number + k for k in shown]
            if share > 0.8:
                reader.read_audio(share, 100, RATE)


@pytest.mark.parametrize("name", WITH_AUDIO)
def test_audio_equals_plain_decoding(made, name):
    path = made(name)
    start, whole = decode_audio(path, RATE)
    compared = 0
    with open_media(path) as reader:
        info = reader.info
        offset = np.floor((start - info.zero_sec) * RATE + 0.5).astype(int)
        length = info.audio_end_sec - info.audio_start_sec
        for share in (0.5, 0.0, 0.3, 0.31, 0.8, 0.9):
            begin = info.audio_start_sec + share * length
            audio, valid = reader.read_audio(begin, 3000, RATE)
            assert audio.dtype == np.float32
            assert abs(audio).max() <= 1
            if valid < 1 or name in GAPS | LIFTED:
                continue
            first = int(np.floor(begin * RATE + 0.5)) - offset
            expected = whole[first : first + 3000]
            inside = slice(50 if first < 50 else 0, len(expected) - 50)
            tolerance = 0.02 if name in NOISY else 1e-4
            np.testing.assert_allclose(
                audio[: len(expected)][inside], expected[inside], atol=tolerance
            )
            compared += 1
    assert compared or name in GAPS | LIFTED | SHORT


@pytest.mark.parametrize("name", WITH_AUDIO)
def test_audio_does_not_depend_on_what_was_read_before(made, name):
    path = made(name)
    starts = [0.9, 0.0, 0.4, 0.45, 1.6]
    with open_media(path) as reader:
        windows = [reader.read_audio(start, 4000, RATE)[0] for start in starts]
    for start, window in zip(starts, windows, strict=True):
        with open_media(path) as reader:
            if start > 0.5 and KINDS[name].video:
                reader.read_video([start])
            np.testing.assert_array_equal(reader.read_audio(start, 4000, RATE)[0], window)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.expect == "partial"])
def test_damaged_files_give_true_frames_or_an_error(made, name):
    path = made(name)
    outcomes = []
    with open_media(path) as reader:
        start, end = reader.video_extent_sec
        for share in np.linspace(0, 0.95, 12):
            instants = start + share * (end - start) + np.arange(4) / 30 + 0.01
            try:
                frames = reader.read_video(instants, short_side=48)
            except MediaError:
                outcomes.append("error")
            else:
                outcomes.append("frames")
                assert frames.shape == (4, 48, 72, 3)
                behind = np.floor((instants - start) * 30 + 0.02).clip(0, 59) - read_numbers(frames)
                if not name.startswith("corrupt"):  # not all damage can be noticed
                    assert behind.min() >= 0  # a whole frame, shown or held
                    assert behind[0] <= 3 or behind[-1] == 0  # and one of the window's own
            audio, share_valid = _audio_or_nothing(reader, share * (end - start))
            assert np.isfinite(audio).all()
            assert 0 <= share_valid <= 1
    if not name.startswith("corrupt"):
        assert outcomes[0] == "frames"
    if name in ("corrupt_payload.mp4", "truncated_faststart_half.mp4"):
        assert outcomes[-1] == "error"


MUTATED = ["ok_reference.mp4", "h264_aac.ts", "with_subtitles.mkv", "mpeg4_mp3.avi", "audio.ogg"]


@pytest.mark.parametrize("name", [*MUTATED, "vp9_opus.webm", "flv1_mp3.flv", "audio_f32_48k.wav"])
def test_whatever_the_bytes_a_file_is_read_or_refused(made, name, tmp_path):
    whole, path = made(name).read_bytes(), tmp_path / name
    rng = np.random.default_rng(0)
    for _ in range(15):
        data = np.frombuffer(whole, np.uint8).copy()
        reach = len(data) if rng.random() < 0.5 else min(len(data), 3000)
        data[rng.integers(reach, size=rng.integers(1, 60))] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data))] if rng.random() < 0.3 else data)
        try:
            with open_media(path) as reader:
                start = rng.random() * min(reader.info.duration_sec, 5.0)
                audio, share = _audio_or_nothing(reader, start)
                assert np.isfinite(audio).all()
                assert 0 <= share <= 1
                frames = reader.read_video(start + np.arange(5) / 25, short_side=32)
                assert len(frames) == 5
        except MediaError as error:
            assert str(path) in str(error)  # noqa: PT017


def _audio_or_nothing(reader, start_sec):
    try:
        return reader.read_audio(start_sec, 1000, RATE)
    except MediaError:
        return np.zeros(1000), 0.0
