"""The files that a user names: a file, a folder, or several of them."""

from __future__ import annotations

import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from slowfast.config import ConfigValueError, UserError
from slowfast.datasets.annotations.files import (
    AUDIO_SUFFIXES,
    MEDIA_SUFFIXES,
    VIDEO_SUFFIXES,
    is_media,
    media_files,
)
from slowfast.datasets.annotations.layouts import find_layout, load_manifest
from slowfast.datasets.annotations.manifest import NO_LABEL, Manifest, VideoRecord
from slowfast.datasets.bad_media import BadMedia
from slowfast.datasets.decoding.clip_reader import open_row
from slowfast.datasets.decoding.reader import MediaError

__all__ = ["Source", "join_bad_windows", "list_files", "split_into_windows"]

Source = str | os.PathLike[str]


def list_files(source: Source | Sequence[Source], *, audio_only: bool = False) -> Manifest:
    """List the files that a user names, with their labels if the layout has some.

    Args:
        source: A media file, a folder of them (any depth), a dataset folder with ``train.csv`` or
            ``train/CLASS/file``, of which all splits are listed, and files next to the folders of
            the splits; or several files and folders.
        audio_only: List audio files, too: the model needs no video.

    Returns:
        The files in sorted order of each folder, without repetitions.

    Raises:
        UserError: If a path does not exist, or there is no such file.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    suffixes = MEDIA_SUFFIXES if audio_only else VIDEO_SUFFIXES
    class_names: list[str] = []
    rows: dict[tuple[str, float, float, int], VideoRecord] = {}
    for one in sources:
        for row, name in _rows(Path(one).expanduser(), suffixes):
            label = NO_LABEL
            if name:
                if name not in class_names:
                    class_names.append(name)
                label = class_names.index(name)
            key = (row.path, row.start_sec, row.end_sec, row.offset)
            rows.setdefault(key, row._replace(label=label, labels=None))
    if not rows:
        raise UserError(_describe_empty(sources, suffixes))
    return Manifest.from_rows(rows.values(), class_names)


def _rows(path: Path, suffixes: frozenset[str]) -> Iterator[tuple[VideoRecord, str]]:
    """Yield the rows of a file or folder, each with the name of its class or ""."""
    if path.is_file():
        yield VideoRecord(str(path), NO_LABEL), ""
        return
    if not path.is_dir():
        raise UserError(f"no such file or folder: {path}.")
    layout = find_layout(path)
    if layout.kind == "folder":
        yield from (
            (VideoRecord(f, NO_LABEL), "") for f in media_files(path, suffixes, frames=True)
        )
        return
    for split in layout.sources:
        manifest = load_manifest(path, split, suffixes=suffixes)
        for index in range(len(manifest)):
            row = manifest.row(index)
            known = row.label >= 0 and row.labels is None
            names = manifest.class_names
            text = names[row.label] if known and row.label < len(names) else str(row.label)
            yield row, text if known else ""
    if layout.kind == "class_folders":
        for name in layout.unread:
            if is_media(name, suffixes) and (path / name).is_file():
                yield VideoRecord(str(path / name), NO_LABEL), ""


def _describe_empty(sources: Iterable[Source], suffixes: frozenset[str]) -> str:
    named = ", ".join(str(source) for source in sources) or "no path"
    others = 0
    if not suffixes & AUDIO_SUFFIXES:
        folders = (Path(one) for one in sources if Path(one).is_dir())
        others = sum(1 for folder in folders for _ in media_files(folder, AUDIO_SUFFIXES))
    hint = f" It has {others} audio files, but the model needs video." if others else ""
    return (
        f"{named}: no video files.{hint} Files with these suffixes are read: "
        f"{' '.join(sorted(suffixes))}."
    )


def split_into_windows(
    manifest: Manifest, every_sec: float
) -> tuple[Manifest, list[int], list[tuple[int, str]]]:
    """Split each file into consecutive windows of equal length.

    Args:
        manifest: The files.
        every_sec: Length of a window, in seconds; the last window of a file may be shorter, and a
            rest of less than half a window belongs to the one before it.

    Returns:
        One row per window; the row of ``manifest`` that each belongs to; and the rows whose
        duration could not be read, with the reason.

    Raises:
        ConfigValueError: If the length is not positive.
    """
    if every_sec <= 0:
        raise ConfigValueError("every_sec", f"got {every_sec}; expected a positive number.")
    rows: list[VideoRecord] = []
    owners: list[int] = []
    bad: list[tuple[int, str]] = []
    for index in range(len(manifest)):
        row = manifest.row(index)
        try:
            first, last = _extent(row)
        except MediaError as error:
            bad.append((index, error.reason))
            continue
        count = max(1, round((last - first) / every_sec))
        edges = [first + every_sec * i for i in range(count)] + [last]
        for start, end in itertools.pairwise(edges):
            rows.append(row._replace(start_sec=start, end_sec=end))
            owners.append(index)
    return Manifest.from_rows(rows, manifest.class_names), owners, bad


def join_bad_windows(owners: Sequence[int], bad: Iterable[BadMedia]) -> list[BadMedia]:
    """Join the windows of each file that could not be decoded.

    Args:
        owners: The file of each window, as ``split_into_windows`` returns.
        bad: Windows that could not be decoded.

    Returns:
        One entry per file; it is partial if other windows of the file could be decoded.
    """
    totals, lost = Counter(owners), defaultdict[int, list[BadMedia]](list)
    for entry in bad:
        lost[owners[entry.row]].append(entry)
    found = []
    for owner, entries in lost.items():
        reason, is_partial = entries[0].reason, len(entries) < totals[owner]
        if is_partial:
            reason = f"{len(entries)} of {totals[owner]} windows: {reason}"
        found.append(BadMedia(owner, entries[0].path, reason, is_partial))
    return found


def _extent(row: VideoRecord) -> tuple[float, float]:
    """Return when the video, or else the audio, of a row starts and ends, in seconds."""
    with open_row(row) as reader:
        try:
            return reader.video_extent_sec
        except MediaError:
            return reader.audio_extent_sec
