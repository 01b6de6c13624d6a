"""What official split files list, and the files of it that are there."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.datasets.bad_media import record_missing
from slowfast.datasets.manifest import Manifest, VideoRecord, share_manifest
from slowfast.utils import distributed

__all__ = ["Annotation", "Locate", "check_disjoint", "entries_to_manifest"]


logger = logging.getLogger(__name__)

_SHOWN = 3


class Annotation(NamedTuple):
    """A line of a split file.

    Attributes:
        name: The file it names, relative to the data folder.
        label: Its class; NO_LABEL where unknown.
        where: The line, as ``file:line``.
        video: Id of the video that it is a segment of.
        start_sec: Where the segment starts in the video.
        end_sec: Where it ends.
    """

    name: str
    label: int
    where: str
    video: str = ""
    start_sec: float = 0.0
    end_sec: float = math.inf


Locate = Callable[[Annotation], VideoRecord | None]
"""Gives the row of an entry, None if its file is not there."""


def check_disjoint(train: Iterable[Annotation], test: Iterable[Annotation]) -> None:
    """Refuse lists of which one file is in both.

    Args:
        train: Entries to train on.
        test: Entries to test on.

    Raises:
        UserError: If a file is in both, or twice in one of them.
    """
    seen: dict[str, str] = {}
    for entry in (*train, *test):
        if entry.name in seen:
            raise UserError(
                f"{entry.where}: {entry.name} is listed already, at {seen[entry.name]}; a file "
                "may be in one split only, once."
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
    """Find the files of a split; a few may be missing, and are left out.

    Args:
        cfg: The configuration.
        split: Its name, for messages.
        entries: What the split files list.
        locate: Returns the row of an entry; None if its file is not there.
        class_names: Names of the classes.
        layout: Where files are expected, for messages.

    Returns:
        The manifest, memory-mapped from the cache folder where that can be written.

    Raises:
        UserError: If all are missing, or more than DATA.MAX_BAD_FRACTION, or none is listed.
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
        _judge_missing(cfg, split, missing, total, layout)
    return share_manifest(manifest)


def _judge_missing(
    cfg: CfgNode, split: str, missing: list[Annotation], total: int, layout: str
) -> None:
    root = Path(cfg.DATA.PATH_TO_DATA_DIR).expanduser()
    first = missing[0]
    if len(missing) == total:
        raise ConfigValueError(
            "DATA.PATH_TO_DATA_DIR",
            f"none of the {total} files of the {split} split is there. The "
            f"first would be {root / first.name} ({first.where}). Expected: {layout}.",
        )
    share = len(missing) / total
    counts = f"{len(missing)} of the {total} files of the {split} split ({share:.1%})"
    examples = ", ".join(str(root / entry.name) for entry in missing[:_SHOWN])
    if share > cfg.DATA.MAX_BAD_FRACTION:
        raise ConfigValueError(
            "DATA.MAX_BAD_FRACTION",
            f"{counts} are not there, allowed are "
            f"{cfg.DATA.MAX_BAD_FRACTION:.1%}; e.g. {examples}. Expected: {layout}. Complete the "
            "dataset, or raise the limit to use what is there.",
        )
    if distributed.rank() == 0:
        reasons = ((str(root / e.name), f"no such file; listed at {e.where}") for e in missing)
        record_missing(Path(cfg.OUTPUT_DIR), split, reasons)
        logger.warning(
            "%s are not there and are left out, e.g. %s; all are recorded in %s",
            counts,
            examples,
            Path(cfg.OUTPUT_DIR) / "bad_media.csv",
        )
