"""The log of files that could not be decoded, ``bad_media.csv``, and the limit on their number."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from slowfast.config import ConfigValueError
from slowfast.datasets.annotations.quarantine import file_stamp
from slowfast.utils.io import append_csv_row, printable, spreadsheet_text

__all__ = ["BadMedia", "BadMediaLog", "record_missing"]

logger = logging.getLogger(__name__)

_FILE = "bad_media.csv"
_HEADER = ["split", "path", "reason"]
_SET_ASIDE = "set_aside.csv"
_SET_ASIDE_HEADER = ["split", "row", "path", "size_bytes", "modified_ns", "reason"]
_SHOWN = 5


@dataclass(frozen=True)
class BadMedia:
    """A file that could not be decoded.

    Attributes:
        row: Its row in the manifest; several samples may come from one row.
        path: The file.
        reason: The error, in one line.
        is_partial: Whether other windows of the file could be decoded.
    """

    row: int
    path: str
    reason: str
    is_partial: bool = False


class BadMediaLog:
    """Records bad files in ``bad_media.csv`` and stops the run if there are too many.

    Files that hang or kill their worker are also kept in ``set_aside.csv``: a run that resumes
    leaves them out from the start, as the uninterrupted run does from then on.

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
                shown = printable(bad.path), printable(bad.reason)
                logger.warning("bad file (%s): %s: %s", self._split, *shown)
            if len(self._paths) == _SHOWN:
                logger.warning("further bad files are recorded in %s only", self.file)
        self._check_fraction()

    def set_aside(self, bad: BadMedia) -> None:
        """Record a file that hung or killed its worker, for this run and those that resume it.

        Raises:
            UserError: As ``add``.
        """
        row = [self._split, bad.row, bad.path, *file_stamp(bad.path), bad.reason]
        append_csv_row(self.file.with_name(_SET_ASIDE), _SET_ASIDE_HEADER, row)
        self.add(bad)

    def restore(self, path_of: Callable[[int], str]) -> list[int]:
        """Count the files that a run in this folder set aside before and that are unchanged.

        Args:
            path_of: Returns the path of a row in [0, num_files).

        Returns:
            Their rows in the manifest.
        """
        file = self.file.with_name(_SET_ASIDE)
        if not file.exists():
            return []
        rows: set[int] = set()
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
            for split, row, path, size, modified, *_ in _complete_rows(lines):
                if split != self._split or int(row) >= self._num_files:
                    continue
                own = path_of(int(row))
                if spreadsheet_text(own) == path and file_stamp(own) == (int(size), int(modified)):
                    rows.add(int(row))
                    self._seen.add(int(row))
                    self._paths.add(own)
        if rows:
            logger.warning(
                "%s split: leaving out %d files that hung or killed a worker of this run before; "
                "delete %s to try them again",
                self._split,
                len(rows),
                file,
            )
        return sorted(rows)

    def _check_fraction(self) -> None:
        fraction = len(self._seen) / self._num_files
        if fraction > self._max_fraction:
            raise ConfigValueError(
                "DATA.MAX_BAD_FRACTION",
                f"{len(self._paths)} files of the {self._split} split are "
                f"bad ({fraction:.1%}, allowed {self._max_fraction:.1%}). "
                f"The reasons are in {self.file}. Fix or remove the files, or raise the limit.",
            )


def _complete_rows(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the rows of ``set_aside.csv``, except for the header and for torn ones."""
    for row in csv.reader(lines):
        if len(row) == len(_SET_ASIDE_HEADER) and all(row[k].isdecimal() for k in (1, 3, 4)):
            yield row


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
        if (split, spreadsheet_text(path)) not in known:
            append_csv_row(file, _HEADER, [split, path, reason])
