"""The rows of ``SPLIT.csv``: PySlowFast's "path label" lines, or a csv with a header.

A header may name windows and slices of tar files as well; its columns, of which only ``path`` is
needed, may stand in any order:

    path,label,start_sec,end_sec,offset,size
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from slowfast.config import UserError
from slowfast.datasets.manifest import NO_LABEL, TO_END, Row

__all__ = ["CSV_COLUMNS", "CsvFormat", "read_csv"]

CSV_COLUMNS = ("path", "label", "start_sec", "end_sec", "offset", "size")
"""What the header of a csv may name."""


class CsvFormat(NamedTuple):
    """How a csv is to be read.

    Attributes:
        prefix: DATA.PATH_PREFIX, joined in front of relative paths.
        separator: DATA.PATH_LABEL_SEPARATOR, of a csv without a header.
        skip_rows: DATA.SKIP_ROWS.
        suffixes: Of media files: a last word that ends so is not a label.
    """

    prefix: str = ""
    separator: str = " "
    skip_rows: int = 0
    suffixes: frozenset[str] = frozenset()


def read_csv(file: Path, root: Path, form: CsvFormat) -> Iterator[Row]:
    """Read a csv.

    Args:
        file: The csv.
        root: DATA.PATH_TO_DATA_DIR; relative paths that are not found from the working folder are
            looked for here, if there is no prefix.
        form: How to read it.

    Yields:
        One row per line that is not empty.

    Raises:
        UserError: If a line cannot be read; it is named.
    """
    base = Path(form.prefix) if form.prefix else None
    form = form._replace(separator=form.separator.replace("\\t", "\t"))
    columns: list[str] | None = None
    with file.open("rb") as start:
        encoding = _ENCODINGS.get(start.read(2), "utf-8")
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    with file.open(encoding=encoding, errors=errors, newline="") as lines:
        is_first = True
        for number, line in enumerate(lines, start=1):
            text = line.removeprefix("\ufeff").strip()
            if number <= form.skip_rows or not text:
                continue
            if is_first:
                is_first = False
                columns = _header(text)
                if columns is not None:
                    continue
            where = f"{file}:{number}"
            row = (
                _split_line(text, form, where) if columns is None else _cells(text, columns, where)
            )
            full = base / row.path if base else Path(row.path)
            if not base and not full.is_absolute() and not full.exists():
                full = root / row.path
            yield row._replace(path=str(full))


_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""First bytes of a csv -> its encoding, where it is not UTF-8 (with or without a mark)."""

_PATH_NAMES = frozenset({"file", "filename", "filepath", "file_path", "video", "video_path"})
_LABEL_NAMES = frozenset({"class", "target", "y", "label_id", "class_id"})
_INDEX_NAMES = frozenset({"", "unnamed: 0", "index"})
"""What other programs call the path, the label, and a first column that only counts rows."""


def _header(line: str) -> list[str] | None:
    """Return the columns a line names, None if it is no header."""
    names = [name.strip().strip('"').lower() for name in line.split(",")]
    if names[0] in _INDEX_NAMES and len(names) > 1:
        names[0] = _IGNORED
    names = ["path" if name in _PATH_NAMES else name for name in names]
    names = ["label" if name in _LABEL_NAMES else name for name in names]
    known = {*CSV_COLUMNS, _IGNORED}
    return names if names.count("path") == 1 and set(names) <= known else None


def _split_line(line: str, form: CsvFormat, where: str) -> Row:
    """Split at the LAST separator, so that paths may hold spaces; csv quoting is understood."""
    separator = form.separator
    if line.startswith('"'):
        fields = next(csv.reader([line], delimiter=separator))
        path, label = fields[0], fields[-1] if len(fields) > 1 else ""
    else:
        path, found, label = line.rpartition(separator)
        if not found:
            path, label = line, ""
    path, label = path.strip(), label.strip()
    if label:
        try:
            return Row(path, _integer(label))
        except ValueError:
            if Path(line).suffix.lower() not in form.suffixes:
                raise _not_path_and_label(line, separator, where) from None
            path = line  # a path with a space in it and no label
    other = next((s for s in _SEPARATORS if s != separator and _is_label_after(s, path)), None)
    if other is not None:
        raise _not_path_and_label(line, separator, where, other)
    return Row(path, NO_LABEL)


_IGNORED = "(ignored)"
_SEPARATORS = (",", "\t", ";", "|", " ")


def _is_label_after(separator: str, line: str) -> bool:
    path, _, label = line.rpartition(separator)
    return bool(path) and bool(Path(path.strip()).suffix) and label.strip().isdigit()


def _integer(text: str) -> int:
    """Read a whole number, also as tables with gaps hold it: ``3.0``."""
    value = float(text)
    if not value.is_integer():
        raise ValueError(text)
    return int(value)


def _not_path_and_label(
    line: str, separator: str, where: str, other: str | None = None
) -> UserError:
    hint = (
        "" if other is None else f" It looks like {other!r}: DATA.PATH_LABEL_SEPARATOR {other!r}."
    )
    return UserError(
        f"{where}: expected 'path{separator}label' with an integer label, got {line!r}. "
        f"DATA.PATH_LABEL_SEPARATOR is what stands between the two.{hint} A first line that names "
        f"columns may hold {', '.join(CSV_COLUMNS)}, separated by commas."
    )


_NUMBERS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "label": (_integer, NO_LABEL),
    "start_sec": (float, 0.0),
    "end_sec": (float, math.inf),
    "offset": (int, 0),
    "size": (int, TO_END),
}
"""Per column: how it is read, and what an empty cell means."""


def _cells(line: str, columns: list[str], where: str) -> Row:
    """Read a line below a header."""
    cells = next(csv.reader([line]))
    if len(cells) != len(columns):
        raise UserError(
            f"{where}: got {len(cells)} cells, but the header names {len(columns)} columns "
            f"({','.join(columns)}). A path with a comma in it needs quotes."
        )
    named = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    values: dict[str, Any] = {}
    for name, (kind, default) in _NUMBERS.items():
        cell = named.get(name, "")
        try:
            values[name] = kind(cell) if cell else default
        except ValueError:
            raise UserError(f"{where}: column {name}: got {cell!r}, expected a number.") from None
    row = Row(named["path"], **values)
    _check_row(row, where)
    return row


def _check_row(row: Row, where: str) -> None:
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
