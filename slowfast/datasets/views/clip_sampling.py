"""Which frames a clip has: ``DATA.SAMPLING``.

``TimeBins`` is this framework's own way; ``PySlowFastClips`` and ``Segments`` are PySlowFast's,
which count frames. Frame i of a video of N frames is the one displayed in the middle of the i-th of
N equal intervals of ``1 / fps`` seconds: frame i itself if the frame rate is constant.

Legend: T frames of a clip, N frames of a video.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from slowfast.config import CfgNode, Problem, register_check
from slowfast.datasets.views.sampling import clip_duration_sec, even_clip_starts, frame_times
from slowfast.utils.registry import nearest

__all__ = [
    "AUTO",
    "PYSLOWFAST",
    "SAMPLINGS",
    "SEGMENTS",
    "TIME_BINS",
    "ClipSampling",
    "PySlowFastClips",
    "Segments",
    "TimeBins",
    "VideoSpan",
    "build_clip_sampling",
    "check_sampling",
]

AUTO, TIME_BINS, PYSLOWFAST, SEGMENTS = "auto", "time_bins", "pyslowfast", "segments"
SAMPLINGS = (AUTO, TIME_BINS, PYSLOWFAST, SEGMENTS)
"""Values of DATA.SAMPLING."""


class VideoSpan(NamedTuple):
    """The time that a video lasts.

    Attributes:
        start_sec: Start of the first frame, in seconds of presentation time.
        end_sec: End of the last frame.
        fps: Average frame rate, in Hz.
    """

    start_sec: float
    end_sec: float
    fps: float

    @property
    def num_frames(self) -> int:
        """N."""
        return max(1, round((self.end_sec - self.start_sec) * self.fps))

    def times(self, frames: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return instants at which frames are displayed, in seconds of presentation time."""
        return self.start_sec + (frames.astype(np.float64) + 0.5) / self.fps


class ClipSampling(Protocol):
    """How clips and their frames are sampled."""

    @property
    def duration_sec(self) -> float:
        """Duration of a clip, in seconds; infinity: the video's."""

    def test_starts(
        self, span: VideoSpan, num_views: int, *, audio_sec: float = 0.0, centered: bool = False
    ) -> NDArray[np.float64]:
        """Return the starts of test clips.

        Args:
            span: The video.
            num_views: Number of clips.
            audio_sec: Duration of the audio of a clip, which is kept inside the video, too.
            centered: A single clip is in the middle of the video.

        Returns:
            float64 (num_views,), in seconds of presentation time.
        """

    def frame_times(
        self, span: VideoSpan, start_sec: float, rng: np.random.Generator | None = None
    ) -> NDArray[np.float64]:
        """Return the instants of the frames of a clip.

        Args:
            span: The video.
            start_sec: Start of the clip, in seconds of presentation time.
            rng: The random generator of a training clip; None: no randomness.

        Returns:
            float64 (T,), ascending, in seconds of presentation time.
        """


@dataclass(frozen=True)
class TimeBins:
    """Frames at the centers of T equal time bins; test clips from the very start to the very end.

    Attributes:
        num_frames: T.
        sampling_rate: Distance between two frames, in frames at ``target_fps``.
        target_fps: Frame rate that the distance refers to, in Hz.
    """

    num_frames: int
    sampling_rate: float
    target_fps: float

    @property
    def duration_sec(self) -> float:
        """Duration of a clip, in seconds."""
        return clip_duration_sec(self.num_frames, self.sampling_rate, self.target_fps)

    def test_starts(
        self, span: VideoSpan, num_views: int, *, audio_sec: float = 0.0, centered: bool = False
    ) -> NDArray[np.float64]:
        """See ClipSampling; a single clip is always centered."""
        clip_sec = max(self.duration_sec, audio_sec)
        return even_clip_starts(span.start_sec, span.end_sec, clip_sec, num_views)

    def frame_times(
        self, span: VideoSpan, start_sec: float, rng: np.random.Generator | None = None
    ) -> NDArray[np.float64]:
        """See ClipSampling; ``span`` and ``rng`` are not used."""
        return frame_times(start_sec, self.num_frames, self.sampling_rate, self.target_fps)


@dataclass(frozen=True)
class PySlowFastClips:
    """The frames that PySlowFast samples from a decoded video.

    A clip has ``c = T * sampling_rate / target_fps * fps`` frames of the file, and starts at frame
    ``s`` in [0, N - c]: at random in training; in testing, view i of n starts at
    ``(N - c) * i / n``, or with ``use_offset`` at ``i * floor((N - c) / (n - 1))``. The T frames
    are evenly spaced in [s, s + c - 1], limited to the video and rounded down.

    Attributes:
        num_frames: T.
        sampling_rate: Distance between two frames, in frames at ``target_fps``.
        target_fps: Frame rate that the distance refers to, in Hz.
        use_offset: DATA.USE_OFFSET_SAMPLING: the last test clip reaches the end of the video, and a
            single one is in the middle.
    """

    num_frames: int
    sampling_rate: float
    target_fps: float
    use_offset: bool = False

    @property
    def duration_sec(self) -> float:
        """Duration of a clip, in seconds."""
        return clip_duration_sec(self.num_frames, self.sampling_rate, self.target_fps)

    def test_starts(
        self, span: VideoSpan, num_views: int, *, audio_sec: float = 0.0, centered: bool = False
    ) -> NDArray[np.float64]:
        """See ClipSampling."""
        room = max(span.num_frames - max(self._size(span), audio_sec * span.fps), 0.0)
        views = np.arange(num_views)
        if num_views == 1 and (self.use_offset or centered):
            first = np.array([np.floor(room / 2)])
        elif self.use_offset:
            first = views * np.floor(room / (num_views - 1))
        else:
            first = room * views / num_views
        starts: NDArray[np.float64] = span.start_sec + first / span.fps
        return starts

    def frame_times(
        self, span: VideoSpan, start_sec: float, rng: np.random.Generator | None = None
    ) -> NDArray[np.float64]:
        """See ClipSampling; ``rng`` is not used."""
        first = (start_sec - span.start_sec) * span.fps
        # In single precision as there: its rounding decides between two frames at an integer.
        index = torch.linspace(first, first + self._size(span) - 1, self.num_frames)
        frames = index.clamp(0, span.num_frames - 1).long()
        return span.times(frames.numpy())

    def _size(self, span: VideoSpan) -> float:
        """Return the number of the file's frames in a clip, maybe fractional."""
        return max(1.0, self.sampling_rate * self.num_frames / self.target_fps * span.fps)


@dataclass(frozen=True)
class Segments:
    """One frame from each of T equal segments of the video: random in training, else the middle.

    All test views have the same frames. PySlowFast samples Something-Something in this way.

    Attributes:
        num_frames: T.
    """

    num_frames: int

    @property
    def duration_sec(self) -> float:
        """Infinity: a clip spans the video."""
        return math.inf

    def test_starts(
        self, span: VideoSpan, num_views: int, *, audio_sec: float = 0.0, centered: bool = False
    ) -> NDArray[np.float64]:
        """See ClipSampling; all clips start with the video."""
        return np.full(num_views, span.start_sec)

    def frame_times(
        self, span: VideoSpan, start_sec: float, rng: np.random.Generator | None = None
    ) -> NDArray[np.float64]:
        """See ClipSampling; ``start_sec`` is not used."""
        segment = (span.num_frames - 1) / self.num_frames
        edges = np.round(segment * np.arange(self.num_frames + 1)).astype(int)
        first, last = edges[:-1], edges[1:]
        frames = (first + last) // 2 if rng is None else rng.integers(first, last + 1)
        return span.times(frames)


def build_clip_sampling(cfg: CfgNode, *, default: str = TIME_BINS) -> ClipSampling:
    """Build the sampling of a dataset.

    Args:
        cfg: Read: DATA.SAMPLING, NUM_FRAMES, SAMPLING_RATE, TARGET_FPS, USE_OFFSET_SAMPLING.
        default: The dataset's own sampling; with ``segments``, PySlowFast samples segments, too.

    Returns:
        The sampling.
    """
    data = cfg.DATA
    name = data.SAMPLING
    if name == AUTO or (name == PYSLOWFAST and default == SEGMENTS):
        name = default
    clip = (data.NUM_FRAMES, data.SAMPLING_RATE, float(data.TARGET_FPS))
    if name == SEGMENTS:
        return Segments(data.NUM_FRAMES)
    if name == PYSLOWFAST:
        return PySlowFastClips(*clip, use_offset=data.USE_OFFSET_SAMPLING)
    return TimeBins(*clip)


@register_check
def check_sampling(cfg: CfgNode) -> list[Problem]:
    """Find an unknown value of DATA.SAMPLING.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one problem.
    """
    name = cfg.DATA.SAMPLING
    if name in SAMPLINGS:
        return []
    return [Problem("DATA.SAMPLING", f"got {name!r}. {nearest(name, SAMPLINGS)}")]
