"""What identifies a video of a vector store, and the content of its file."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["KEY_COLUMNS", "FileState", "VideoKey", "key_rows", "read_keys", "utf8_text"]

KEY_COLUMNS = ["path", "path_bytes", "window_start", "window_end"]
"""Columns of a table that hold a ``VideoKey``."""


class FileState(NamedTuple):
    """What identifies the content of a file without reading it.

    Attributes:
        size: In bytes.
        mtime_ns: Time of the last change, in nanoseconds.
    """

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str) -> FileState:
        """Read it; -1 for a file that cannot be found."""
        try:
            stat = Path(path).stat()
        except OSError:
            return cls(-1, -1)
        return cls(stat.st_size, stat.st_mtime_ns)


class VideoKey(NamedTuple):
    """What identifies a video of a store.

    Attributes:
        path: Relative to the root of the store, or absolute; any bytes, as ``os.fsdecode`` gives.
        start_sec: Start of the part of the file that is meant.
        end_sec: End of that part; infinity: the end of the file.
    """

    path: str
    start_sec: float = 0.0
    end_sec: float = math.inf


def utf8_text(path: str) -> str:
    """Return a path as valid UTF-8; other bytes are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def key_rows(keys: Sequence[VideoKey]) -> dict[str, Any]:
    """Return the columns that ``_keys`` reads."""
    texts = [utf8_text(key.path) for key in keys]
    windows = [None if key[1:] == VideoKey("")[1:] else key for key in keys]
    return {
        "path": texts,
        "path_bytes": [
            None if text == key.path else os.fsencode(key.path)
            for text, key in zip(texts, keys, strict=True)
        ],
        "window_start": [None if key is None else key.start_sec for key in windows],
        "window_end": [None if key is None else key.end_sec for key in windows],
    }


def read_keys(table: Any) -> list[VideoKey]:
    """Return the key of each row of a table with ``KEY_COLUMNS``."""
    columns = [table[name].to_pylist() for name in KEY_COLUMNS]
    return [
        VideoKey(
            text if raw is None else os.fsdecode(raw),
            0.0 if start is None else start,
            math.inf if end is None else end,
        )
        for text, raw, start, end in zip(*columns, strict=True)
    ]
