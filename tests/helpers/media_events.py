"""A flash and a click planted at one instant, and found again: are the tracks of a file in step?"""

import numpy as np
from helpers.media_files import Audio, Video, remux, write_media

from slowfast.datasets.decoding.reader import open_media

RATE = 24000
EVENT_FRAME = 40
EVENT_SEC = EVENT_FRAME / 30
VIDEO = Video(flash=EVENT_FRAME)
AUDIO = Audio(click_sec=EVENT_SEC)
VFR_TICKS = [0, 1, 2, 5, 6, 7, 20, 21, 33, 34, 40, 41, 42, 47, 48, 59]


def plain(path):
    return write_media(path, VIDEO, AUDIO)


def late_audio(path):
    return write_media(path, VIDEO, Audio(start_sec=0.5, seconds=1.5, click_sec=EVENT_SEC - 0.5))


def late_video(path):
    return write_media(path, Video(ticks=range(25, 60), flash=EVENT_FRAME - 25), AUDIO)


def late_file(path):
    video = Video(ticks=range(300, 360), flash=EVENT_FRAME)
    return write_media(path, video, Audio(start_sec=10.0, click_sec=EVENT_SEC))


def vfr(path):
    video = Video(ticks=VFR_TICKS, flash=VFR_TICKS.index(EVENT_FRAME))
    return write_media(path, video, AUDIO)


def cut(path):
    """Start between keyframes, by an edit list: the event moves by 0.9 s in both tracks."""
    return remux(plain(path.with_name("whole.mp4")), path, from_sec=0.9, shift_sec=-0.9)


def find_flash(path):
    """Return when the first bright frame appears."""
    with open_media(path) as reader:
        for start_sec, frame in reader.iter_video(short_side=32):
            if frame[len(frame) * 3 // 4 :].mean() > 225:
                return start_sec
    raise AssertionError(f"{path}: no frame is bright")


def find_click(path):
    """Return when the click is heard."""
    with open_media(path) as reader:
        count = round(reader.info.audio_end_sec * RATE)
        audio = np.abs(reader.read_audio(0.0, count, RATE)[0])
    loud = np.flatnonzero(audio > 0.6 * audio.max())
    assert loud[-1] - loud[0] < 0.005 * RATE
    return float(loud.mean() / RATE)
