"""The list of a split's files as compact arrays, shared by all workers through a memory map.

Three layouts are recognised: PySlowFast's ``SPLIT.csv``; class folders ``SPLIT/CLASS/file``; and a
plain folder of videos without labels, split by a hash of each file's relative path.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slowfast.config import UserError
from slowfast.utils.io import cache_dir

__all__ = ["MEDIA_SUFFIXES", "Layout", "Manifest", "find_layout", "load_manifest"]

logger = logging.getLogger(__name__)

_VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".mpg", ".mpeg"),
    *(".ts", ".m2ts", ".mts", ".3gp", ".ogv", ".gif", ".vob"),
)
_AUDIO_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac")
MEDIA_SUFFIXES = frozenset(_VIDEO_SUFFIXES + _AUDIO_SUFFIXES)
_SPLIT_NAMES = {"train": ("train",), "val": ("val", "valid", "validate"), "test": ("test",)}
_NO_LABEL = -1


class Row(NamedTuple):
    """One file and its label (-1: unknown)."""

    path: str
    label: int


class Layout(NamedTuple):
    """How a data folder is laid out.

    Attributes:
        kind: "csv", "class_folders" or "folder".
        sources: Split name -> csv file or folder. Only splits that exist.
    """

    kind: str
    sources: dict[str, Path]


class Manifest:
    """Paths and labels of one split; costs no Python object per row.

    Args:
        text: uint8; all paths, one after the other, in the file system's encoding.
        ends: int64 (N,); where each path ends in ``text``.
        labels: int64 (N,); -1 where unknown.
        class_names: Names of the classes, where the layout knows them.
    """

    def __init__(
        self, text: np.ndarray, ends: np.ndarray, labels: np.ndarray, class_names: list[str]
    ) -> None:
        self._text, self._ends, self.labels, self.class_names = text, ends, labels, class_names

    def __len__(self) -> int:
        return len(self._ends)

    def path(self, index: int) -> str:
        """Return the path of a row."""
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._text[start : int(self._ends[index])].tobytes())

    def label(self, index: int) -> int:
        """Return the label of a row, -1 when unknown."""
        return int(self.labels[index])

    @property
    def has_labels(self) -> bool:
        """Whether every row has a label."""
        return len(self) > 0 and bool((self.labels >= 0).all())

    def digest(self) -> str:
        """Return a hash of paths and labels, to name the data a result was obtained on."""
        state = hashlib.blake2b(digest_size=8)
        for array in (self._text, self._ends, self.labels):
            state.update(np.ascontiguousarray(array).data)
        return state.hexdigest()

    @classmethod
    def from_rows(cls, rows: Iterable[Row], class_names: list[str]) -> Manifest:
        """Pack rows into arrays.

        Args:
            rows: Paths and labels, in order.
            class_names: Names of the classes, or an empty list.

        Returns:
            The manifest.
        """
        text = bytearray()
        ends: list[int] = []
        labels: list[int] = []
        for row in rows:
            text += os.fsencode(row.path)
            ends.append(len(text))
            labels.append(row.label)
        return cls(
            np.frombuffer(bytes(text), np.uint8),
            np.array(ends, np.int64),
            np.array(labels, np.int64),
            class_names,
        )

    def save(self, folder: Path) -> None:
        """Write the arrays to a folder, atomically; nothing happens when it is there already."""
        if folder.exists():
            return
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        temporary.mkdir(parents=True, exist_ok=True)
        for name, array in zip(("text", "ends", "labels"), self._arrays(), strict=True):
            np.save(temporary / f"{name}.npy", array)
        (temporary / "classes.json").write_text(json.dumps(self.class_names), encoding="utf-8")
        try:
            temporary.replace(folder)
        except OSError:  # Another process was faster; its arrays are the same.
            for file in temporary.iterdir():
                file.unlink()
            temporary.rmdir()

    @classmethod
    def open(cls, folder: Path) -> Manifest:
        """Map the arrays of a saved manifest into memory."""
        text, ends, labels = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("text", "ends", "labels")
        )
        names = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
        return cls(text, ends, labels, names)

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._text, self._ends, self.labels


def find_layout(root: Path) -> Layout:
    """Recognise how a data folder is laid out.

    Args:
        root: DATA.PATH_TO_DATA_DIR.

    Returns:
        The layout with the splits that exist.

    Raises:
        UserError: If the folder is missing or holds nothing usable.
    """
    if not root.is_dir():
        raise UserError(f"DATA.PATH_TO_DATA_DIR: no such folder: {root}.")
    csvs = {s: root / f"{s}.csv" for s in _SPLIT_NAMES if (root / f"{s}.csv").is_file()}
    if csvs:
        return Layout("csv", csvs)
    folders = {
        split: root / name
        for split, names in _SPLIT_NAMES.items()
        for name in names
        if (root / name).is_dir()
    }
    if "train" in folders or "test" in folders:
        return Layout("class_folders", folders)
    return Layout("folder", {"train": root, "test": root})


def load_manifest(
    root: Path,
    split: str,
    *,
    prefix: str = "",
    separator: str = " ",
    skip_rows: int = 0,
    test_fraction: float = 0.1,
) -> Manifest:
    """List the files of one split.

    Args:
        root: DATA.PATH_TO_DATA_DIR.
        split: "train", "val" or "test". Where one of val and test is missing, test falls back to
            val; val does not fall back.
        prefix: DATA.PATH_PREFIX, for the relative paths of a csv.
        separator: DATA.PATH_LABEL_SEPARATOR.
        skip_rows: DATA.SKIP_ROWS.
        test_fraction: DATA.FOLDER_TEST_FRACTION, for a plain folder.

    Returns:
        The manifest, memory-mapped from the cache folder where that can be written.

    Raises:
        UserError: If the split is missing or empty, or a row cannot be read.
    """
    layout = find_layout(root)
    source_split = "val" if split == "test" and "test" not in layout.sources else split
    source = layout.sources.get(source_split)
    if source is None:
        have = ", ".join(sorted(layout.sources)) or "none"
        raise UserError(f"DATA.PATH_TO_DATA_DIR: {root} has no {split} split (found: {have}).")
    class_names: list[str] = []
    if layout.kind == "csv":
        rows = _csv_rows(source, root, prefix, separator, skip_rows)
    elif layout.kind == "class_folders":
        class_names = _class_names(layout)
        rows = _class_folder_rows(source, class_names)
    else:
        rows = _folder_rows(source, source_split, test_fraction)
    manifest = Manifest.from_rows(rows, class_names)
    if not len(manifest):
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR: the {split} split of {root} ({layout.kind}: {source}) is "
            f"empty. Files are found by their suffix: {' '.join(sorted(MEDIA_SUFFIXES))}."
        )
    return _share(manifest)


def _share(manifest: Manifest) -> Manifest:
    folder = cache_dir() / "manifests" / manifest.digest()
    try:
        manifest.save(folder)
        return Manifest.open(folder)
    except OSError as error:
        logger.warning("the manifest is kept in memory, as %s cannot be used: %s", folder, error)
        return manifest


def _csv_rows(file: Path, root: Path, prefix: str, separator: str, skip_rows: int) -> Iterator[Row]:
    base = Path(prefix) if prefix else None
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
        for number, line in enumerate(lines, start=1):
            if number <= skip_rows or not line.strip():
                continue
            path, label = _split_line(line.rstrip("\r\n"), separator, f"{file}:{number}")
            full = base / path if base else Path(path)
            if not base and not full.is_absolute() and not full.exists():
                full = root / path
            yield Row(str(full), label)


def _split_line(line: str, separator: str, where: str) -> tuple[str, int]:
    """Split at the LAST separator, so that paths may hold spaces; csv quoting is understood."""
    if line.startswith('"'):
        fields = next(csv.reader([line], delimiter=separator))
        path, label = fields[0], fields[-1] if len(fields) > 1 else ""
    else:
        path, found, label = line.rpartition(separator)
        if not found:
            path, label = line, ""
    if not label:
        return path, _NO_LABEL
    try:
        return path, int(label)
    except ValueError:
        if Path(line).suffix.lower() in MEDIA_SUFFIXES:
            return line, _NO_LABEL  # A path with a space in it and no label.
        raise UserError(
            f"{where}: expected 'path{separator}label' with an integer label, got {line!r}. "
            "DATA.PATH_LABEL_SEPARATOR is what stands between the two."
        ) from None


def _class_names(layout: Layout) -> list[str]:
    names = {
        entry.name
        for folder in layout.sources.values()
        for entry in folder.iterdir()
        if entry.is_dir()
    }
    return sorted(names)


def _class_folder_rows(folder: Path, class_names: list[str]) -> Iterator[Row]:
    if not class_names:
        yield from (Row(path, _NO_LABEL) for path in _media_files(folder))
    for label, name in enumerate(class_names):
        if (folder / name).is_dir():
            yield from (Row(path, label) for path in _media_files(folder / name))


def _folder_rows(root: Path, split: str, test_fraction: float) -> Iterator[Row]:
    for path in _media_files(root):
        digest = hashlib.blake2b(os.fsencode(os.path.relpath(path, root)), digest_size=8).digest()
        is_test = int.from_bytes(digest) < test_fraction * 2**64
        if is_test == (split == "test"):
            yield Row(path, _NO_LABEL)


def _media_files(folder: Path) -> Iterator[str]:
    """Walk a folder in sorted order; dangling links are listed, so that they are reported."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(files):
            path = Path(parent, name)
            if path.suffix.lower() in MEDIA_SUFFIXES:
                yield str(path)
