"""AudioSet with its official lists of segments: several classes per segment."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.datasets.annotations.file_index import MediaIndex
from slowfast.datasets.annotations.manifest import NO_LABEL, Manifest
from slowfast.datasets.annotations.match import Annotation, entries_to_manifest
from slowfast.datasets.annotations.split_files import (
    data_root,
    find_split_dir,
    media_root,
    read_csv_lines,
    require_split,
)
from slowfast.datasets.catalog.dataset import CatalogDataset
from slowfast.datasets.catalog.youtube import match_by_youtube_segment, segment_entry

__all__ = ["audioset"]

logger = logging.getLogger(__name__)

_LAYOUT = "ID_START.mp4, START with six digits, or ID.mp4 (in any folder), and the official csv"
_FOLDERS = ("metadata", "segments", "csv")
_LISTS = {
    "train": ("unbalanced_train_segments.csv", "balanced_train_segments.csv", "train.csv"),
    "val": ("val.csv",),
    "test": ("eval_segments.csv", "test.csv"),
}
_CLASSES = "class_labels_indices.csv"

Labels = dict[str, int]


class _AudioSet(CatalogDataset):
    """AudioSet, or another list in its format.

    "train" is the union of the training lists that exist, "val" is a list of your own. Segments
    have labels if ``class_labels_indices.csv`` is among the split files: with DATA.MULTI_LABEL all
    their classes, else a segment has a label only if it has exactly one.
    """

    def splits(self, cfg: CfgNode) -> set[str]:
        """Return the names of the splits that have a list."""
        return set(_lists(_split_dir(cfg)))

    def manifest(self, cfg: CfgNode, split: str) -> Manifest:
        """List the segments of a split whose files exist."""
        folder = _split_dir(cfg)
        lists = _lists(folder)
        source = require_split("audioset", split, lists)
        names, labels = _read_classes(folder / _CLASSES)
        if cfg.DATA.MULTI_LABEL and not labels:
            raise ConfigValueError(
                "DATA.MULTI_LABEL",
                f"got True, but {folder} has no {_CLASSES}, the classes of the labels. Put it "
                "there, or use False for pretraining without labels.",
            )
        multi_label = cfg.DATA.MULTI_LABEL
        tested = {}
        if source == "train":
            tested = {
                e.name: e.where for e in _read_lists(lists.get("test", []), labels, multi_label)
            }
        index = MediaIndex(media_root(cfg, _LAYOUT))
        manifest = entries_to_manifest(
            cfg,
            source,
            _untested(_read_lists(lists[source], labels, multi_label), tested),
            match_by_youtube_segment(index, _read_lists(lists[source], labels, multi_label)),
            class_names=names,
            layout=_LAYOUT,
        )
        unlabeled = int((~manifest.is_labeled).sum())
        if labels and unlabeled:
            logger.info(
                "%d of %d segments of the %s split count as unlabeled: they have several classes "
                "or none; DATA.MULTI_LABEL True reads all classes",
                unlabeled,
                len(manifest),
                source,
            )
        return manifest


audioset = _AudioSet.register("audioset")


def _split_dir(cfg: CfgNode) -> Path:
    files = [name for names in _LISTS.values() for name in names]
    return find_split_dir(cfg, data_root(cfg, _LAYOUT), _FOLDERS, files)


def _lists(folder: Path) -> dict[str, list[Path]]:
    """Return the lists of each split that has one."""
    there = {
        split: [folder / name for name in names if (folder / name).is_file()]
        for split, names in _LISTS.items()
    }
    return {split: files for split, files in there.items() if files}


def _read_classes(file: Path) -> tuple[list[str], Labels]:
    """Read "0,/m/09x0r,Speech" lines below a header: class names, and code -> label."""
    if not file.exists():
        return [], {}
    names: list[str] = []
    labels: Labels = {}
    for where, values in read_csv_lines(file):
        if not names and values[0] == "index":
            continue
        if len(values) != 3 or values[0] != str(len(names)):
            raise UserError(
                f"{where}: expected '{len(names)},CODE,NAME', got {','.join(values)!r}."
            )
        labels[values[1]] = len(names)
        names.append(values[2])
    return names, labels


def _read_lists(files: list[Path], labels: Labels, multi_label: bool) -> Iterator[Annotation]:
    """Read 'ID, 30.000, 40.000, "/m/09x0r,/m/05zppz"' lines."""
    for file in files:
        for where, values in read_csv_lines(file):
            if len(values) != 4:
                raise UserError(
                    f"{where}: expected 'ID, START, END, \"LABELS\"', got {', '.join(values)!r}."
                )
            video, start, end, codes = values
            try:
                start_sec, end_sec = float(start), float(end)
            except ValueError:
                raise UserError(f"{where}: expected seconds, got {start!r} and {end!r}.") from None
            if not 0 <= start_sec < end_sec:
                raise UserError(
                    f"{where}: expected 0 <= start < end, got {start_sec:g} to {end_sec:g} s."
                )
            found = _classes(codes, labels, where)
            only = found[0] if len(found) == 1 and not multi_label else NO_LABEL
            entry = segment_entry(video, start_sec, end_sec, label=only, where=where)
            yield entry._replace(labels=found) if multi_label else entry


def _classes(codes: str, labels: Labels, where: str) -> tuple[int, ...]:
    """Return the classes of "/m/09x0r,/m/05zppz", ascending; none without the list of classes."""
    if not labels:
        return ()
    found = set()
    for code in filter(None, map(str.strip, codes.split(","))):
        if code not in labels:
            raise UserError(f"{where}: the label {code!r} is not in {_CLASSES}.")
        found.add(labels[code])
    return tuple(sorted(found))


def _untested(entries: Iterator[Annotation], tested: dict[str, str]) -> Iterator[Annotation]:
    """Check that training entries are not tested on, without keeping all of them in memory."""
    for entry in entries:
        if entry.name in tested:
            raise UserError(
                f"{entry.where}: the segment {entry.video} is also in the test list, at "
                f"{tested[entry.name]}; a file may be in only one split."
            )
        yield entry
