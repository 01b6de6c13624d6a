"""How a folder would be read for training: its layout, splits and classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slowfast.config import UserError
from slowfast.datasets.annotations.csv_rows import CsvFormat
from slowfast.datasets.annotations.files import (
    MEDIA_SUFFIXES,
    VIDEO_SUFFIXES,
    folder_classes,
    is_media,
)
from slowfast.datasets.annotations.layouts import Layout, find_layout, load_manifest
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.inspect.report import MediaReport

__all__ = ["LayoutFacts", "SplitFacts", "inspect_layout"]

_KINDS = {
    "csv": "csv files that list the files of each split",
    "class_folders": "a folder per split, in it a folder per class",
    "tars": "WebDataset tars",
    "folder": "a plain folder, without splits and labels",
}
_UNLABELED_SPLITS = "a folder per split, without class folders"
_OFFICIAL = "official csv files of Kinetics, whose files are found by their YouTube id"


class SplitFacts(NamedTuple):
    """A split as it would be read.

    Attributes:
        name: "train", "val" or "test".
        source: Name of its csv file or folder, relative to the checked folder.
        num_files: Rows of the split.
        num_unlabeled: Rows without a label.
        class_counts: Name of each class and its number of rows, in the order of the labels.
    """

    name: str
    source: str
    num_files: int
    num_unlabeled: int
    class_counts: tuple[tuple[str, int], ...]


class LayoutFacts(NamedTuple):
    """The layout of a folder.

    Attributes:
        kind: One line; "" if no layout could be read.
        splits: The splits that exist; of a plain folder all files are in "train". Empty where they
            were not read.
        unread: Media files that no split lists, relative to the folder.
        problem: Why the folder cannot be read as it is, and what to do; "": it can be read.
        suspected: Folders that look like classes, and their numbers of files, although this layout
            does not read them as labels.
    """

    kind: str
    splits: tuple[SplitFacts, ...] = ()
    unread: tuple[str, ...] = ()
    problem: str = ""
    suspected: tuple[tuple[str, int], ...] = ()

    @property
    def classes(self) -> tuple[tuple[str, int], ...]:
        """The classes of the first split, which is "train" where that exists."""
        return self.splits[0].class_counts if self.splits else ()

    @property
    def imbalance(self) -> float:
        """Files of the largest class per file of the smallest that has any; 1 without classes."""
        counts = [count for _, count in self.classes or self.suspected if count]
        return max(counts) / min(counts) if counts else 1.0


def inspect_layout(folder: Path, reports: Iterable[MediaReport]) -> LayoutFacts:
    """Find out how a folder would be read as DATA.PATH_TO_DATA_DIR.

    Args:
        folder: The folder.
        reports: Its media files.

    Returns:
        The facts. A folder that cannot be read gives a ``problem``, never an exception.
    """
    paths = [report.path for report in reports]
    form = CsvFormat(suffixes=MEDIA_SUFFIXES)
    try:
        layout = find_layout(folder, form)
        if layout.kind == "csv" and _is_official(layout, form):
            return LayoutFacts(_OFFICIAL)
        has_videos = any(report.video is not None for report in reports)
        suffixes = VIDEO_SUFFIXES if has_videos else MEDIA_SUFFIXES
        names = ("train",) if layout.kind == "folder" else tuple(layout.sources)
        lists = {name: _list_split(folder, layout, name, form, suffixes) for name in names}
    except UserError as error:
        return LayoutFacts("", problem=str(error))
    splits = tuple(_split(folder, layout, name, listed) for name, listed in lists.items())
    unread = _unread(folder, (p for p in paths if is_media(p, suffixes)), lists.values())
    kind = _KINDS[layout.kind]
    if layout.kind == "class_folders" and not any(split.class_counts for split in splits):
        kind = _UNLABELED_SPLITS
    suspected = _suspect(folder, paths) if layout.kind == "folder" else ()
    return LayoutFacts(kind, splits, unread, suspected=suspected)


def _is_official(layout: Layout, form: CsvFormat) -> bool:
    columns = [form.dialect(file).columns or () for file in set(layout.sources.values())]
    return all("youtube_id" in names and "path" not in names for names in columns)


def _list_split(
    folder: Path, layout: Layout, name: str, form: CsvFormat, suffixes: frozenset[str]
) -> Manifest:
    if layout.kind == "folder":
        return load_manifest(folder, name, form, suffixes=suffixes, test_fraction=0.0)
    return load_manifest(folder, name, form, suffixes=suffixes)


def _unread(folder: Path, paths: Iterable[str], lists: Iterable[Manifest]) -> tuple[str, ...]:
    """Find the files that no split lists."""

    def name(path: str) -> str:
        return os.path.relpath(path, folder)

    listed = {name(manifest.path(row)) for manifest in lists for row in range(len(manifest))}
    return tuple(own for path in paths if (own := name(path)) not in listed)


def _split(folder: Path, layout: Layout, name: str, manifest: Manifest) -> SplitFacts:
    source = os.path.relpath(layout.sources[name], folder)
    unlabeled = int((~manifest.is_labeled).sum())
    return SplitFacts(name, source, len(manifest), unlabeled, _class_counts(manifest))


def _class_counts(manifest: Manifest) -> tuple[tuple[str, int], ...]:
    counts = np.bincount(manifest.classes, minlength=len(manifest.class_names)).tolist()
    names = manifest.class_names
    return tuple(
        (names[label] if label < len(names) else str(label), count)
        for label, count in enumerate(counts)
        if count or label < len(names)
    )


def _suspect(folder: Path, paths: Iterable[str]) -> tuple[tuple[str, int], ...]:
    root = folder.absolute()
    counts = Counter(folder_classes((os.path.relpath(path, root) for path in paths), {}).values())
    return tuple(sorted(counts.items())) if len(counts) > 1 else ()
