"""The list of a split's files as compact arrays, shared by all workers through a memory map.

A row is a file and its label, optionally with a time window of a long file, in seconds, and a slice
of a tar, in bytes. Manifests are built by ``layouts`` and by the datasets of ``catalog``.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import os
import shutil
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from slowfast.config import UserError
from slowfast.utils.io import cache_dir

__all__ = [
    "NO_LABEL",
    "TO_END",
    "Manifest",
    "ManifestSummary",
    "VideoRecord",
    "share_manifest",
]

logger = logging.getLogger(__name__)

NO_LABEL = -1
"""The label of a file of unknown class."""

TO_END = -1
"""The size of a slice that reaches to the end of its file."""

_FIELD = "field."
_LISTS = ("class_counts", "classes")
_WHOLE_WINDOW = (0.0, math.inf)
_WHOLE_FILE = (0, TO_END)


class VideoRecord(NamedTuple):
    """One entry of a manifest.

    Attributes:
        path: The file.
        label: Its class; NO_LABEL if unknown.
        start_sec: Start of the window, in seconds of presentation time.
        end_sec: End of the window; infinity: the end of the file.
        offset: Offset of the media file in ``path``, in bytes; above 0 for members of a tar.
        size: Size of the media file, in bytes; TO_END: to the end of ``path``.
        fields: Further columns of the annotation, by name: DATA.ROW_FIELDS.
        labels: Its classes, with DATA.MULTI_LABEL, may be none of them; None: unknown, or one class
            as ``label``.
    """

    path: str
    label: int = NO_LABEL
    start_sec: float = 0.0
    end_sec: float = math.inf
    offset: int = 0
    size: int = TO_END
    fields: Mapping[str, np.ndarray] = MappingProxyType({})
    labels: tuple[int, ...] | None = None

    @property
    def has_window(self) -> bool:
        """Whether the row is a time window of its file."""
        return (self.start_sec, self.end_sec) != _WHOLE_WINDOW

    @property
    def name(self) -> str:
        """Name of the row in messages: the path, with offset and size for members of a tar."""
        is_named = Path(self.path).parent.suffix.lower() == ".csv"  # a video of a frame list
        if (self.offset, self.size) == _WHOLE_FILE or is_named:
            return self.path
        return f"{self.path}:{self.offset}+{'' if self.size == TO_END else self.size}"


class ManifestSummary(NamedTuple):
    """What a run needs to know of all labels, without going through them.

    Attributes:
        num_labeled: Rows that have a label.
        class_counts: How often each class occurs, in ascending order of the classes.
        digest: ``Manifest.digest`` of a manifest without version; "" where not known.
    """

    num_labeled: int
    class_counts: dict[int, int]
    digest: str = ""

    @property
    def highest_class(self) -> int:
        """The largest label; -1 if there is none."""
        return max(self.class_counts, default=-1)


class Manifest:
    """The rows of one split, without a Python object per row.

    Args:
        text: uint8; all paths concatenated, in the encoding of the file system.
        ends: int64 (N,); end of each path in ``text``.
        labels: int64 (N,); NO_LABEL where unknown, and in all rows of a multi-label manifest.
        class_names: Names of the classes; empty if unknown.
        windows: float64 (N, 2); start and end in seconds. None: full files only.
        slices: int64 (N, 2); offset and size in bytes. None: full files only.
        fields: (N, ...) each; further columns of the annotation.
        lists: Of a multi-label manifest: int64 (N,), the number of classes of each row, -1 where
            unknown, and int64 (their sum,), the classes of the first row, of the second, ... None:
            one class per row.

    Attributes:
        version: Version of the content of the files, set by datasets that know it, e.g. the
            settings that generated the files; part of the digest.
        folder: The folder that the arrays are mapped from; None: they are in memory only.
    """

    def __init__(
        self,
        text: np.ndarray,
        ends: np.ndarray,
        labels: np.ndarray,
        class_names: list[str],
        windows: np.ndarray | None = None,
        slices: np.ndarray | None = None,
        fields: Mapping[str, np.ndarray] = MappingProxyType({}),
        lists: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self._text, self._ends, self.labels, self.class_names = text, ends, labels, class_names
        self._windows, self._slices, self._fields = windows, slices, fields
        self._lists = lists
        self._list_ends = None if lists is None else np.cumsum(np.maximum(lists[0], 0))
        self.version = ""
        self.folder: Path | None = None

    def __len__(self) -> int:
        return len(self._ends)

    def path(self, index: int) -> str:
        """Return the path of a row."""
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._text[start : int(self._ends[index])].tobytes())

    def label(self, index: int) -> int:
        """Return the label of a row, NO_LABEL if unknown."""
        return int(self.labels[index])

    def row(self, index: int) -> VideoRecord:
        """Return a row."""
        window, part = _WHOLE_WINDOW, _WHOLE_FILE
        if self._windows is not None:
            window = (float(self._windows[index, 0]), float(self._windows[index, 1]))
        if self._slices is not None:
            part = (int(self._slices[index, 0]), int(self._slices[index, 1]))
        fields = {name: np.array(values[index]) for name, values in self._fields.items()}
        classes = self._classes_of(index)
        return VideoRecord(self.path(index), self.label(index), *window, *part, fields, classes)

    def _classes_of(self, index: int) -> tuple[int, ...] | None:
        if self._lists is None or self._list_ends is None or self._lists[0][index] < 0:
            return None
        end = int(self._list_ends[index])
        return tuple(self._lists[1][end - int(self._lists[0][index]) : end].tolist())

    @property
    def is_multi_label(self) -> bool:
        """Whether rows have lists of classes."""
        return self._lists is not None

    @property
    def is_labeled(self) -> np.ndarray:
        """Which rows have a label: bool (N,)."""
        known: np.ndarray = (self.labels if self._lists is None else self._lists[0]) >= 0
        return known

    @property
    def classes(self) -> np.ndarray:
        """The classes of all rows that have a label: int64 (n,)."""
        return self.labels[self.is_labeled] if self._lists is None else self._lists[1]

    @functools.cached_property
    def summary(self) -> ManifestSummary:
        """Counts of the labels; those of an indexed list are known (``list_index``)."""
        classes, counts = np.unique(self.classes, return_counts=True)
        counted = dict(zip(classes.tolist(), counts.tolist(), strict=True))
        return ManifestSummary(int(self.is_labeled.sum()), counted)

    @property
    def num_classes_of(self) -> np.ndarray:
        """The number of classes of each row, 0 where unknown: int64 (N,)."""
        counts = (self.labels >= 0) if self._lists is None else np.maximum(self._lists[0], 0)
        return counts.astype(np.int64)

    @property
    def has_labels(self) -> bool:
        """Whether every row has a label."""
        return len(self) > 0 and self.summary.num_labeled == len(self)

    def require_fields(self, names: Iterable[str]) -> None:
        """Check that the manifest has the given fields.

        Args:
            names: DATA.ROW_FIELDS.

        Raises:
            UserError: If a field is missing.
        """
        missing = [name for name in names if name not in self._fields]
        if missing:
            raise UserError(
                f"DATA.ROW_FIELDS: got {missing[0]!r}, but the files are not listed in a csv with "
                "this column (DATASET.md); list them in such a csv, or leave DATA.ROW_FIELDS empty."
            )

    def digest(self) -> str:
        """Return a hash of all rows, which identifies the data of a result.

        Paths are hashed relative to their common folder, so that a dataset has the same digest on
        every machine.
        """
        if not self.version and self.summary.digest:
            return self.summary.digest
        return _hash(self._arrays() | self._paths_below_common_folder(), self.version)

    def _paths_below_common_folder(self) -> dict[str, np.ndarray]:
        starts = np.concatenate([[0], self._ends])[:-1].astype(np.int64)  # (N,)
        shared, shortest = 0, int((self._ends - starts).min()) if len(self) else 0
        for place in range(shortest):
            letters = self._text[starts + place]
            if (letters != letters[0]).any():
                break
            if letters[0] == ord(os.sep):
                shared = place + 1
        kept = np.ones(len(self._text), bool)
        for place in range(shared):
            kept[starts + place] = False
        ends = self._ends - shared * np.arange(1, len(self) + 1)
        return {"text": self._text[kept], "ends": ends}

    def take(self, rows: Iterable[int]) -> Manifest:
        """Return a manifest of some of the rows, in the given order."""
        part = Manifest.from_rows((self.row(int(row)) for row in rows), self.class_names)
        part.version = self.version
        return part

    @classmethod
    def from_rows(cls, rows: Iterable[VideoRecord], class_names: list[str]) -> Manifest:
        """Pack rows into arrays.

        Args:
            rows: The entries, in order.
            class_names: Names of the classes, or an empty list.

        Returns:
            The manifest.
        """
        text, fields = bytearray(), dict[str, list[np.ndarray]]()
        ends, labels, windows, slices = array("q"), array("q"), array("d"), array("q")
        counts, classes = array("q"), array("q")
        for row in rows:
            text += os.fsencode(row.path)
            ends.append(len(text))
            labels.append(row.label)
            windows.extend((row.start_sec, row.end_sec))
            slices.extend((row.offset, row.size))
            counts.append(-1 if row.labels is None else len(row.labels))
            classes.extend(row.labels or ())
            for name, value in row.fields.items():
                fields.setdefault(name, []).append(value)
        return cls(
            np.frombuffer(bytes(text), np.uint8),
            np.array(ends, np.int64),
            np.array(labels, np.int64),
            class_names,
            _unless_all(np.array(windows, np.float64).reshape(-1, 2), _WHOLE_WINDOW),
            _unless_all(np.array(slices, np.int64).reshape(-1, 2), _WHOLE_FILE),
            {name: _stack(name, values, len(ends)) for name, values in fields.items()},
            (np.array(counts, np.int64), np.array(classes, np.int64))
            if max(counts, default=-1) >= 0
            else None,
        )

    def save(self, folder: Path) -> None:
        """Write the arrays to a folder, atomically; do nothing if the folder exists."""
        if folder.exists():
            return
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        temporary.mkdir(parents=True, exist_ok=True)
        for name, values in self._arrays().items():
            np.save(temporary / f"{name}.npy", values)
        (temporary / "classes.json").write_text(json.dumps(self.class_names), encoding="utf-8")
        try:
            temporary.replace(folder)
        except OSError:  # Another process was faster and wrote the same arrays.
            for file in temporary.iterdir():
                file.unlink()
            temporary.rmdir()

    @classmethod
    def open(cls, folder: Path) -> Manifest:
        """Map the arrays of a saved manifest into memory."""

        def load(name: str) -> np.ndarray:
            return np.load(folder / f"{name}.npy", mmap_mode="r")

        stored = {file.stem for file in folder.glob("*.npy")}
        names = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
        windows, slices = (load(n) if n in stored else None for n in ("windows", "slices"))
        fields = sorted(name for name in stored if name.startswith(_FIELD))
        by_name = {name.removeprefix(_FIELD): load(name) for name in fields}
        lists = (load(_LISTS[0]), load(_LISTS[1])) if stored & set(_LISTS) else None
        rows = (load("text"), load("ends"), load("labels"))
        manifest = cls(*rows, names, windows, slices, by_name, lists)
        manifest.folder = folder
        return manifest

    def _arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to save and hash, without optional arrays that are None."""
        named = {"text": self._text, "ends": self._ends, "labels": self.labels}
        optional = {"windows": self._windows, "slices": self._slices}
        named |= {name: values for name, values in optional.items() if values is not None}
        named |= dict(zip(_LISTS, self._lists or (), strict=False))
        return named | {f"{_FIELD}{name}": self._fields[name] for name in sorted(self._fields)}


def share_manifest(manifest: Manifest) -> Manifest:
    """Save a manifest in the cache folder and map it into memory from there.

    Args:
        manifest: Any manifest.

    Returns:
        A manifest with the same rows; the same object if the cache folder is not writable.
    """
    folder = cache_dir() / "manifests" / _hash(manifest._arrays())  # with full paths
    try:
        manifest.save(folder)
        if not _holds(folder, manifest):
            logger.warning("%s is damaged and is written again", folder)
            shutil.rmtree(folder)
            manifest.save(folder)
        shared = Manifest.open(folder)
    except OSError as error:
        logger.warning("the manifest is kept in memory, as %s cannot be used: %s", folder, error)
        return manifest
    # The process that saved these rows may have had other values.
    shared.class_names, shared.version = manifest.class_names, manifest.version
    return shared


def _holds(folder: Path, manifest: Manifest) -> bool:
    """Whether a folder has the arrays of a manifest, undamaged."""
    try:
        saved = Manifest.open(folder)._arrays()
    except (OSError, ValueError, EOFError):
        return False
    own = manifest._arrays()
    return saved.keys() == own.keys() and all(
        np.array_equal(saved[name], own[name], equal_nan=own[name].dtype.kind == "f")
        for name in own
    )


def _hash(arrays: dict[str, np.ndarray], version: str = "") -> str:
    state = hashlib.blake2b(version.encode(), digest_size=8)
    for name, values in arrays.items():
        if name in ("windows", "slices", *_LISTS) or name.startswith(_FIELD):
            state.update(name.encode())
        state.update(np.ascontiguousarray(values).data)
    return state.hexdigest()


def _stack(name: str, values: list[np.ndarray], num_rows: int) -> np.ndarray:
    """Stack a field of all rows: int64, or float32 if a value is not an integer."""
    lengths = sorted({np.size(value) for value in values})
    if len(lengths) > 1 or len(values) != num_rows:
        raise UserError(
            f"DATA.ROW_FIELDS: {name} has {' or '.join(map(str, lengths))} numbers in "
            f"{len(values)} of {num_rows} rows; expected the same count in every row. Pad the "
            "shorter ones."
        )
    stacked = np.stack(values)
    return stacked if stacked.dtype.kind == "i" else stacked.astype(np.float32)


def _unless_all(pairs: np.ndarray, usual: tuple[float, float]) -> np.ndarray | None:
    """Return None if every row has the default value."""
    return None if (pairs == usual).all() else pairs
