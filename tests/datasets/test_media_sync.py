"""A click and a flash planted at one instant are found at one instant, whatever the container."""

import numpy as np
import pytest
from helpers.media_events import RATE, find_click, find_flash
from helpers.media_files import Audio, Video, remux, write_media

from slowfast.datasets.decoding.reader import open_media

EVENT_FRAME = 40
EVENT_SEC = EVENT_FRAME / 30
VFR_TICKS = [0, 1, 2, 5, 6, 7, 20, 21, 33, 34, 40, 41, 42, 47, 48, 59]
VIDEO = Video(flash=EVENT_FRAME)
AUDIO = Audio(click_sec=EVENT_SEC)


def _write(path, video=VIDEO, audio=AUDIO, **options):
    return write_media(path, video, audio, **options)


def _cut(path):
    """Start between keyframes, by an edit list: the event moves by 0.9 s in both tracks."""
    return remux(_write(path.with_name("whole.mp4")), path, from_sec=0.9, shift_sec=-0.9)


def _late_audio(path):
    return _write(path, audio=Audio(start_sec=0.5, seconds=1.5, click_sec=EVENT_SEC - 0.5))


def _late_video(path):
    return _write(path, video=Video(ticks=range(25, 60), flash=EVENT_FRAME - 25))


def _late_file(path):
    video = Video(ticks=range(300, 360), flash=EVENT_FRAME)
    return _write(path, video, Audio(start_sec=10.0, click_sec=EVENT_SEC))


def _vfr(path):
    return _write(path, video=Video(ticks=VFR_TICKS, flash=VFR_TICKS.index(EVENT_FRAME)))


def _webm(path):
    video = VIDEO._replace(codec="libvpx", options={"deadline": "realtime", "b": "500k"})
    return _write(path, video, AUDIO._replace(codec="libopus", rate=48000, options={}))


def _avi(path):
    video = VIDEO._replace(codec="mpeg4", options={"bf": "2", "b": "800k"})
    return _write(path, video, AUDIO._replace(codec="libmp3lame", options={}))


def _rate_2997(path):
    video = Video(fps=30, ticks=range(60), flash=EVENT_FRAME)
    return _write(path, video._replace(fps=29), AUDIO._replace(click_sec=EVENT_FRAME / 29))


WRITERS = {
    "plain.mp4": _write,
    "plain.mkv": _write,
    "plain.mov": _write,
    "plain.ts": lambda path: _write(path, container="mpegts"),
    "vfr.mp4": _vfr,
    "late_audio.mp4": _late_audio,
    "late_video.mp4": _late_video,
    "late_video.mkv": _late_video,
    "late_file.mkv": _late_file,
    "cut.mp4": _cut,
    "vp8_opus.webm": _webm,
    "fps29.mp4": _rate_2997,
}


@pytest.mark.parametrize("name", WRITERS)
def test_click_and_flash_are_simultaneous(tmp_path, name):
    path = WRITERS[name](tmp_path / name)
    flash, click = find_flash(path), find_click(path)
    assert abs(flash - click) < 0.010
    if name not in ("cut.mp4", "plain.ts", "fps29.mp4"):
        assert abs(click - EVENT_SEC) < 0.010


def test_avi_has_no_timestamps_and_may_be_two_frames_late(tmp_path):
    path = _avi(tmp_path / "plain.avi")
    assert abs(find_flash(path) - EVENT_SEC) < 2.1 / 30
    assert abs(find_click(path) - EVENT_SEC) < 0.050


def test_a_late_track_starts_late_on_the_files_clock(tmp_path):
    with open_media(_late_audio(tmp_path / "late.mp4")) as reader:
        assert reader.info.audio_start_sec == pytest.approx(0.5, abs=0.03)
        audio, share = reader.read_audio(0.0, RATE // 4, RATE)
        assert not audio.any()
        assert share == 0
    with open_media(_late_video(tmp_path / "late.mkv")) as reader:
        assert reader.video_extent_sec[0] == pytest.approx(25 / 30, abs=0.03)
        early = reader.read_video([0.0, 0.1, 25.5 / 30])
        np.testing.assert_array_equal(early[0], early[2])
