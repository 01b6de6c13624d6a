"""Plain PyAV: seek, decode up to the window, scale while converting; the same for the audio."""

from __future__ import annotations

import av
import numpy as np
from av.container import InputContainer
from decode.window import Window
from numpy.typing import NDArray

SETTLE_SEC = 0.25  # codecs with overlapping blocks are right only some packets after a seek


def read(path: str, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Read from one container, video first."""
    with av.open(path) as container:
        return read_video(container, window), read_audio(container, window)


def read_video(container: InputContainer, window: Window) -> NDArray[np.uint8]:
    """Return the frames of a window, uint8 (T, H, W, 3)."""
    stream = container.streams.video[0]
    stream.thread_type, stream.thread_count = "NONE", 1
    container.seek(round(window.start_sec / stream.time_base), stream=stream)
    first_sec = window.start_sec - 0.5 / window.fps
    frames: list[NDArray[np.uint8]] = []
    for frame in container.decode(stream):
        if frame.time < first_sec:
            continue
        frames.append(
            frame.to_ndarray(
                format="rgb24", width=window.width, height=window.height, interpolation="AREA"
            )
        )
        if len(frames) == window.num_frames:
            break
    return np.stack(frames)


def read_audio(container: InputContainer, window: Window) -> NDArray[np.float32]:
    """Return the samples of a window, float32 (N,)."""
    stream = container.streams.audio[0]
    resampler = av.AudioResampler("fltp", "mono", window.sample_rate_hz)
    early_sec = max(0.0, window.start_sec - SETTLE_SEC)
    container.seek(round(early_sec / stream.time_base), stream=stream)
    parts: list[NDArray[np.float32]] = []
    begin_sec, count = None, 0
    for frame in container.decode(stream):
        if begin_sec is None:
            begin_sec = frame.time
        for part in resampler.resample(frame):
            parts.append(part.to_ndarray()[0])
            count += len(parts[-1])
        if begin_sec + count / window.sample_rate_hz >= window.end_sec:
            break
    skip = round((window.start_sec - (begin_sec or 0.0)) * window.sample_rate_hz)
    return np.concatenate(parts)[skip : skip + window.num_samples]
