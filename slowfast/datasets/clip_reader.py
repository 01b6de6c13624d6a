"""A row of a manifest as a reader: a whole file, a member of a tar, or a window of either.

Legend: T frames, N samples, H W height and width.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.manifest import TO_END, VideoRecord
from slowfast.datasets.media.frames import FrameFolder
from slowfast.datasets.media.reader import MediaError, open_media
from slowfast.utils.io import Closing

__all__ = ["ClipReader", "TrimmedReader", "open_row"]

_LAST_INSTANT_SEC = 1e-3
"""So long before a window's end its last frame is read; more than the slack of timestamps."""


class ClipReader(Protocol):
    """What datasets need of an open file or folder: see ``MediaReader``."""

    path: str

    def close(self) -> None:
        """Close the file; nothing can be read any more."""

    @property
    def video_extent_sec(self) -> tuple[float, float]:
        """First and last instant of the video, in seconds on the file's clock."""

    @property
    def audio_extent_sec(self) -> tuple[float, float]:
        """First and last instant of the audio, in seconds on the file's clock."""

    def read_video(
        self, times_sec: NDArray[np.floating], *, short_side: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the frame on display at each instant: uint8 (T, H, W, 3)."""

    def read_audio(
        self, start_sec: float, num_samples: int, sample_rate_hz: int
    ) -> tuple[NDArray[np.float32], float]:
        """Return audio, float32 (N,), and the share of it that there is."""

    def __enter__(self) -> ClipReader: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class TrimmedReader(Closing):
    """A media file of which nothing outside of a window is seen or heard.

    Times stay those of the file. Behind the window's end its last frame is held and the audio is
    zero, as behind the end of a file.

    Args:
        reader: The open file; closed with the excerpt.
        start_sec: Where the window starts, in seconds on the file's clock.
        end_sec: Where it ends; infinity: where the file does.
    """

    def __init__(self, reader: ClipReader, start_sec: float, end_sec: float) -> None:
        self._reader, self._start_sec, self._end_sec = reader, start_sec, end_sec
        self.path = reader.path

    def close(self) -> None:
        """Close the file; nothing can be read any more."""
        self._reader.close()

    @property
    def video_extent_sec(self) -> tuple[float, float]:
        """First and last instant of the video inside of the window, on the file's clock.

        Raises:
            MediaError: If there is no video in the window.
        """
        return self._cut(self._reader.video_extent_sec, "video")

    @property
    def audio_extent_sec(self) -> tuple[float, float]:
        """First and last instant of the audio inside of the window, on the file's clock.

        Raises:
            MediaError: If there is no audio in the window.
        """
        return self._cut(self._reader.audio_extent_sec, "audio")

    def read_video(
        self, times_sec: NDArray[np.floating], *, short_side: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the frame on display at each instant, the nearest of the window outside of it.

        Args:
            times_sec: (T,), ascending, in seconds on the file's clock.
            short_side: As of ``MediaReader.read_video``.

        Returns:
            uint8 (T, H, W, 3), RGB.
        """
        last = max(self._start_sec, self._end_sec - _LAST_INSTANT_SEC)
        inside = np.clip(np.asarray(times_sec, np.float64), self._start_sec, last)
        return self._reader.read_video(inside, short_side=short_side)

    def read_audio(
        self, start_sec: float, num_samples: int, sample_rate_hz: int
    ) -> tuple[NDArray[np.float32], float]:
        """Return audio, zero outside of the window.

        Args:
            start_sec: Where it starts, in seconds on the file's clock.
            num_samples: N.
            sample_rate_hz: Wanted rate.

        Returns:
            float32 (N,) in [-1, 1], and the share that lies inside of both track and window.
        """
        sound, share = self._reader.read_audio(start_sec, num_samples, sample_rate_hz)
        edges = (np.array([self._start_sec, self._end_sec]) - start_sec) * sample_rate_hz
        first, last = np.clip(np.floor(edges + 0.5), 0, num_samples).astype(int)
        sound[:first] = 0
        sound[last:] = 0
        return sound, min(share, max(0, last - first) / num_samples)

    def _cut(self, extent: tuple[float, float], kind: str) -> tuple[float, float]:
        first, last = max(extent[0], self._start_sec), min(extent[1], self._end_sec)
        if first >= last:
            raise MediaError(
                self.path,
                f"its window from {self._start_sec:g} to {self._end_sec:g} s holds no {kind}, "
                f"which lasts from {extent[0]:.2f} to {extent[1]:.2f} s",
            )
        return first, last


def open_row(row: VideoRecord, frame_folder_fps: float = 30.0) -> ClipReader:
    """Open the media file of a manifest's row, or its folder of frames.

    Args:
        row: The row.
        frame_folder_fps: DATA.FRAME_FOLDER_FPS.

    Returns:
        A reader of the row's window, to be closed.

    Raises:
        MediaError: If the file is missing, damaged or holds nothing that can be decoded.
    """
    size = None if row.size == TO_END else row.size
    reader: ClipReader
    if Path(row.path).is_dir():
        reader = FrameFolder(row.path, frame_folder_fps)
    else:
        reader = open_media(row.path, offset=row.offset, size=size)
    return TrimmedReader(reader, row.start_sec, row.end_sec) if row.has_window else reader
