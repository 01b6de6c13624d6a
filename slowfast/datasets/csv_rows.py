"""The rows of a csv: PySlowFast's "path label" lines, or a table with a header.

A header may name windows and slices of tar files as well; its columns, of which only ``path`` is
needed, may stand in any order:

    path,label,start_sec,end_sec,offset,size,split

Columns that DATA.ROW_FIELDS names hold numbers, separated by spaces, as many in each row.

Labels are integers, or names of classes that ``classes.txt`` lists.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slowfast.config import UserError
from slowfast.datasets.csv_dialect import Dialect, as_integer, find_dialect, read_lines, split_cells
from slowfast.datasets.files import MEDIA_SUFFIXES, split_of
from slowfast.datasets.manifest import NO_LABEL, TO_END, VideoRecord
from slowfast.utils.registry import nearest

__all__ = ["CsvFormat", "parse_sec", "read_classes", "read_csv", "read_table", "splits_in"]

CLASSES_FILE = "classes.txt"


class CsvFormat(NamedTuple):
    """How a csv is to be read.

    Attributes:
        prefix: DATA.PATH_PREFIX, joined in front of relative paths.
        separator: DATA.PATH_LABEL_SEPARATOR, of a csv without a header.
        skip_rows: DATA.SKIP_ROWS.
        suffixes: Of media files: a last word that ends so is not a label.
        labels: Label by the name of its class, where ``classes.txt`` lists them.
        fields: DATA.ROW_FIELDS, columns of numbers that become entries of a sample.
    """

    prefix: str = ""
    separator: str = " "
    skip_rows: int = 0
    suffixes: frozenset[str] = MEDIA_SUFFIXES
    labels: Mapping[str, int] = {}
    fields: tuple[str, ...] = ()

    def dialect(self, file: Path) -> Dialect:
        """Find out how a csv is written."""
        return find_dialect(
            file,
            self.separator,
            skip_rows=self.skip_rows,
            suffixes=self.suffixes,
            fields=self.fields,
        )


def read_csv(
    file: Path, root: Path, form: CsvFormat, split: str | None = None
) -> Iterator[VideoRecord]:
    """Read a csv.

    Args:
        file: The csv.
        root: DATA.PATH_TO_DATA_DIR; relative paths that are not found from the working folder are
            looked for here, if there is no prefix.
        form: How to read it.
        split: Of a table with a column ``split`` that names several, only the rows of this one.

    Yields:
        One row per line that is not empty.

    Raises:
        UserError: If a line cannot be read; it is named.
    """
    base = Path(form.prefix) if form.prefix else None
    dialect = form.dialect(file)
    missing = [name for name in form.fields if name not in (dialect.columns or ())]
    if missing:
        raise UserError(
            f"DATA.ROW_FIELDS: {file} has no column {missing[0]!r}; expected a header that names "
            f"it. The file reads as: {dialect}."
        )
    if dialect.is_plain:
        rows = _plain_rows(file, form, dialect)
    else:
        lines = read_table(file, form, dialect, split)
        rows = (_row(cells, form, where) for where, cells in lines)
    for row in rows:
        full = base / row.path if base else Path(row.path)
        if not base and not full.is_absolute() and not full.exists():
            full = root / row.path
        yield row._replace(path=str(full))


def read_table(
    file: Path, form: CsvFormat, dialect: Dialect, split: str | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read the rows below a header.

    Args:
        file: The csv.
        form: How to read it.
        dialect: How it is written; with columns.
        split: Of a table with a column ``split`` that names several, only the rows of this one.

    Yields:
        ``file:line``, and the cells by column, without space around them.

    Raises:
        UserError: If a row has too many or too few cells, or names an unknown split.
    """
    wanted = split if split and len(splits_in(file, form, dialect)) > 1 else None
    for where, cells in _table(file, form, dialect):
        if wanted is None or _split(cells["split"], where) == wanted:
            yield where, cells


def splits_in(file: Path, form: CsvFormat, dialect: Dialect) -> list[str]:
    """Return the splits that a table's column ``split`` names; none without that column.

    Args:
        file: The csv.
        form: How to read it.
        dialect: How it is written.

    Returns:
        Sorted names of splits, of SPLITS.

    Raises:
        UserError: If a cell of the column names no split.
    """
    if "split" not in (dialect.columns or ()):
        return []
    return sorted({_split(cells["split"], where) for where, cells in _table(file, form, dialect)})


def read_classes(file: Path) -> list[str]:
    """Read ``classes.txt``: a name per line, in the order of the labels.

    Lines such as ``0 jump`` or ``1 jump`` with the label, or the line's number, are understood.

    Args:
        file: The list.

    Returns:
        The names; none if there is no such file.

    Raises:
        UserError: If a name is there twice.
    """
    if not file.is_file():
        return []
    names = [text for _, text in read_lines(file, find_dialect(file, ",").encoding)]
    for start in (0, 1):
        words = [name.replace("\t", " ").replace(",", " ").split(maxsplit=1) for name in names]
        if all(len(w) == 2 and w[0] == str(n) for n, w in enumerate(words, start)):
            names = [w[1] for w in words]
            break
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{file}: the class {twice!r} is listed twice.")
    return names


def parse_sec(text: str) -> float:
    """Read an instant: seconds, ``mm:ss`` or ``hh:mm:ss``, with or without decimals.

    Args:
        text: The instant.

    Returns:
        Seconds.

    Raises:
        ValueError: If it is none of them.
    """
    *large, seconds = text.split(":")
    total = 0
    for part in large:
        total = 60 * total + int(part)
    value = float(seconds)
    if large and (not 0 <= value < 60 or len(large) > 2 or total < 0):
        raise ValueError(text)
    return 60 * total + value


def parse_label(text: str, labels: Mapping[str, int], where: str) -> int:
    """Read a label: an integer, or the name of a class.

    Args:
        text: The label; empty: unknown.
        labels: Label by name.
        where: ``file:line``, for the message.

    Returns:
        The label.

    Raises:
        UserError: If it is neither.
    """
    if not text:
        return NO_LABEL
    if text in labels:
        return labels[text]
    number = as_integer(text)
    if number is not None:
        return number
    if labels:
        raise UserError(f"{where}: {text!r} is no class of {CLASSES_FILE}. {nearest(text, labels)}")
    raise UserError(
        f"{where}: column label: got {text!r}, expected a number, or the name of a class, all of "
        f"which {CLASSES_FILE} beside the csv lists, one a line."
    )


def _plain_rows(file: Path, form: CsvFormat, dialect: Dialect) -> Iterator[VideoRecord]:
    has_header = dialect.columns is not None
    for number, line in read_lines(file, dialect.encoding, form.skip_rows):
        if has_header:
            has_header = False
        else:
            yield _split_line(line, form, dialect.separator, f"{file}:{number}")


def _split_line(line: str, form: CsvFormat, separator: str, where: str) -> VideoRecord:
    """Split at the LAST separator, so that paths may hold spaces; csv quoting is understood."""
    line = line.strip()
    if line.startswith('"'):
        fields = next(csv.reader([line], delimiter=separator))
        path, label = fields[0], fields[-1].strip() if len(fields) > 1 else ""
    else:
        path, label = _split_at_class(line, separator, form.labels)
    if not label:
        return VideoRecord(path, NO_LABEL)
    number = form.labels.get(label, as_integer(label))
    if number is not None:
        return VideoRecord(path, number)
    if Path(line).suffix.lower() in form.suffixes:
        return VideoRecord(line, NO_LABEL)  # A path with a space in it and no label.
    shown = "\\t" if separator == "\t" else separator
    names = f"no class of {CLASSES_FILE}" if form.labels else f"there is no {CLASSES_FILE}"
    raise UserError(
        f"{where}: expected 'path{shown}label' with an integer label, or one that {CLASSES_FILE} "
        f"lists, got {line!r} ({label!r}: {names}). DATA.PATH_LABEL_SEPARATOR is what stands "
        "between the two."
    )


def _split_at_class(line: str, separator: str, labels: Mapping[str, int]) -> tuple[str, str]:
    """Split a line into path and label; names of classes may hold the separator."""
    place = line.find(separator) if labels else -1
    while place >= 0:
        if line[place + 1 :].strip() in labels:
            return line[:place].strip(), line[place + 1 :].strip()
        place = line.find(separator, place + 1)
    path, found, label = line.rpartition(separator)
    return (path.strip(), label.strip()) if found else (line, "")


def _table(file: Path, form: CsvFormat, dialect: Dialect) -> Iterator[tuple[str, dict[str, str]]]:
    columns: Sequence[str] = dialect.columns or ()
    is_header = True
    for number, line in read_lines(file, dialect.encoding, form.skip_rows):
        if is_header:
            is_header = False
            continue
        where = f"{file}:{number}"
        cells = split_cells(line, dialect.separator)
        if len(cells) != len(columns):
            raise UserError(
                f"{where}: got {len(cells)} cells, but the header names {len(columns)} columns "
                f"({dialect}). A path with the separator in it needs quotes."
            )
        yield where, dict(zip(columns, cells, strict=True))


_NUMBERS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "start_sec": (parse_sec, 0.0),
    "end_sec": (parse_sec, math.inf),
    "offset": (int, 0),
    "size": (int, TO_END),
}
"""Per column: how it is read, and what an empty cell means."""


def _row(cells: Mapping[str, str], form: CsvFormat, where: str) -> VideoRecord:
    """Read the cells of a row."""
    values: dict[str, Any] = {"label": parse_label(cells.get("label", ""), form.labels, where)}
    if form.fields:
        values["fields"] = {name: _numbers(cells[name], name, where) for name in form.fields}
    for name, (kind, default) in _NUMBERS.items():
        cell = cells.get(name, "")
        try:
            values[name] = kind(cell) if cell else default
        except ValueError:
            raise UserError(f"{where}: column {name}: got {cell!r}, expected a number.") from None
    row = VideoRecord(cells["path"], **values)
    _check_row(row, where)
    return row


def _numbers(cell: str, name: str, where: str) -> np.ndarray:
    """Read a cell of numbers: int64 or float32 (n,); () of a single one."""
    words = cell.split()
    for kind, dtype in ((int, np.int64), (float, np.float32)):
        try:
            values = np.array([kind(word) for word in words], dtype)
        except (ValueError, OverflowError):
            continue
        if words:
            return values if len(words) > 1 else values[0]
    raise UserError(
        f"{where}: column {name}: got {cell!r}, expected numbers separated by spaces, as "
        "DATA.ROW_FIELDS names it."
    )


def _split(text: str, where: str) -> str:
    split = split_of(text)
    if split is None:
        raise UserError(f"{where}: column split: got {text!r}, expected train, val or test.")
    return split


def _check_row(row: VideoRecord, where: str) -> None:
    if not row.path:
        raise UserError(f"{where}: the path is empty.")
    if not 0 <= row.start_sec < row.end_sec:
        raise UserError(
            f"{where}: got the window {row.start_sec:g} to {row.end_sec:g} s, expected "
            "0 <= start_sec < end_sec."
        )
    if row.offset < 0 or not (row.size == TO_END or row.size > 0):
        raise UserError(
            f"{where}: got offset {row.offset} and size {row.size}, expected bytes: an offset from "
            "0 and a size above 0, or an empty cell for all that follows."
        )
