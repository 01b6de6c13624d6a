"""Readers of a manifest's rows: a file, a member of a tar, or a time window of either.

Times are in seconds of presentation time (PTS); video and audio share this timeline.

Legend: T frames, N samples, H W height and width.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.annotations.manifest import TO_END, VideoRecord
from slowfast.datasets.decoding.frame_list import FrameList, is_listed
from slowfast.datasets.decoding.frames import FrameFolder
from slowfast.datasets.decoding.reader import LOOP_FILTER_SKIPS, MediaError, open_media
from slowfast.utils.io import Closing

__all__ = ["ClipReader", "TrimmedReader", "open_row"]

_LAST_INSTANT_SEC = 1e-3
"""Distance of the last readable instant from a window's end; larger than the PTS tolerance."""


class ClipReader(Protocol):
    """The interface of an open media file or frame folder.

    ``MediaReader`` describes arguments, results and errors; what other readers do differently is
    said there.
    """

    path: str

    def close(self) -> None:
        """Close the file; it cannot be read afterwards."""

    @property
    def video_extent_sec(self) -> tuple[float, float]:
        """Start and end of the video, in seconds of presentation time."""

    @property
    def video_fps(self) -> float:
        """Average frame rate, in Hz; 0 if the container does not state it."""

    @property
    def audio_extent_sec(self) -> tuple[float, float]:
        """Start and end of the audio, in seconds of presentation time."""

    def read_video(
        self, times_sec: NDArray[np.floating], *, short_side: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the frame displayed at each time: uint8 (T, H, W, 3)."""

    def read_audio(
        self, start_sec: float, num_samples: int, sample_rate_hz: int
    ) -> tuple[NDArray[np.float32], float]:
        """Return audio, float32 (N,), and the fraction of it inside the audio stream."""

    def __enter__(self) -> ClipReader: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class TrimmedReader(Closing):
    """A reader restricted to a time window of a media file.

    Times are those of the file. After the end of the window the last frame is repeated and the
    audio is zero, as after the end of a file.

    Args:
        reader: The open file; closed together with this reader.
        start_sec: Start of the window, in seconds of presentation time.
        end_sec: End of the window; infinity: the end of the file.
    """

    def __init__(self, reader: ClipReader, start_sec: float, end_sec: float) -> None:
        self._reader, self._start_sec, self._end_sec = reader, start_sec, end_sec
        self.path = reader.path

    def close(self) -> None:
        """Close the file; it cannot be read afterwards."""
        self._reader.close()

    @property
    def video_extent_sec(self) -> tuple[float, float]:
        """Start and end of the video inside the window, in seconds of presentation time."""
        return self._cut(self._reader.video_extent_sec, "video")

    @property
    def video_fps(self) -> float:
        """Average frame rate of the file, in Hz; 0 if the container does not state it."""
        return self._reader.video_fps

    @property
    def audio_extent_sec(self) -> tuple[float, float]:
        """Start and end of the audio inside the window, in seconds of presentation time."""
        return self._cut(self._reader.audio_extent_sec, "audio")

    def read_video(
        self, times_sec: NDArray[np.floating], *, short_side: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the frame displayed at each time; times outside the window are clamped to it."""
        last = max(self._start_sec, self._end_sec - _LAST_INSTANT_SEC)
        inside = np.clip(np.asarray(times_sec, np.float64), self._start_sec, last)
        return self._reader.read_video(inside, short_side=short_side)

    def read_audio(
        self, start_sec: float, num_samples: int, sample_rate_hz: int
    ) -> tuple[NDArray[np.float32], float]:
        """Return audio, zero outside the window, and the fraction inside stream and window."""
        audio, share = self._reader.read_audio(start_sec, num_samples, sample_rate_hz)
        edges = (np.array([self._start_sec, self._end_sec]) - start_sec) * sample_rate_hz
        first, last = np.clip(np.floor(edges + 0.5), 0, num_samples).astype(int)
        audio[:first] = 0
        audio[last:] = 0
        return audio, min(share, max(0, last - first) / num_samples)

    def _cut(self, extent: tuple[float, float], kind: str) -> tuple[float, float]:
        first, last = max(extent[0], self._start_sec), min(extent[1], self._end_sec)
        if first >= last:
            raise MediaError(
                self.path,
                f"its window from {self._start_sec:g} to {self._end_sec:g} s contains no {kind}; "
                f"the {kind} lasts from {extent[0]:.2f} to {extent[1]:.2f} s",
            )
        return first, last


def open_row(
    row: VideoRecord,
    frame_folder_fps: float = 30.0,
    path_prefix: str = "",
    skip_loop_filter: str = LOOP_FILTER_SKIPS[0],
) -> ClipReader:
    """Open the media file, frame folder or frame list of a manifest's row.

    Args:
        row: The row.
        frame_folder_fps: DATA.FRAME_FOLDER_FPS.
        path_prefix: DATA.PATH_PREFIX, for frame lists.
        skip_loop_filter: DATA.SKIP_LOOP_FILTER, for media files.

    Returns:
        A reader of the row's window; the caller closes it.

    Raises:
        MediaError: If the file is missing, damaged or has no stream that can be decoded.
    """
    size = None if row.size == TO_END else row.size
    reader: ClipReader
    if is_listed(row):
        reader = FrameList(row, path_prefix, frame_folder_fps)
    elif Path(row.path).is_dir():
        reader = FrameFolder(row.path, frame_folder_fps)
    else:
        reader = open_media(
            row.path, offset=row.offset, size=size, skip_loop_filter=skip_loop_filter
        )
    return TrimmedReader(reader, row.start_sec, row.end_sec) if row.has_window else reader
