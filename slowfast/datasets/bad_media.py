"""The log of files that could not be decoded, ``bad_media.csv``, and the limit on their number."""

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
    """A file that could not be decoded.

    Attributes:
        row: Its row in the manifest; several samples may come from one row.
        path: The file.
        reason: The error, in one line.
    """

    row: int
    path: str
    reason: str


class BadMediaLog:
    """Records bad files in ``bad_media.csv`` and stops the run if there are too many.

    Args:
        folder: OUTPUT_DIR.
        split: Name of the split; the first column of the csv.
        num_files: Number of rows of the split's manifest.
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
        """Record a bad file; a file that is already recorded is skipped.

        Raises:
            UserError: If the fraction of bad files exceeds DATA.MAX_BAD_FRACTION.
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
                f"The reasons are in {self.file}. Fix or remove the files, or raise the limit.",
            )


def record_missing(folder: Path, split: str, missing: Iterable[tuple[str, str]]) -> None:
    """Record missing files of a split file in ``bad_media.csv``.

    A split may be read several times in a run; entries that exist already are skipped.

    Args:
        folder: OUTPUT_DIR.
        split: Name of the split; the first column of the csv.
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
