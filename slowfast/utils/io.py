"""Files: atomic writing, the cache folder, plain-text tables."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

__all__ = [
    "Closing",
    "append_csv_row",
    "atomic_path",
    "cache_dir",
    "file_sha256",
    "read_json",
    "text_encoding",
    "write_csv",
    "write_json",
]

CACHE_VARIABLE = "SLOWFAST_CACHE"


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


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that atomically replaces ``path`` if the block succeeds.

    Yields:
        A path in the same folder. After an exception the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Returns:
        Its content, or an empty dict if the file does not exist.
    """
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


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
        writer = csv.writer(text)
        writer.writerow(header)
        writer.writerows(rows)


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
        writer = csv.writer(file)
        if is_new:
            writer.writerow(header)
        writer.writerow(row)
