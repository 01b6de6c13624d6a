"""Segments of YouTube videos: how their files are usually called, trimmed or not."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterable, Iterator

from slowfast.datasets.catalog.annotations import Annotation, Locate
from slowfast.datasets.catalog.media_index import MediaIndex
from slowfast.datasets.manifest import VideoRecord
from slowfast.datasets.media.reader import MediaError, probe_media

__all__ = ["match_by_youtube_segment", "segment_entry"]

logger = logging.getLogger(__name__)

_NUM_PROBED = 5
_TOLERANCE_SEC = 1.0
"""A full video may end so much before its segment is said to."""


def segment_entry(
    video: str, start_sec: float, end_sec: float, *, label: int, where: str
) -> Annotation:
    """Make the entry of a segment.

    Args:
        video: Id of the video.
        start_sec: Where the segment starts in the video.
        end_sec: Where it ends.
        label: Its class; NO_LABEL where unknown.
        where: The line that lists it, as ``file:line``.

    Returns:
        An entry that is called as VGGSound does.
    """
    return Annotation(f"{video}_{int(start_sec):06d}.mp4", label, where, video, start_sec, end_sec)


def match_by_youtube_segment(index: MediaIndex, sample: Iterable[Annotation]) -> Locate:
    """Locate the files of segments.

    A file that is called by its video and start second is the segment. One that is called by its
    video alone may be the segment or the whole video: a few are looked into.

    Args:
        index: The files that are there.
        sample: Segments, of which a few are looked into.

    Returns:
        A function that gives the row of a segment, None if its file is not there.
    """

    @functools.cache  # asked for once, and only where there is such a file
    def is_window() -> bool:
        return _are_whole_videos(index, sample)

    def locate(entry: Annotation) -> VideoRecord | None:
        if not math.isfinite(entry.end_sec):  # the list does not say when
            path = _find_video(index, entry)
            return None if path is None else VideoRecord(path, entry.label)
        path = next(filter(None, map(index.find_stem, _trimmed_stems(entry))), None)
        if path is not None:
            return VideoRecord(path, entry.label)
        path = _find_video(index, entry)
        if path is None:
            return None
        if is_window():
            return VideoRecord(path, entry.label, entry.start_sec, entry.end_sec)
        return VideoRecord(path, entry.label)

    return locate


def _trimmed_stems(entry: Annotation) -> Iterator[str]:
    """Yield the names, without suffix, that tools give to the file of a segment."""
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


def _are_whole_videos(index: MediaIndex, sample: Iterable[Annotation]) -> bool:
    """Whether files that are called by their video reach as far as their segments do."""
    reach: list[bool] = []
    for entry in sample:
        path = _find_video(index, entry)
        if path is None or entry.start_sec <= _TOLERANCE_SEC:
            continue  # from the very start on, both are the same
        try:
            duration_sec = probe_media(path).duration_sec
        except MediaError:
            continue  # met again, and recorded, when it is to be read
        reach.append(duration_sec >= entry.end_sec - _TOLERANCE_SEC)
        if len(reach) == _NUM_PROBED:
            break
    is_window = 2 * sum(reach) >= len(reach)
    if reach:
        kind = "whole videos, read in windows" if is_window else "trimmed to their segments"
        logger.info("files that are called by their video's id are taken as %s", kind)
    return is_window
