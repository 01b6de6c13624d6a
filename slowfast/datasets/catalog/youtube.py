"""Segments of YouTube videos: common file names of trimmed segments and of full videos."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterable, Iterator

from slowfast.datasets.annotations.file_index import MediaIndex
from slowfast.datasets.annotations.manifest import VideoRecord
from slowfast.datasets.annotations.match import Annotation, Locate
from slowfast.datasets.decoding.reader import MediaError, probe_media

__all__ = ["match_by_youtube_segment", "segment_entry"]

logger = logging.getLogger(__name__)

_NUM_PROBED = 5
_TOLERANCE_SEC = 1.0
"""A full video may end this much earlier than its listed segment."""


def segment_entry(
    video: str, start_sec: float, end_sec: float, *, label: int, where: str
) -> Annotation:
    """Build the entry of a segment.

    Args:
        video: Id of the video.
        start_sec: Start of the segment in the video, in seconds.
        end_sec: End of the segment, in seconds.
        label: Its class; NO_LABEL if unknown.
        where: The line of the entry, as ``file:line``.

    Returns:
        An entry whose file is named as in VGGSound.
    """
    return Annotation(f"{video}_{int(start_sec):06d}.mp4", label, where, video, start_sec, end_sec)


def match_by_youtube_segment(index: MediaIndex, sample: Iterable[Annotation]) -> Locate:
    """Return a function that finds the files of segments.

    A file named after its video and start second is the segment. A file named only after its video
    may be the segment or the full video: the durations of a few files decide.

    Args:
        index: The existing files.
        sample: Segments; the files of a few of them are probed.

    Returns:
        A function that returns the row of a segment, or None if its file does not exist.
    """

    @functools.cache  # probed at most once, and only if such a file exists
    def is_window() -> bool:
        return _are_full_videos(index, sample)

    def locate(entry: Annotation) -> VideoRecord | None:
        if not math.isfinite(entry.end_sec):  # the list has no times
            path = _find_video(index, entry)
            return None if path is None else entry.row(path)
        path = next(filter(None, map(index.find_stem, _trimmed_stems(entry))), None)
        if path is not None:
            return entry.row(path)
        path = _find_video(index, entry)
        if path is None:
            return None
        if is_window():
            return entry.row(path, entry.start_sec, entry.end_sec)
        return entry.row(path)

    return locate


def _trimmed_stems(entry: Annotation) -> Iterator[str]:
    """Yield the common names, without suffix, of the file of a segment."""
    video, start, end = entry.video, entry.start_sec, entry.end_sec
    yield f"{video}_{int(start):06d}"
    yield f"{video}_{int(start):06d}_{int(end):06d}"
    yield f"{video}_{int(start)}"
    yield f"{video}_{int(start)}_{int(end)}"
    yield f"{video}_{round(start * 1000)}_{round(end * 1000)}"
    yield f"{video}_{start:.3f}_{end:.3f}"
    yield f"{video}_{start:.1f}_{end:.1f}"


def _find_video(index: MediaIndex, entry: Annotation) -> str | None:
    return index.find_stem(entry.video) or index.find_stem(f"Y{entry.video}")


def _are_full_videos(index: MediaIndex, sample: Iterable[Annotation]) -> bool:
    """Whether files that are named after their video are long enough to contain the segments."""
    reach: list[bool] = []
    for entry in sample:
        path = _find_video(index, entry)
        if path is None or entry.start_sec <= _TOLERANCE_SEC:
            continue  # the segment starts at the video's start: no difference
        try:
            duration_sec = probe_media(path).duration_sec
        except MediaError:
            continue  # reported when the file is loaded
        reach.append(duration_sec >= entry.end_sec - _TOLERANCE_SEC)
        if len(reach) == _NUM_PROBED:
            break
    is_window = 2 * sum(reach) >= len(reach)
    if reach:
        kind = "full videos, read in windows" if is_window else "trimmed to their segments"
        logger.info("files that are named after their video's id are read as %s", kind)
    return is_window
