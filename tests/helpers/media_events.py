"""Finding the planted flash and click of a media file, to tell whether its tracks are in step."""

import numpy as np

from slowfast.datasets.decoding.reader import open_media

RATE = 24000


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
