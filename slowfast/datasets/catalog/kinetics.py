"""Kinetics' official csv files: ``label,youtube_id,time_start,time_end,split``.

The files of the videos are found by what downloaders call them (``ID.mp4``,
``ID_000010_000020.mp4``, ...), in class folders or any others.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.datasets.annotations.csv_rows import (
    CsvFormat,
    parse_sec,
    read_classes,
    read_table,
)
from slowfast.datasets.annotations.file_index import MediaIndex
from slowfast.datasets.annotations.label_text import CLASSES_FILE, as_integer, split_labels
from slowfast.datasets.annotations.layouts import Layout, pick_split
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.annotations.match import Annotation, entries_to_manifest
from slowfast.datasets.annotations.split_files import media_root
from slowfast.datasets.catalog.youtube import match_by_youtube_segment, segment_entry

__all__ = ["is_official", "official_manifest"]

logger = logging.getLogger(__name__)

_LAYOUT = "ID.mp4 or ID_START_END.mp4, START and END with six digits, in any folder"


def is_official(layout: Layout, form: CsvFormat) -> bool:
    """Whether csv files name videos by their YouTube id; all of them do, or none.

    Args:
        layout: Of kind "csv".
        form: How csv files are read.

    Returns:
        True if they do.

    Raises:
        UserError: If some do and some do not.
    """
    kinds = {
        file: "youtube_id" in (columns := form.dialect(file).columns or ())
        and "path" not in columns
        for file in layout.sources.values()
    }
    if len(set(kinds.values())) > 1:
        one, other = (next(f for f, kind in kinds.items() if kind is k) for k in (True, False))
        raise ConfigValueError(
            "DATA.PATH_TO_DATA_DIR",
            f"{one} names videos by their YouTube id and {other} by their "
            "path; expected the same of both.",
        )
    return any(kinds.values())


def official_manifest(
    cfg: CfgNode,
    split: str,
    layout: Layout,
    form: CsvFormat,
    *,
    lists: Path,
    suffixes: frozenset[str],
) -> Manifest:
    """List the files of a split that are there; a few may be missing, and are left out.

    Args:
        cfg: The configuration.
        split: "train", "val" or "test".
        layout: The csv files.
        form: How they are read.
        lists: Their folder; ``classes.txt`` in it orders the labels, else names are sorted.
        suffixes: Of the files of videos.

    Returns:
        The manifest, memory-mapped from the cache folder where that can be written.

    Raises:
        UserError: If a row cannot be read, or too many files are missing.
    """
    name, file = pick_split(layout, lists, split)
    class_names = read_classes(lists / CLASSES_FILE) or _class_names(layout, form)
    labels = {name: label for label, name in enumerate(class_names)}
    index = MediaIndex(media_root(cfg, _LAYOUT), suffixes)
    manifest = entries_to_manifest(
        cfg,
        name,
        _entries(file, name, form._replace(labels=labels)),
        match_by_youtube_segment(index, _entries(file, name, form._replace(labels=labels))),
        class_names=class_names,
        layout=_LAYOUT,
    )
    logger.info(
        "%s split: %d files of %d classes from %s (csv of YouTube ids, columns: %s); splits: %s",
        name,
        len(manifest),
        len(class_names),
        file,
        form.dialect(file),
        ", ".join(f"{split} ({source.name})" for split, source in layout.sources.items()),
    )
    return manifest


def _class_names(layout: Layout, form: CsvFormat) -> list[str]:
    """Return the sorted names of the classes of all splits; none where labels are numbers."""
    names: set[str] = set()
    for file in set(layout.sources.values()):
        rows = read_table(file, form, form.dialect(file))
        for text in (values.get("label", "") for _, values in rows):
            names |= set(split_labels(text, {})) if form.multi_label else {text}
    names.discard("")
    return [] if all(as_integer(name) is not None for name in names) else sorted(names)


def _entries(file: Path, split: str, form: CsvFormat) -> Iterator[Annotation]:
    for where, values in read_table(file, form, form.dialect(file), split):
        found = form.parse_label(values, where)
        start, end = values.get("start_sec", ""), values.get("end_sec", "")
        try:
            start_sec = parse_sec(start) if start else 0.0
            end_sec = parse_sec(end) if end else math.inf
        except ValueError:
            raise UserError(f"{where}: expected times, got {start!r} and {end!r}.") from None
        if not 0 <= start_sec < end_sec or not values["youtube_id"]:
            raise UserError(
                f"{where}: expected an id and 0 <= start < end, got {values['youtube_id']!r} and "
                f"{start_sec:g} to {end_sec:g} s."
            )
        video = values["youtube_id"]
        entry = segment_entry(video, start_sec, end_sec, label=found.label, where=where)
        entry = entry._replace(labels=found.labels)
        yield entry if end else entry._replace(name=f"{video}.mp4")
