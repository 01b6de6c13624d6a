"""Entries of official split lists, and the media files that belong to them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord, share_manifest
from slowfast.datasets.annotations.split_files import media_root
from slowfast.datasets.bad_media import record_missing
from slowfast.utils import distributed

__all__ = ["Annotation", "Locate", "check_disjoint", "entries_to_manifest"]


logger = logging.getLogger(__name__)

_SHOWN = 3


class Annotation(NamedTuple):
    """An entry of a split list.

    Attributes:
        name: The file, relative to the data folder.
        label: Its class; NO_LABEL if unknown.
        where: The line of the entry, as ``file:line``.
        video: Id of the video, for a segment of a video.
        start_sec: Start of the segment in the video, in seconds.
        end_sec: End of the segment, in seconds.
        labels: Its classes, with DATA.MULTI_LABEL; None if unknown, or if there is one class.
    """

    name: str
    label: int
    where: str
    video: str = ""
    start_sec: float = 0.0
    end_sec: float = math.inf
    labels: tuple[int, ...] | None = None

    def row(self, path: str, start_sec: float = 0.0, end_sec: float = math.inf) -> VideoRecord:
        """Return the row of the entry's file, or of a window of it."""
        return VideoRecord(path, self.label, start_sec, end_sec, labels=self.labels)


Locate = Callable[[Annotation], VideoRecord | None]
"""Returns the row of an entry, or None if its file does not exist."""


def check_disjoint(train: Iterable[Annotation], test: Iterable[Annotation]) -> None:
    """Check that no file is listed twice.

    Args:
        train: Entries of the train split.
        test: Entries of the test split.

    Raises:
        UserError: If a file is in both splits, or twice in one of them.
    """
    seen: dict[str, str] = {}
    for entry in (*train, *test):
        if entry.name in seen:
            raise UserError(
                f"{entry.where}: {entry.name} is listed already, at {seen[entry.name]}; a file "
                "may be listed only once, in one split."
            )
        seen[entry.name] = entry.where


def entries_to_manifest(
    cfg: CfgNode,
    split: str,
    entries: Iterable[Annotation],
    locate: Locate,
    *,
    class_names: list[str],
    layout: str,
) -> Manifest:
    """Find the files of a split; a few may be missing, and are skipped.

    Args:
        cfg: The configuration.
        split: Name of the split, for messages.
        entries: The entries of the split lists.
        locate: Returns the row of an entry, or None if its file does not exist.
        class_names: Names of the classes.
        layout: The expected layout of the files, for messages.

    Returns:
        The manifest, memory-mapped from the cache folder if that is writable.

    Raises:
        UserError: If the lists are empty, or if more files than DATA.MAX_BAD_FRACTION are missing.
    """
    missing: list[Annotation] = []

    def rows() -> Iterator[VideoRecord]:
        for entry in entries:
            row = locate(entry)
            if row is None:
                missing.append(entry)
            else:
                yield row

    manifest = Manifest.from_rows(rows(), class_names)
    total = len(missing) + len(manifest)
    if not total:
        raise UserError(f"the official lists name no file of the {split} split.")
    if missing:
        _check_missing(cfg, split, missing, total, layout)
    return share_manifest(manifest)


def _check_missing(
    cfg: CfgNode, split: str, missing: list[Annotation], total: int, layout: str
) -> None:
    root = media_root(cfg, layout)
    first = missing[0]
    if len(missing) == total:
        raise ConfigValueError(
            "DATA.PATH_PREFIX" if cfg.DATA.PATH_PREFIX else "DATA.PATH_TO_DATA_DIR",
            f"none of the {total} files of the {split} split exists. The "
            f"first is {root / first.name} ({first.where}). Expected: {layout}.",
        )
    share = len(missing) / total
    counts = f"{len(missing)} of the {total} files of the {split} split ({share:.1%})"
    examples = ", ".join(str(root / entry.name) for entry in missing[:_SHOWN])
    if share > cfg.DATA.MAX_BAD_FRACTION:
        raise ConfigValueError(
            "DATA.MAX_BAD_FRACTION",
            f"{counts} are missing, allowed are "
            f"{cfg.DATA.MAX_BAD_FRACTION:.1%}; e.g. {examples}. Expected: {layout}. Complete the "
            "dataset, or raise the limit to use the existing files.",
        )
    if distributed.rank() == 0:
        reasons = ((str(root / e.name), f"no such file; listed at {e.where}") for e in missing)
        record_missing(Path(cfg.OUTPUT_DIR), split, reasons)
        logger.warning(
            "%s are missing and are skipped, e.g. %s; all are recorded in %s",
            counts,
            examples,
            Path(cfg.OUTPUT_DIR) / "bad_media.csv",
        )
