"""Files that could not be used: recorded with their reason, counted, never silently replaced."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from slowfast.config import ConfigValueError
from slowfast.utils.io import append_csv_row

__all__ = ["BadMedia", "BadMediaLog", "record_missing"]

logger = logging.getLogger(__name__)

_FILE = "bad_media.csv"
_HEADER = ["split", "path", "reason"]
_SHOWN = 5


@dataclass(frozen=True)
class BadMedia:
    """One file that could not be used.

    Attributes:
        row: Its row in the manifest; several samples may belong to it.
        path: The file.
        reason: One line.
    """

    row: int
    path: str
    reason: str


class BadMediaLog:
    """Records bad files in ``bad_media.csv`` and stops the run when there are too many.

    Args:
        folder: OUTPUT_DIR.
        split: Name of the split, for the record.
        num_files: Rows of the split's manifest.
        max_fraction: DATA.MAX_BAD_FRACTION.
    """

    def __init__(self, folder: Path, *, split: str, num_files: int, max_fraction: float) -> None:
        self.file = folder / _FILE
        self._split, self._num_files, self._max_fraction = split, num_files, max_fraction
        self._seen: set[int] = set()
        self._paths: set[str] = set()

    def __len__(self) -> int:
        return len(self._paths)

    def add(self, bad: BadMedia) -> None:
        """Record a file, once.

        Args:
            bad: The file and why it could not be used.

        Raises:
            UserError: If the share of bad files passes DATA.MAX_BAD_FRACTION.
        """
        if bad.row in self._seen:
            return
        self._seen.add(bad.row)
        if bad.path not in self._paths:
            self._paths.add(bad.path)
            append_csv_row(self.file, _HEADER, [self._split, bad.path, bad.reason])
            if len(self._paths) <= _SHOWN:
                logger.warning("bad file (%s): %s: %s", self._split, bad.path, bad.reason)
            if len(self._paths) == _SHOWN:
                logger.warning("further bad files are recorded in %s only", self.file)
        self._check_fraction()

    def _check_fraction(self) -> None:
        fraction = len(self._seen) / self._num_files
        if fraction > self._max_fraction:
            raise ConfigValueError(
                "DATA.MAX_BAD_FRACTION",
                f"{len(self._paths)} files of the {self._split} split are "
                f"bad ({fraction:.1%}, allowed {self._max_fraction:.1%}). "
                f"Their reasons are in {self.file}. Fix or remove them, or raise the limit.",
            )


def record_missing(folder: Path, split: str, missing: Iterable[tuple[str, str]]) -> None:
    """Write files that a split file names and that are not there to ``bad_media.csv``.

    A split is read whenever it is evaluated; what the file says already is not written again.

    Args:
        folder: OUTPUT_DIR.
        split: Name of the split, for the record.
        missing: Path and reason of each file.
    """
    file = folder / _FILE
    known: set[tuple[str, str]] = set()
    if file.exists():
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            known = {(row["split"], row["path"]) for row in csv.DictReader(lines)}
    for path, reason in missing:
        if (split, path) not in known:
            append_csv_row(file, _HEADER, [split, path, reason])
