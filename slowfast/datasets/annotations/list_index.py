"""Index of long csv lists in the cache folder: a list is read once, until it changes.

An index is a small file ``lists/KEY.json`` that names the arrays of a manifest (``manifests/``)
with their checksums. It is valid while size, times and inode of the csv stay the same, for the same
settings and working folder. An index or an array that is damaged is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from slowfast.datasets.annotations.manifest import Manifest, ManifestSummary, share_manifest
from slowfast.utils.io import cache_dir, write_json

__all__ = ["indexed_manifest", "indexed_value"]

logger = logging.getLogger(__name__)

_VERSION = 1

_MIN_BYTES = 2**20
"""Smaller lists are read faster than it takes to explain where their index is."""

_SETTLED_SEC = 2.0
"""A list that is younger may change again without another time stamp: it gets no index."""

_BLOCK = 2**20
_NUM_PROBES = 16

_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError)
"""What reading a damaged index or array raises."""


def indexed_value(file: Path, what: str, compute: Callable[[], Any]) -> Any:
    """Return a value that depends on a csv, from its index if there is one.

    Args:
        file: The csv.
        what: What the value is, and all it depends on besides the content of the csv.
        compute: Reads the csv; returns what JSON can hold.

    Returns:
        The value.
    """
    stamp = _stamp(file)
    if stamp is None:
        return compute()
    place = _place(file, what)
    content = _recall(place, stamp)
    if content is None:
        content = compute()
        _remember(place, file, stamp, content)
    return content


def indexed_manifest(file: Path, what: str, build: Callable[[], Manifest]) -> Manifest:
    """Return the manifest of a csv, from its index if there is one, memory-mapped.

    Args:
        file: The csv.
        what: All that the manifest depends on besides the content of the csv.
        build: Reads the csv.

    Returns:
        A manifest with the rows that ``build`` returns, which is called if there is no valid index.
    """
    stamp = _stamp(file)
    if stamp is None:
        manifest = build()
        return share_manifest(manifest) if len(manifest) else manifest
    place = _place(file, what)
    entry = _recall(place, stamp)
    if entry is not None and (indexed := _open(entry, place)) is not None:
        return indexed
    start = time.monotonic()
    manifest = build()
    if not len(manifest):
        return manifest
    manifest = share_manifest(manifest)
    if manifest.folder is not None and _remember(place, file, stamp, _describe(manifest)):
        logger.info(
            "%s: indexed %d rows in %.0f s; read from the index until the list changes",
            file,
            len(manifest),
            time.monotonic() - start,
        )
    return manifest


def _describe(manifest: Manifest) -> dict[str, Any]:
    """Return what the index of a manifest holds."""
    folder = manifest.folder
    files = [] if folder is None else sorted(folder.iterdir())
    num_labeled, counts, _ = manifest.summary
    return {
        "folder": "" if folder is None else folder.name,
        "files": {path.name: _checksum(path) for path in files},
        "num_labeled": num_labeled,
        "class_counts": list(counts.items()),
        "digest": manifest.digest(),
        "there": _probe(manifest),
        "class_names": manifest.class_names,
    }


def _open(entry: dict[str, Any], place: Path) -> Manifest | None:
    """Open the manifest of an index; None if it is damaged, or paths have to be resolved again."""
    try:
        folder = cache_dir() / "manifests" / str(entry["folder"])
        found = {name: _checksum(folder / name) for name in entry["files"]}
        if found != entry["files"]:
            raise ValueError("checksums differ")
        manifest = Manifest.open(folder)
        counts = {int(label): int(count) for label, count in entry["class_counts"]}
        manifest.class_names = [str(name) for name in entry["class_names"]]
        manifest.summary = ManifestSummary(entry["num_labeled"], counts, entry["digest"])
        is_moved = _probe(manifest) != entry["there"]
    except _DAMAGED as error:
        logger.warning("%s: the index is damaged (%s) and is made again", place, error)
        with contextlib.suppress(OSError, KeyError, TypeError):
            shutil.rmtree(cache_dir() / "manifests" / Path(str(entry["folder"])).name)
        return None
    return None if is_moved else manifest


def _probe(manifest: Manifest) -> list[bool]:
    """Return which of some files exist: relative paths depend on what is in the folders."""
    rows = np.linspace(0, len(manifest) - 1, min(_NUM_PROBES, len(manifest))).astype(int)
    return [Path(manifest.path(int(row))).exists() for row in rows]


def _checksum(path: Path) -> list[int]:
    """Return size and CRC-32 of a file, which is read in blocks."""
    size = crc = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return [size, crc]


def _stamp(file: Path) -> list[int] | None:
    """Return what changes with a csv; None for a small or missing one."""
    try:
        status = file.stat()
    except OSError:
        return None
    if status.st_size < _MIN_BYTES:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _place(file: Path, what: str) -> Path:
    text = json.dumps([_VERSION, str(file.absolute()), what])
    return cache_dir() / "lists" / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def _recall(place: Path, stamp: list[int]) -> Any:
    """Read the content of an index; None if there is none, or it is of another state of the csv."""
    if not place.exists():
        return None
    try:
        index = json.loads(place.read_text(encoding="utf-8"))
        if index["digest"] != _digest(index["content"]):
            raise ValueError("checksums differ")
        return index["content"] if index["stamp"] == stamp else None
    except _DAMAGED as error:
        logger.warning("%s: the index is damaged (%s) and is made again", place, error)
        return None


def _remember(place: Path, file: Path, stamp: list[int], content: Any) -> bool:
    """Write an index, unless the csv has changed meanwhile or may still be written to."""
    is_settled = time.time_ns() - max(stamp[1], stamp[2]) > _SETTLED_SEC * 1e9
    if _stamp(file) != stamp or not is_settled:
        return False
    index = {"list": str(file), "stamp": stamp, "digest": _digest(content), "content": content}
    try:
        write_json(place, index)
    except OSError as error:
        logger.warning("%s has no index, as %s cannot be written: %s", file, place, error.strerror)
        return False
    return True


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
