"""Temporal sampling: start times of clips and times of their frames, in seconds.

Pure functions: they neither open files nor read the configuration.

Legend: T frames of a clip.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slowfast.config.problems import ParameterError

__all__ = [
    "clip_duration_sec",
    "even_clip_starts",
    "frame_times",
    "random_clip_start",
]


def clip_duration_sec(num_frames: int, sampling_rate: float, target_fps: float) -> float:
    """Return the duration of a clip.

    Each frame represents a bin of ``sampling_rate / target_fps`` seconds, so a clip of T frames
    lasts T bins.

    Args:
        num_frames: T.
        sampling_rate: Distance between two frames, in frames at ``target_fps``.
        target_fps: Frame rate that the distance refers to, in Hz.

    Returns:
        The duration, in seconds.

    Raises:
        ValueError: If a number is not positive.
    """
    _check_positive(num_frames=num_frames, sampling_rate=sampling_rate, target_fps=target_fps)
    return num_frames * sampling_rate / target_fps


def frame_times(
    start_sec: float, num_frames: int, sampling_rate: float, target_fps: float
) -> NDArray[np.float64]:
    """Return the times of a clip's frames: the centers of their bins.

    In a video of the same frame rate, the centers are as far as possible from the times at which
    the displayed frame changes, so that rounded timestamps never select a neighboring frame.

    Args:
        start_sec: Start of the clip, in seconds.
        num_frames: T.
        sampling_rate: Distance between two frames, in frames at ``target_fps``.
        target_fps: Frame rate that the distance refers to, in Hz.

    Returns:
        float64 (T,), ascending, in seconds.

    Raises:
        ValueError: If a number is not positive.
    """
    bin_sec = clip_duration_sec(num_frames, sampling_rate, target_fps) / num_frames
    return start_sec + (np.arange(num_frames, dtype=np.float64) + 0.5) * bin_sec


def random_clip_start(
    extent_start: float, extent_end: float, clip_sec: float, rng: np.random.Generator
) -> float:
    """Sample the start of a training clip, uniformly over all starts that keep it in the video.

    Exactly one random number is used, so that later numbers do not depend on the video's length.

    Args:
        extent_start: Start of the video, in seconds.
        extent_end: End of the video, in seconds.
        clip_sec: Length of the clip, in seconds.
        rng: The sample's random generator.

    Returns:
        The start, in seconds; ``extent_start`` if the clip is longer than the video.
    """
    return extent_start + rng.random() * max(0.0, extent_end - clip_sec - extent_start)


def even_clip_starts(
    extent_start: float, extent_end: float, clip_sec: float, num_views: int
) -> NDArray[np.float64]:
    """Return the starts of test clips, evenly spaced from the start to the end of the video.

    Args:
        extent_start: Start of the video, in seconds.
        extent_end: End of the video, in seconds.
        clip_sec: Length of a clip, in seconds.
        num_views: Number of clips; a single one is centered.

    Returns:
        float64 (num_views,), ascending, in seconds. The first clip starts at ``extent_start``, the
        last one ends at ``extent_end``. If the clip is longer than the video, all start at
        ``extent_start``.

    Raises:
        ValueError: If ``num_views`` is not positive.
    """
    _check_positive(num_views=num_views)
    last = max(extent_start, extent_end - clip_sec)
    if num_views == 1:
        return np.array([(extent_start + last) / 2])
    return np.linspace(extent_start, last, num_views)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ParameterError(name, f"got {value}; expected a positive number.")
