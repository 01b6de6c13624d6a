"""A click and a flash planted at one instant are found at one instant, whatever the container."""

import numpy as np
import pytest
from helpers.media_events import (
    AUDIO,
    EVENT_FRAME,
    EVENT_SEC,
    RATE,
    VIDEO,
    cut,
    find_click,
    find_flash,
    late_audio,
    late_file,
    late_video,
    plain,
    vfr,
)
from helpers.media_files import Video, write_media

from slowfast.datasets.decoding.reader import open_media


def _webm(path):
    video = VIDEO._replace(codec="libvpx", options={"deadline": "realtime", "b": "500k"})
    return write_media(path, video, AUDIO._replace(codec="libopus", rate=48000, options={}))


def _avi(path):
    video = VIDEO._replace(codec="mpeg4", options={"bf": "2", "b": "800k"})
    return write_media(path, video, AUDIO._replace(codec="libmp3lame", options={}))


def _rate_2997(path):
    video = Video(fps=30, ticks=range(60), flash=EVENT_FRAME)
    return write_media(path, video._replace(fps=29), AUDIO._replace(click_sec=EVENT_FRAME / 29))


WRITERS = {
    "plain.mp4": plain,
    "plain.mkv": plain,
    "plain.mov": plain,
    "plain.ts": lambda path: write_media(path, VIDEO, AUDIO, container="mpegts"),
    "vfr.mp4": vfr,
    "late_audio.mp4": late_audio,
    "late_video.mp4": late_video,
    "late_video.mkv": late_video,
    "late_file.mkv": late_file,
    "cut.mp4": cut,
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
    with open_media(late_audio(tmp_path / "late.mp4")) as reader:
        assert reader.info.audio_start_sec == pytest.approx(0.5, abs=0.03)
        audio, share = reader.read_audio(0.0, RATE // 4, RATE)
        assert not audio.any()
        assert share == 0
    with open_media(late_video(tmp_path / "late.mkv")) as reader:
        assert reader.video_extent_sec[0] == pytest.approx(25 / 30, abs=0.03)
        early = reader.read_video([0.0, 0.1, 25.5 / 30])
        np.testing.assert_array_equal(early[0], early[2])
