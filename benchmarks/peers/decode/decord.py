"""decord2: VideoReader with the size that is wanted, AudioReader at the sample rate."""

from __future__ import annotations

import decord
import numpy as np
from decode.window import Window
from numpy.typing import NDArray

decord.logging.set_level(decord.logging.ERROR)


def read(path: str, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read frames and samples by index."""
    video = decord.VideoReader(path, width=window.width, height=window.height, num_threads=1)
    frames = video.get_batch(range(window.first, window.first + window.num_frames)).asnumpy()
    audio = decord.AudioReader(path, sample_rate=window.sample_rate_hz, mono=True)
    start = round(window.start_sec * window.sample_rate_hz)
    count = min(window.num_samples, audio.shape[1] - start)
    return frames, audio.get_batch(range(start, start + count)).asnumpy()[0]
