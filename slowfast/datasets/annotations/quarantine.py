"""The quarantine list: files that ``slowfast check`` could not read, which datasets leave out.

``check`` writes ``quarantine.csv`` next to its report, and a pointer to it in the cache folder, so
that a run on the same folder finds it. ``slowfast.datasets.quarantined`` drops the files.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from slowfast.config import ConfigValueError, UserError
from slowfast.utils.io import cache_dir, read_json, write_csv, write_json

__all__ = [
    "QUARANTINE",
    "QUARANTINE_KEY",
    "QuarantinedFile",
    "RealPaths",
    "file_stamp",
    "known_lists",
    "read_quarantine",
    "write_quarantine",
]

logger = logging.getLogger(__name__)

QUARANTINE = "quarantine.csv"
"""Name of the list."""

QUARANTINE_KEY = "DATA.QUARANTINE_FILE_PATH"

_COLUMNS = ("path", "size_bytes", "modified_ns", "code", "reason")
_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\udc80-\udcff]")
_ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")


class QuarantinedFile(NamedTuple):
    """A file that is left out.

    Attributes:
        path: The file; a relative path is joined to DATA.PATH_TO_DATA_DIR.
        size_bytes: Its size when it was checked; None: not known, it is left out at any size.
        modified_ns: Its modification time then; None: as ``size_bytes``.
        code: Key of ``error_codes.PROBLEMS``, or "".
        reason: The error, in one line, or "".
    """

    path: str
    size_bytes: int | None = None
    modified_ns: int | None = None
    code: str = ""
    reason: str = ""

    def has_changed(self, path: str) -> bool:
        """Whether the file at a path is not the one that was checked."""
        stamp = file_stamp(path)
        known = (self.size_bytes, self.modified_ns)
        return any(old not in (None, new) for old, new in zip(known, stamp, strict=True))


def file_stamp(path: str | Path) -> tuple[int, int]:
    """Return size and modification time by which a changed file is noticed.

    Returns:
        Bytes and nanoseconds; (0, 0) for a file that cannot be looked up.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return 0, 0
    return status.st_size, status.st_mtime_ns


def write_quarantine(file: Path, folder: Path, files: Iterable[QuarantinedFile]) -> None:
    """Write a list, and make it known to runs that train on the folder.

    Args:
        file: The csv file. Backslashes, control characters and bytes that are not UTF-8 are
            escaped in its paths.
        folder: The checked folder or file. The list replaces earlier ones of the same folder.
        files: The files, with absolute paths.
    """
    rows = ((_escape(f.path), f.size_bytes, f.modified_ns, f.code, f.reason) for f in files)
    write_csv(file, _COLUMNS, rows)
    checked = RealPaths()(str(folder))
    name = hashlib.blake2b(os.fsencode(checked), digest_size=8).hexdigest()
    try:
        write_json(_pointers() / f"{name}.json", {"folder": checked, "list": str(file.absolute())})
    except OSError as error:
        logger.warning(
            "runs will not find %s by themselves (%s); name it in %s", file, error, QUARANTINE_KEY
        )


def read_quarantine(file: Path) -> list[QuarantinedFile]:
    """Read a list, also one written by hand: only the column ``path`` is required.

    Raises:
        ConfigValueError: If the file cannot be read, or is no such list.
    """
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            table = csv.DictReader(lines)
            if "path" not in (table.fieldnames or ()):
                raise ConfigValueError(
                    QUARANTINE_KEY,
                    f"{file} has the columns {', '.join(table.fieldnames or ()) or '(none)'}; "
                    f"expected {', '.join(_COLUMNS)}, of which path is required.",
                )
            return [_entry(row, file, table.line_num) for row in table if row["path"]]
    except (OSError, csv.Error) as error:
        raise ConfigValueError(QUARANTINE_KEY, f"cannot read {file}: {error}.") from error


def _entry(row: dict[str, str], file: Path, line: int) -> QuarantinedFile:
    numbers: dict[str, int | None] = {}
    for name in ("size_bytes", "modified_ns"):
        text = row.get(name) or ""
        if text and not text.isdecimal():
            raise ConfigValueError(
                QUARANTINE_KEY,
                f"{file}, line {line}: {name} is {text!r}; expected a whole number or nothing.",
            )
        numbers[name] = int(text) if text else None
    return QuarantinedFile(
        _ESCAPED.sub(_unescape, row["path"]),
        **numbers,
        code=row.get("code") or "",
        reason=row.get("reason") or "",
    )


def known_lists() -> list[tuple[str, Path]]:
    """Return the checked folders and their lists, those checked last at the end."""
    found = []
    for pointer in _pointers().glob("*.json"):
        try:
            content = read_json(pointer)
            folder, file = content["folder"], Path(content["list"])
            if file.is_file():  # a list that was deleted is not missed
                found.append((pointer.stat().st_mtime_ns, folder, file))
        except (OSError, UserError, KeyError, TypeError) as error:
            logger.warning("%s is not read: %s", pointer, error)
    return [(folder, file) for _, folder, file in sorted(found)]


def _pointers() -> Path:
    return cache_dir() / "quarantine"


class RealPaths:
    """Resolves links to folders, but not one to the file itself; folders are looked up once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """Return the absolute path."""
        folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.join(self._folders[folder], name)  # noqa: PTH118


def _escape(path: str) -> str:
    return _UNSAFE.sub(_code, path)


def _code(match: re.Match[str]) -> str:
    letter = match.group()
    if letter == "\\":
        return r"\\"
    number = ord(letter)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode stands for it
        return f"\\u{number:04x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _unescape(match: re.Match[str]) -> str:
    text = match.group(1)
    return text if text == "\\" else chr(int(text[1:], 16))
