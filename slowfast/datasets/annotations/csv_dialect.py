"""Detection of the format of a csv: encoding, separator and columns."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.config import ConfigValueError, UserError
from slowfast.datasets.annotations.label_text import (
    as_integer,
    is_label_list,
    is_numbered_label,
)
from slowfast.utils.io import text_encoding

__all__ = ["Dialect", "find_dialect", "read_lines", "split_row"]

_COLUMNS = {
    "path": (
        *("path", "file", "filename", "file_name", "filepath", "file_path", "video", "video_path"),
        *("video_file", "video_name", "videoname", "audio", "audio_path", "audio_file"),
    ),
    "label": (
        *("label", "class", "class_id", "class_idx", "class_index", "class_name", "category"),
        *("target", "label_id", "label_name", "labels", "action"),
    ),
    "youtube_id": ("youtube_id", "ytid", "yt_id", "video_id", "videoid"),
    "start_sec": (
        *("start_sec", "time_start", "start_time", "starttime", "start_seconds", "start"),
        *("t_start",),
    ),
    "end_sec": ("end_sec", "time_end", "end_time", "endtime", "end_seconds", "end", "t_end"),
    "offset": ("offset",),
    "size": ("size",),
    "split": ("split", "subset"),
}
"""Names of the columns in a header, lower case; earlier names take precedence."""

_SEPARATORS = (",", "\t", ";", "|", " ")
_NAMES = {" ": "a space", "\t": "a tab"}
_NUM_SAMPLED = 200


class Dialect(NamedTuple):
    """The format of a csv.

    Attributes:
        encoding: Text encoding.
        separator: Character between values.
        columns: Name of each column, "" for a column that is not read. None: there is no header,
            and a row is a path and a label.
        unread: Columns of the header that are not read.
    """

    encoding: str
    separator: str
    columns: list[str] | None = None
    unread: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether a row is split at its last separator, so that paths may contain it."""
        return self.columns is None or (self.separator != "," and self.columns == ["path", "label"])

    def __str__(self) -> str:
        columns = ["path", "label"] if self.columns is None else [c for c in self.columns if c]
        text = f"{', '.join(columns)}; separator: {_NAMES.get(self.separator, self.separator)}"
        return text + (f"; columns not read: {', '.join(self.unread)}" if self.unread else "")


def read_lines(file: Path, encoding: str, skip_rows: int = 0) -> Iterator[tuple[int, str]]:
    """Read the lines of a text file that are not blank.

    Args:
        file: The text file.
        encoding: Its encoding.
        skip_rows: Number of lines to skip at the top.

    Yields:
        Number, from 1, and stripped text of each line.

    Raises:
        UserError: If the file cannot be read.
    """
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    try:
        with file.open(encoding=encoding, errors=errors, newline="") as lines:
            for number, line in enumerate(lines, start=1):
                text = line.strip(" \r\n\ufeff")  # no tab: it may delimit an empty value
                if number > skip_rows and text.strip():
                    yield number, text
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}.") from error


def find_dialect(
    file: Path,
    separator: str,
    *,
    skip_rows: int = 0,
    suffixes: frozenset[str] = frozenset(),
    fields: Sequence[str] = (),
    multi_label: bool = False,
) -> Dialect:
    """Detect the format of a csv from its first lines.

    Args:
        file: The csv.
        separator: DATA.PATH_LABEL_SEPARATOR; a backslash followed by t means a tab. A csv with a
            header may use another separator.
        skip_rows: DATA.SKIP_ROWS.
        suffixes: Suffixes of media files; a line that ends in one is not a header.
        fields: DATA.ROW_FIELDS, further columns to read.
        multi_label: DATA.MULTI_LABEL; columns ``label_1``, ``label_2``, ... are read too.

    Returns:
        The dialect.

    Raises:
        UserError: If the lines use another separator, or the header has no column of paths.
    """
    separator = {"\\t": "\t"}.get(separator, separator)
    if len(separator) != 1:
        raise ConfigValueError(
            "DATA.PATH_LABEL_SEPARATOR", f"got {separator!r}; expected one character, or '\\t'."
        )
    encoding = text_encoding(file)
    lines = itertools.islice(read_lines(file, encoding, skip_rows), _NUM_SAMPLED)
    sample = [text for _, text in lines]
    if not sample:
        return Dialect(encoding, separator)
    for candidate in dict.fromkeys((separator, *_SEPARATORS)):
        columns = _columns(sample[0], candidate)
        if columns:
            names = split_row(sample[0], candidate)
            kept = {*fields, *(n for n in names if multi_label and is_numbered_label(n))}
            columns = [c or (n if n in kept else "") for n, c in zip(names, columns, strict=True)]
            unread = [n for n, column in zip(names, columns, strict=True) if n and not column]
            return Dialect(encoding, candidate, columns, tuple(unread))
    _check_separator(file, separator, sample, suffixes, multi_label)
    return Dialect(encoding, separator)


def split_row(line: str, separator: str) -> list[str]:
    """Split a line into its values; values may be quoted as in csv.

    Args:
        line: One line.
        separator: Character between values.

    Returns:
        The stripped values.
    """
    reader = csv.reader([line], delimiter=separator, skipinitialspace=separator == " ")
    return [value.strip() for value in next(reader)]


def _columns(line: str, separator: str) -> list[str] | None:
    """Return the columns that a header names; None if the line is not a header."""
    names = [
        n.lower().lstrip("# ").replace(" ", "_").replace("-", "_")
        for n in split_row(line, separator)
    ]
    columns = [""] * len(names)
    for column, aliases in _COLUMNS.items():
        first = next((alias for alias in aliases if alias in names), None)
        if first is not None:
            columns[names.index(first)] = column
    has_file = "path" in columns or "youtube_id" in columns
    return columns if has_file and (len(names) > 1 or names == ["path"]) else None


def _check_separator(
    file: Path,
    separator: str,
    sample: Sequence[str],
    suffixes: frozenset[str],
    multi_label: bool,
) -> None:
    """Raise an error with a hint if the lines have another separator or an unknown header."""
    body = sample[1:] or sample
    used = _separator_after_media(body, separator, suffixes)
    if used:
        shown = "\\t" if used == "\t" else used
        raise UserError(
            f"DATA.PATH_LABEL_SEPARATOR: got {separator!r}, but the lines of {file} have "
            f"{_NAMES.get(used, used)} after the path, e.g. {body[0]!r}; use '{shown}'."
        )
    if _is_labeled(sample[0], separator) or all(_names_media(line, suffixes) for line in sample):
        return
    if any(_ends_in_list(line, separator) for line in body):
        if multi_label:
            return
        line = next(line for line in body if _ends_in_list(line, separator))
        raise ConfigValueError(
            "DATA.MULTI_LABEL",
            f"got False, but lines of {file} have several labels, e.g. {line!r}; use True.",
        )
    for other in (separator, *_SEPARATORS):
        if all(_is_labeled(line, other) for line in body):
            break
    else:
        return
    where = "DATA.PATH_LABEL_SEPARATOR"
    if other != separator and not any(_is_labeled(line, separator) for line in body):
        shown = "\\t" if other == "\t" else other
        raise UserError(
            f"{where}: got {separator!r}, but the lines of {file} end in "
            f"{_NAMES.get(other, other)} and a number, e.g. {body[0]!r}; use '{shown}'."
        )
    first = sample[0].rpartition(separator)[0] or sample[0]
    if other == separator and len(sample) > 1 and not _names_media(first, suffixes):
        raise UserError(
            f"{file}:1: {sample[0]!r} looks like a header, but has no column 'path'. Name the "
            "columns path and label, or skip the line with DATA.SKIP_ROWS 1."
        )


def _separator_after_media(
    lines: Sequence[str], separator: str, suffixes: frozenset[str]
) -> str | None:
    """Return another separator that follows a media file in all lines; None if all is well."""
    for line in lines:
        if _names_media(line, suffixes) or _names_media(line.rpartition(separator)[0], suffixes):
            return None
    for other in (*_SEPARATORS, ":"):
        if other != separator and all(_splits_after_media(line, other, suffixes) for line in lines):
            return other
    return None


def _splits_after_media(line: str, separator: str, suffixes: frozenset[str]) -> bool:
    ends = (i for i, character in enumerate(line) if character == separator)
    return any(_names_media(line[:end], suffixes) for end in ends)


def _names_media(line: str, suffixes: frozenset[str]) -> bool:
    return Path(line.strip(' "')).suffix.lower() in suffixes


def _is_labeled(line: str, separator: str) -> bool:
    return separator in line and as_integer(line.rpartition(separator)[2]) is not None


def _ends_in_list(line: str, separator: str) -> bool:
    return separator in line and is_label_list(split_row(line, separator)[-1])
