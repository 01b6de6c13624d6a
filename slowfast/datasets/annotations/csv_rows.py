"""Annotations in a csv: PySlowFast's "path label" lines, or a table with a header.

A table may also have columns for time windows and for slices of tar files. Only ``path`` is
required; the order of the columns is free:

    path,label,start_sec,end_sec,offset,size,split

The columns named by DATA.ROW_FIELDS contain numbers separated by spaces, the same count in each
row.

Labels are integers, or names of classes listed in ``classes.txt``. With DATA.MULTI_LABEL a row has
a list of them (see ``label_text``), in one column or in several: ``label_1``, ``label_2``, ...
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slowfast.config import ConfigValueError, UserError
from slowfast.datasets.annotations.csv_dialect import (
    Dialect,
    find_dialect,
    read_lines,
    split_row,
)
from slowfast.datasets.annotations.files import MEDIA_SUFFIXES, split_of
from slowfast.datasets.annotations.label_text import (
    CLASSES_FILE,
    Label,
    as_integer,
    is_label_list,
    is_numbered_label,
    parse_label,
    split_labels,
)
from slowfast.datasets.annotations.manifest import NO_LABEL, TO_END, VideoRecord

__all__ = ["CsvFormat", "parse_sec", "read_classes", "read_csv", "read_table", "splits_in"]


class CsvFormat(NamedTuple):
    """Settings of reading a csv.

    Attributes:
        prefix: DATA.PATH_PREFIX, the folder of relative paths.
        separator: DATA.PATH_LABEL_SEPARATOR, for a csv without a header.
        skip_rows: DATA.SKIP_ROWS.
        suffixes: Suffixes of media files; a last word with such a suffix is not a label.
        labels: Label of each class name listed in ``classes.txt``.
        fields: DATA.ROW_FIELDS, columns of numbers that become entries of a sample.
        multi_label: DATA.MULTI_LABEL, whether a row has a list of classes.
    """

    prefix: str = ""
    separator: str = " "
    skip_rows: int = 0
    suffixes: frozenset[str] = MEDIA_SUFFIXES
    labels: Mapping[str, int] = {}
    fields: tuple[str, ...] = ()
    multi_label: bool = False

    def dialect(self, file: Path) -> Dialect:
        """Detect the format of a csv."""
        return find_dialect(
            file,
            self.separator,
            skip_rows=self.skip_rows,
            suffixes=self.suffixes,
            fields=self.fields,
            multi_label=self.multi_label,
        )

    def parse_label(self, values: Mapping[str, str], where: str) -> Label:
        """Parse the label of a row, given by column."""
        columns = ["label"]
        if self.multi_label:
            columns += [column for column in values if is_numbered_label(column)]
        texts = (values.get(column, "") for column in columns)
        return parse_label(texts, self.labels, where, multi_label=self.multi_label)


def read_csv(
    file: Path, root: Path, form: CsvFormat, split: str | None = None
) -> Iterator[VideoRecord]:
    """Read a csv.

    Args:
        file: The csv.
        root: DATA.PATH_TO_DATA_DIR. Without a prefix, relative paths that do not exist in the
            working directory are resolved relative to this folder.
        form: Settings.
        split: If the table has a column ``split`` with several splits, only rows of this split.

    Yields:
        One row per line that is not blank.

    Raises:
        UserError: If a line cannot be read; the message names the line.
    """
    base = Path(form.prefix) if form.prefix else None
    dialect = form.dialect(file)
    missing = [name for name in form.fields if name not in (dialect.columns or ())]
    if missing:
        raise UserError(
            f"DATA.ROW_FIELDS: {file} has no column {missing[0]!r}; expected a header with this "
            f"column. Columns found: {dialect}."
        )
    numbered = [name for name in dialect.unread if is_numbered_label(name)]
    if numbered:
        raise ConfigValueError(
            "DATA.MULTI_LABEL",
            f"got False, but {file} has several columns of labels ({', '.join(numbered)}); use "
            "True, or rename the one to read to 'label'.",
        )
    if dialect.is_plain:
        rows = _plain_rows(file, form, dialect)
    else:
        lines = read_table(file, form, dialect, split)
        rows = (_row(values, form, where) for where, values in lines)
    for row in rows:
        full = base / row.path if base else Path(row.path)
        if not base and not full.is_absolute() and not full.exists():
            full = root / row.path
        yield row._replace(path=str(full))


def read_table(
    file: Path, form: CsvFormat, dialect: Dialect, split: str | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read the rows of a csv with a header.

    Args:
        file: The csv.
        form: Settings.
        dialect: The format of the csv, with columns.
        split: If the table has a column ``split`` with several splits, only rows of this split.

    Yields:
        ``file:line``, and the stripped values by column.

    Raises:
        UserError: If a row has too many or too few values, or an unknown split.
    """
    wanted = split if split and len(splits_in(file, form, dialect)) > 1 else None
    for where, values in _table(file, form, dialect):
        if wanted is None or _split(values["split"], where) == wanted:
            yield where, values


def splits_in(file: Path, form: CsvFormat, dialect: Dialect) -> list[str]:
    """Return the splits in the column ``split`` of a csv.

    Args:
        file: The csv.
        form: Settings.
        dialect: The format of the csv.

    Returns:
        Sorted names of splits, a subset of SPLITS; empty without such a column.

    Raises:
        UserError: If a value of the column is not a split.
    """
    if "split" not in (dialect.columns or ()):
        return []
    table = _table(file, form, dialect)
    return sorted({_split(values["split"], where) for where, values in table})


def read_classes(file: Path) -> list[str]:
    """Read ``classes.txt``: one class name per line, in the order of the labels.

    Each line may start with its label or its line number, as in ``0 jump`` or ``1 jump``.

    Args:
        file: The list.

    Returns:
        The names; empty if the file does not exist.

    Raises:
        UserError: If a name occurs twice.
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
    """Parse a time: seconds, ``mm:ss`` or ``hh:mm:ss``, with or without decimals.

    Args:
        text: The time.

    Returns:
        Seconds.

    Raises:
        ValueError: If the text has another format.
    """
    *large, seconds = text.split(":")
    total = 0
    for part in large:
        total = 60 * total + int(part)
    value = float(seconds)
    if large and (not 0 <= value < 60 or len(large) > 2 or total < 0):
        raise ValueError(text)
    return 60 * total + value


def _plain_rows(file: Path, form: CsvFormat, dialect: Dialect) -> Iterator[VideoRecord]:
    has_header = dialect.columns is not None
    for number, line in read_lines(file, dialect.encoding, form.skip_rows):
        if has_header:
            has_header = False
        else:
            split = _split_list_line if form.multi_label else _split_line
            yield split(line, form, dialect.separator, f"{file}:{number}")


def _split_line(line: str, form: CsvFormat, separator: str, where: str) -> VideoRecord:
    """Split at the last separator, so that paths may contain spaces; values may be quoted."""
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
        _check_one_label(path, form, separator, where)
        return VideoRecord(path, number)
    if Path(line).suffix.lower() in form.suffixes:
        return VideoRecord(line, NO_LABEL)  # A path that contains the separator, without label.
    if is_label_list(label):
        parse_label([label], form.labels, where)  # raises
    shown = "\\t" if separator == "\t" else separator
    names = f"not a class of {CLASSES_FILE}" if form.labels else f"there is no {CLASSES_FILE}"
    raise UserError(
        f"{where}: got {line!r}; expected 'path{shown}label' with an integer label or a class "
        f"listed in {CLASSES_FILE} ({label!r}: {names}). DATA.PATH_LABEL_SEPARATOR is the "
        "separator of the two."
    )


def _check_one_label(path: str, form: CsvFormat, separator: str, where: str) -> None:
    """Raise if what is left of the label is not a path, but a path and another label."""
    start, found, label = path.rpartition(separator)
    is_label = found and _is_class(label.strip(), form)
    if is_label and _has_suffix(start, form) and not _has_suffix(path, form):
        raise UserError(
            f"{where}: got two labels after {start!r}; expected one. For several classes per row "
            "set DATA.MULTI_LABEL True."
        )


def _split_list_line(line: str, form: CsvFormat, separator: str, where: str) -> VideoRecord:
    """Split a path from the lists of classes that follow it; paths may contain the separator."""
    fields = split_row(line.strip(), separator)
    first = len(fields)
    while first > 1 and _is_list(fields[first - 1], form):
        first -= 1
    path = separator.join(fields[:first])
    if first == len(fields) and not _has_suffix(path, form):
        shown = "\\t" if separator == "\t" else separator
        raise UserError(
            f"{where}: got {line!r}; expected 'path{shown}labels', where labels are numbers or "
            f'names listed in {CLASSES_FILE}, as in 1,3 or "run,jump".'
        )
    label = parse_label(fields[first:], form.labels, where, multi_label=True)
    return VideoRecord(path, labels=label.labels)


def _has_suffix(path: str, form: CsvFormat) -> bool:
    return Path(path).suffix.lower() in form.suffixes


def _is_list(text: str, form: CsvFormat) -> bool:
    return not text or all(_is_class(item, form) for item in split_labels(text, form.labels))


def _is_class(text: str, form: CsvFormat) -> bool:
    return text in form.labels or as_integer(text) is not None


def _split_at_class(line: str, separator: str, labels: Mapping[str, int]) -> tuple[str, str]:
    """Split a line into path and label; names of classes may contain the separator."""
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
        values = split_row(line, dialect.separator)
        if len(values) != len(columns):
            raise UserError(
                f"{where}: got {len(values)} values, but the header has {len(columns)} columns "
                f"({dialect}). Put quotes around a path that contains the separator."
            )
        yield where, dict(zip(columns, values, strict=True))


_NUMBERS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "start_sec": (parse_sec, 0.0),
    "end_sec": (parse_sec, math.inf),
    "offset": (int, 0),
    "size": (int, TO_END),
}
"""Per column: its parser, and the value if it is empty."""


def _row(texts: Mapping[str, str], form: CsvFormat, where: str) -> VideoRecord:
    """Parse a row."""
    values: dict[str, Any] = form.parse_label(texts, where)._asdict()
    if form.fields:
        values["fields"] = {name: _numbers(texts[name], name, where) for name in form.fields}
    for name, (kind, default) in _NUMBERS.items():
        text = texts.get(name, "")
        try:
            values[name] = kind(text) if text else default
        except ValueError:
            raise UserError(f"{where}: column {name}: got {text!r}; expected a number.") from None
    row = VideoRecord(texts["path"], **values)
    _check_row(row, where)
    return row


def _numbers(text: str, name: str, where: str) -> np.ndarray:
    """Parse numbers separated by spaces: int64 or float32 (n,), or () for a single one."""
    words = text.split()
    for kind, dtype in ((int, np.int64), (float, np.float32)):
        try:
            values = np.array([kind(word) for word in words], dtype)
        except (ValueError, OverflowError):
            continue
        if words:
            return values if len(words) > 1 else values[0]
    raise UserError(
        f"{where}: column {name}: got {text!r}; expected numbers separated by spaces, as "
        "DATA.ROW_FIELDS contains this column."
    )


def _split(text: str, where: str) -> str:
    split = split_of(text)
    if split is None:
        raise UserError(f"{where}: column split: got {text!r}; expected train, val or test.")
    return split


def _check_row(row: VideoRecord, where: str) -> None:
    if not row.path:
        raise UserError(f"{where}: the path is empty.")
    if not 0 <= row.start_sec < row.end_sec:
        raise UserError(
            f"{where}: got the window {row.start_sec:g} to {row.end_sec:g} s; expected "
            "0 <= start_sec < end_sec."
        )
    if row.offset < 0 or not (row.size == TO_END or row.size > 0):
        raise UserError(
            f"{where}: got offset {row.offset} and size {row.size}; expected bytes: offset >= 0, "
            "and size > 0 or empty (up to the end of the file)."
        )
