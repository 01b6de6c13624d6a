"""The frames of a video that a frame list names, with the interface of ``MediaReader``.

Legend: T frames.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.annotations.frame_lists import parse_frame_lines
from slowfast.datasets.annotations.manifest import VideoRecord
from slowfast.datasets.decoding.file import MediaError, translate_av_errors
from slowfast.datasets.decoding.frames import FrameFolder

__all__ = ["FrameList", "is_listed"]


def is_listed(row: VideoRecord) -> bool:
    """Return whether a row is a video of a frame list."""
    file = Path(row.path).parent
    return file.suffix.lower() == ".csv" and file.is_file()


class FrameList(FrameFolder):
    """The frames of a frame list as a video without audio.

    Frame n is displayed from n / fps on, in the order of the list, whatever its number.

    Args:
        row: A row of ``index_frame_list``.
        prefix: DATA.PATH_PREFIX, the folder of relative paths; empty: the folder of the list.
        fps: Frame rate, in Hz.

    Raises:
        MediaError: If the list cannot be read, or has changed.
    """

    def __init__(self, row: VideoRecord, prefix: str, fps: float) -> None:
        file = Path(row.path).parent
        with translate_av_errors(file), file.open("rb") as content:
            content.seek(row.offset)
            lines = content.read(row.size).splitlines(keepends=True)
        frames = list(parse_frame_lines(lines, str(file)))
        if not frames or len({frame.video for frame in frames}) > 1:
            raise MediaError(row.path, "the frame list has changed since it was read")
        folder = Path(prefix) if prefix else file.parent
        self._start(row.path, [str(folder / frame.path) for frame in frames], fps)
        self._labels = [frame.labels for frame in frames]

        self._spans: list[tuple[int, int]] = []

    def read_video(
        self, times_sec: NDArray[np.floating], *, short_side: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the frame displayed at each time; see ``FrameFolder.read_video``."""
        shown = self._shown(times_sec)
        self._spans.append((int(shown.min()), int(shown.max())))
        return super().read_video(times_sec, short_side=short_side)

    def labels_read(self) -> tuple[int, ...]:
        """Return the classes of the clips that were read, from their first to their last frame.

        Returns:
            The classes, ascending; frames between those of a clip count, too.
        """
        found: set[int] = set()
        for first, last in self._spans:
            found = found.union(*self._labels[first : last + 1])
        return tuple(sorted(found))
