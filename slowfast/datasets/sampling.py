"""Where clips lie in a video, in seconds on the file's clock.

Pure functions; nothing here opens a file or reads the configuration.

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
    """Return how long a clip lasts.

    A frame stands for the ``sampling_rate / target_fps`` seconds around it, so T frames last T such
    bins, the first and the last included.

    Args:
        num_frames: T.
        sampling_rate: Distance of two frames, in frames at ``target_fps``.
        target_fps: Frame rate the distance refers to, in Hz.

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
    """Return the instants at which a clip looks at the video: the centers of its bins.

    Centers lie as far as can be from the instants at which a video of the same frame rate changes
    its frame, so that rounded timestamps never pick the neighbor.

    Args:
        start_sec: Where the clip starts.
        num_frames: T.
        sampling_rate: Distance of two frames, in frames at ``target_fps``.
        target_fps: Frame rate the distance refers to, in Hz.

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
    """Draw where a training clip starts, uniformly over all starts that keep it inside.

    Always draws exactly one number, so that later draws do not depend on the video's length.

    Args:
        extent_start: First instant of the video, in seconds.
        extent_end: Last instant of the video, in seconds.
        clip_sec: Length of the clip, in seconds.
        rng: The sample's generator.

    Returns:
        The start, in seconds; the extent's start when the clip is longer than the video.
    """
    return extent_start + rng.random() * max(0.0, extent_end - clip_sec - extent_start)


def even_clip_starts(
    extent_start: float, extent_end: float, clip_sec: float, num_views: int
) -> NDArray[np.float64]:
    """Return where the clips of a test start: evenly spread, from the very start to the very end.

    Args:
        extent_start: First instant of the video, in seconds.
        extent_end: Last instant of the video, in seconds.
        clip_sec: Length of a clip, in seconds.
        num_views: Clips; one is put in the center.

    Returns:
        float64 (num_views,), ascending, in seconds: the first is the extent's start, the last clip
        ends at its end. All start at the extent's start when the clip is longer than the video.

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
