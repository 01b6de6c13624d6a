"""This project."""

from __future__ import annotations

import numpy as np
from decode.window import Window
from numpy.typing import NDArray

from slowfast.datasets.decoding.reader import open_media


def read(path: str, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read as the datasets do: times in the middle of the frames, then the audio."""
    times = (window.first + 0.5 + np.arange(window.num_frames)) / window.fps
    with open_media(path) as reader:
        frames = reader.read_video(times, short_side=min(window.width, window.height))
        audio, _ = reader.read_audio(window.start_sec, window.num_samples, window.sample_rate_hz)
    return frames, audio
