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
    columns: list[str] | None = None
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        is_first = True
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            if number <= form.skip_rows or not text.strip():
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


def _header(line: str) -> list[str] | None:
    """Return the columns a line names, None if it is no header."""
    names = [name.strip().lower() for name in line.lstrip("\ufeff").split(",")]
    return names if "path" in names and set(names) <= set(CSV_COLUMNS) else None


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
    if not label:
        return Row(path, NO_LABEL)
    try:
        return Row(path, int(label))
    except ValueError:
        if Path(line).suffix.lower() in form.suffixes:
            return Row(line, NO_LABEL)  # A path with a space in it and no label.
        raise UserError(
            f"{where}: expected 'path{separator}label' with an integer label, got {line!r}. "
            "DATA.PATH_LABEL_SEPARATOR is what stands between the two."
        ) from None


_NUMBERS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "label": (int, NO_LABEL),
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
