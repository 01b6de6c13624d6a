"""Files: atomic writing, the cache folder, plain-text tables."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Number
from pathlib import Path
from typing import IO, Any, Self

from slowfast.config.problems import UserError

__all__ = [
    "Closing",
    "append_csv_row",
    "atomic_path",
    "cache_dir",
    "file_sha256",
    "flush_to_disk",
    "is_being_written",
    "name_some",
    "printable",
    "read_json",
    "read_record",
    "set_aside",
    "spreadsheet_text",
    "text_encoding",
    "write_csv",
    "write_csv_rows",
    "write_json",
]

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "SLOWFAST_CACHE"
_MAKE_AGAIN = "Delete it, or run again the command that makes it."

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def cache_dir(override: str = "") -> Path:
    """Return the cache folder, for files that many runs share.

    Args:
        override: A folder that takes precedence if not empty.

    Returns:
        ``override``, else ``$SLOWFAST_CACHE``, else ``~/.cache/slowfast``. Not created.
    """
    chosen = override or os.environ.get(CACHE_VARIABLE, "")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "slowfast"


class Closing:
    """Base class of objects that close at the end of a ``with`` block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        raise NotImplementedError


_being_written: set[Path] = set()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that atomically replaces ``path`` if the block succeeds.

    Yields:
        A path in the same folder. After an exception the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _being_written.add(temporary.absolute())
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        _being_written.discard(temporary.absolute())


def is_being_written(temporary: Path) -> bool:
    """Return whether a thread of this process is writing a temporary path of ``atomic_path``."""
    return temporary.absolute() in _being_written


def flush_to_disk(path: Path) -> None:
    """Write what the operating system still holds in memory, so that it survives a power failure.

    Args:
        path: A file, or a folder for the names in it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems refuse it for folders
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def text_encoding(path: Path) -> str:
    """Detect the encoding of a text file from its first bytes.

    Returns:
        "utf-16" or "utf-16-le" or "utf-16-be", as PowerShell and Excel write it, else "utf-8-sig",
        which reads UTF-8 with and without a byte order mark.
    """
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError:
        return "utf-8-sig"  # opening it later raises the proper error
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in head[1::2] and b"\0" not in head[::2]:
        return "utf-16-le"
    if b"\0" in head[::2] and b"\0" not in head[1::2]:
        return "utf-16-be"
    return "utf-8-sig"


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, indented, keys in the given order."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path, remedy: str = _MAKE_AGAIN) -> dict[str, Any]:
    """Read a JSON file.

    Args:
        path: The file.
        remedy: What to do if it is damaged, a sentence.

    Returns:
        Its content, or an empty dict if the file does not exist.

    Raises:
        UserError: If it is damaged, or not a JSON object.
    """
    content, damage = _read_object(path)
    if damage:
        raise UserError(f"{path} is damaged: {damage}. {remedy}")
    return content


def read_record(path: Path, **kinds: type | tuple[type, ...]) -> dict[str, Any]:
    """Read a JSON file that this project has written for itself, and can do without.

    Args:
        path: The file.
        kinds: Types of the values that it must have.

    Returns:
        Its content; an empty dict if there is no such file, or if it is damaged, with a warning.
    """
    content, damage = _read_object(path)
    wrong = [name for name, kind in kinds.items() if not isinstance(content.get(name), kind)]
    if content and wrong:
        content, damage = {}, f"it has no valid {', '.join(wrong)}"
    if damage:
        logger.warning("%s is damaged and ignored: %s", printable(str(path)), damage)
    return content


def _read_object(path: Path) -> tuple[dict[str, Any], str]:
    """Read a JSON object; returns it, and what is wrong with the file, or ""."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"it cannot be read ({error.strerror})"
    except (ValueError, RecursionError) as error:
        return {}, f"it is not JSON ({printable(str(error))[:200]})"
    if not isinstance(content, dict):
        return {}, f"it holds a {type(content).__name__}, not an object"
    return content, ""


def set_aside(path: Path) -> Path:
    """Rename a file or folder to ``NAME.replaced_1``, or the next number that is free.

    Args:
        path: The file, whose suffix stays at the end, or the folder.

    Returns:
        The new path.
    """
    number, suffix = 1, path.suffix if path.is_file() else ""
    name = path.name.removesuffix(suffix)
    while (target := path.with_name(f"{name}.replaced_{number}{suffix}")).exists():
        number += 1
    return path.rename(target)


def file_sha256(path: Path) -> str:
    """Hash a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a csv file atomically.

    Args:
        path: The file to write; names of files may be any bytes.
        header: Column names.
        rows: One value per column each; None is an empty field.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as text,
    ):
        write_csv_rows(text, [header])
        write_csv_rows(text, rows)


def write_csv_rows(file: IO[str], rows: Iterable[Iterable[Any]], *, line_end: str = "\r\n") -> None:
    """Write rows of csv: numbers and None as they are, text by ``spreadsheet_text``.

    Args:
        file: Open for writing, with ``newline=""``.
        rows: One value per column each; None is an empty field.
        line_end: End of each row.
    """
    writer = csv.writer(file, lineterminator=line_end)
    for row in rows:
        writer.writerow(
            value if value is None or isinstance(value, Number) else spreadsheet_text(str(value))
            for value in row
        )


def printable(text: str) -> str:
    """Escape the control characters of text from outside, such as a file name, for a terminal.

    Returns:
        The text, of one line; bytes that are not UTF-8 stay as ``os.fsdecode`` stands for them.
    """
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or "\udc80" <= letter <= "\udcff"
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def name_some(names: Sequence[str], most: int = 3) -> str:
    """Name a few of many things.

    Returns:
        Such as "a.mp4, b.mp4, c.mp4, and 2 more".
    """
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(printable(name) for name in names[:most]) + more


def spreadsheet_text(text: str) -> str:
    """Prepare text from outside, such as a file name, for a field that a spreadsheet opens.

    Args:
        text: Any text.

    Returns:
        The text with control characters escaped, and with an apostrophe in front if a spreadsheet
        would take it for a formula. A number stays, such as "-0.5".
    """
    text = printable(text)
    is_formula = text.startswith(("=", "+", "-", "@")) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def append_csv_row(path: Path, header: list[str], row: list[Any]) -> None:
    """Append one row to a csv file, with the header first if the file is new.

    Args:
        path: The file; several processes may append to it.
        header: Column names.
        row: One value per column.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        write_csv_rows(file, [header, row] if is_new else [row])
