"""PySlowFast's frame lists: a csv with one line per frame, of videos that were extracted to images.

The columns are separated by spaces; ``labels`` are the classes at this frame, maybe none:

    original_vido_id video_id frame_id path labels
    46GP8 0 0 46GP8/46GP8-000001.jpg ""
    46GP8 0 1 46GP8/46GP8-000002.jpg "92,147"

A row of the manifest is a video: its path is ``FILE.csv/VIDEO``, offset and size are the bytes of
its lines in the csv. ``decoding.frame_list`` reads them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from slowfast.config import UserError
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.utils.io import cache_dir, file_sha256

__all__ = ["ListedFrame", "index_frame_list", "is_frame_list", "parse_frame_lines"]

logger = logging.getLogger(__name__)

_HEADERS = ("original_vido_id", "original_video_id")
_COLUMNS = "original_vido_id video_id frame_id path labels"


class ListedFrame(NamedTuple):
    """A line of a frame list.

    Attributes:
        video: Name of the video.
        path: The image.
        labels: The classes at this frame.
        offset: Offset of the line in the csv, in bytes.
        size: Bytes of the line.
    """

    video: str
    path: str
    labels: tuple[int, ...]
    offset: int
    size: int


def is_frame_list(file: Path) -> bool:
    """Return whether there is such a file, and it begins with the header of a frame list."""
    if not file.is_file():
        return False
    with file.open("rb") as lines:
        return _is_header(lines.readline())


def _is_header(line: bytes) -> bool:
    return line.split()[:1] in [[name.encode()] for name in _HEADERS]


def index_frame_list(file: Path, class_names: list[str]) -> Manifest:
    """List the videos of a frame list, with all classes of their frames.

    The index is cached until the csv changes.

    Args:
        file: The csv.
        class_names: Names of the classes; may be empty.

    Returns:
        The manifest, memory-mapped from the cache folder if that is writable.

    Raises:
        UserError: If a line cannot be read, or the lines of a video do not follow each other.
    """
    status = file.stat()
    what = json.dumps([1, str(file.absolute()), status.st_size, status.st_mtime_ns])
    folder = cache_dir() / "manifests" / f"frames-{hashlib.sha256(what.encode()).hexdigest()[:24]}"
    if folder.exists():
        manifest = Manifest.open(folder)
    else:
        manifest = Manifest.from_rows(_videos(file), [])
        if not len(manifest):
            raise UserError(f"{file}: the list has no frames.")
        try:
            manifest.save(folder)
            manifest = Manifest.open(folder)
        except OSError as error:
            logger.warning("the index of %s is not cached in %s: %s", file, folder, error)
    manifest.class_names = class_names
    manifest.version = file_sha256(file)[:16]  # the rows alone do not name the frames
    return manifest


def _videos(file: Path) -> Iterator[VideoRecord]:
    seen: set[str] = set()
    with file.open("rb") as lines:
        header = lines.readline()
        if not _is_header(header):
            raise UserError(
                f"{file}:1: got {os.fsdecode(header).strip()!r}; expected the header {_COLUMNS!r}."
            )
        frames = parse_frame_lines(lines, str(file), first=2, offset=len(header))
        for video, own in itertools.groupby(frames, key=lambda frame: frame.video):
            if video in seen:
                raise UserError(
                    f"{file}: the frames of {video} are in several places; expected all frames of "
                    "a video in consecutive lines. Sort the list."
                )
            seen.add(video)
            listed = list(own)
            yield VideoRecord(
                str(file / video.replace(os.sep, "_")),
                offset=listed[0].offset,
                size=listed[-1].offset + listed[-1].size - listed[0].offset,
                labels=tuple(sorted(set().union(*(frame.labels for frame in listed)))),
            )


def parse_frame_lines(
    lines: Iterable[bytes], where: str, *, first: int = 1, offset: int = 0
) -> Iterator[ListedFrame]:
    """Parse lines of a frame list.

    Args:
        lines: The lines, with their line ends.
        where: The csv, for error messages.
        first: Number of the first line.
        offset: Offset of the first line in the csv, in bytes.

    Yields:
        A frame per line that is not blank.

    Raises:
        UserError: If a line has another format.
    """
    for number, line in enumerate(lines, start=first):
        words = line.split()
        if words:
            try:
                video, _, _, path, text = map(os.fsdecode, words)
                labels = tuple(int(n) for n in text.strip('"').split(",") if n)
            except ValueError:
                raise UserError(
                    f"{where}:{number}: got {os.fsdecode(line).strip()!r}; expected the columns "
                    f'{_COLUMNS}, separated by spaces, with labels as in "92,147" or "".'
                ) from None
            if min(labels, default=0) < 0:
                raise UserError(f"{where}:{number}: got the label {min(labels)}; expected >= 0.")
            yield ListedFrame(video, path, labels, offset, len(line))
        offset += len(line)
