"""Vectors of many videos on disk: two Parquet datasets, one row per video and one per clip.

    FOLDER/embed.json          what was embedded, by which weights and settings
    FOLDER/videos/*.parquet    path, label, start, end, size, mtime_ns, and the features
    FOLDER/clips/*.parquet     path, label, clip, start, end, and the features
    FOLDER/vectors.npz         the features of the videos, sorted by path
    FOLDER/bad_files.csv       files that could not be decoded, or only in part

Paths are relative to ``root`` of embed.json. A path that is not UTF-8 is escaped, with its bytes in
``path_bytes``. Features are lists of float32 of a fixed length, null where there is no audio. A row
of a csv that names a part of a file has ``window_start`` and ``window_end``. The metadata of each
Parquet file are embed.json, under ``slowfast``.
"""

from __future__ import annotations

import csv
import json
import math
import os
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slowfast.config import UserError
from slowfast.datasets.bad_media import BadMedia
from slowfast.inference.embeddings import FEATURES, ClipEmbedding, VideoEmbedding
from slowfast.inference.video_keys import (
    KEY_COLUMNS,
    FileState,
    VideoKey,
    key_rows,
    read_keys,
    utf8_text,
)
from slowfast.utils.io import atomic_path, read_json, spreadsheet_text, write_csv, write_json

__all__ = [
    "VectorStore",
    "absolute_path",
    "features_of",
    "import_pyarrow",
]

_RECORD, _BAD = "embed.json", "bad_files.csv"
_NPZ = "vectors.npz"
_VIDEOS, _CLIPS = "videos", "clips"
_ROWS_AT_ONCE = 16384


def import_pyarrow() -> Any:
    """Import pyarrow with its Parquet and compute modules.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            "vectors are stored as Parquet, which needs pyarrow: pip install "
            "'slowfast-stica[embed]'"
        ) from error
    return pa


class VectorStore:
    """A folder of vectors.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def record(self) -> dict[str, Any]:
        """Content of embed.json; empty for a new folder."""
        return dict(read_json(self.folder / _RECORD))

    @property
    def root(self) -> str:
        """The folder that paths are relative to."""
        return str(self.record.get("root", ""))

    def require(self) -> None:
        """Check that the folder has vectors.

        Raises:
            UserError: If it has none.
        """
        if not self.record:
            raise UserError(f"{self.folder} has no vectors; write some with slowfast embed.")

    def create(self, record: dict[str, Any]) -> None:
        """Write embed.json."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / _RECORD, record)

    def clear(self) -> None:
        """Remove all vectors."""
        (self.folder / _NPZ).unlink(missing_ok=True)
        for table in (_CLIPS, _VIDEOS):
            for part in self.parts(table):
                part.unlink()

    def parts(self, table: str = _VIDEOS) -> list[Path]:
        """List the Parquet files of a table, "videos" or "clips", in the order of writing."""
        return sorted((self.folder / table).glob("part-*.parquet"))

    def key_of(self, path: str, start_sec: float = 0.0, end_sec: float = math.inf) -> VideoKey:
        """Return what identifies a file, or a part of it, in this store."""
        root = self.root
        if root and path.startswith(f"{root.rstrip(os.sep)}{os.sep}"):
            path = os.path.relpath(path, root)
        return VideoKey(path, start_sec, end_sec)

    def text_of(self, path: str) -> str:
        """Return the value of the column ``path`` of a file."""
        return utf8_text(self.key_of(path).path)

    def known_files(self) -> dict[VideoKey, FileState]:
        """Return each video, and the state of its file when it was embedded."""
        pa = import_pyarrow()
        known: dict[VideoKey, FileState] = {}
        for part in self.parts():
            rows = pa.parquet.read_table(part, columns=[*KEY_COLUMNS, "size", "mtime_ns"])
            states = zip(rows["size"].to_pylist(), rows["mtime_ns"].to_pylist(), strict=True)
            for key, (size, changed) in zip(read_keys(rows), states, strict=True):
                known[key] = FileState(size, changed)
        return known

    def append(self, videos: Sequence[VideoEmbedding], states: Sequence[FileState]) -> None:
        """Write a part; the part of the videos comes last and decides what is done.

        Args:
            videos: Their paths are below ``root``, or absolute.
            states: State of the file of each.
        """
        if not videos:
            return
        name = f"part-{time.time_ns():020d}-{secrets.token_hex(4)}.parquet"
        record = self.record
        keys = [self.key_of(video.path, *(video.window or ())) for video in videos]
        clips = [
            (key, video, number, clip)
            for key, video in zip(keys, videos, strict=True)
            for number, clip in enumerate(video.clips)
        ]
        rows: dict[str, Any] = key_rows([key for key, *_ in clips]) | {
            "label": [video.label or None for _, video, _, _ in clips],
            "clip": [number for _, _, number, _ in clips],
            "start": [clip.start_sec for *_, clip in clips],
            "end": [clip.end_sec for *_, clip in clips],
        }
        self._write(record, _CLIPS, name, rows, [clip for *_, clip in clips])
        rows = key_rows(keys) | {
            "label": [video.label or None for video in videos],
            "start": [video.clips[0].start_sec if video.clips else None for video in videos],
            "end": [video.clips[-1].end_sec if video.clips else None for video in videos],
            "size": [state.size for state in states],
            "mtime_ns": [state.mtime_ns for state in states],
        }
        self._write(record, _VIDEOS, name, rows, videos)

    def _write(
        self,
        record: dict[str, Any],
        table: str,
        name: str,
        rows: dict[str, Any],
        items: Sequence[VideoEmbedding | ClipEmbedding],
    ) -> None:
        pa = import_pyarrow()
        types = {"path": pa.string(), "label": pa.string(), "path_bytes": pa.binary()}
        types |= {"window_start": pa.float64(), "window_end": pa.float64()}
        types |= {"start": pa.float64(), "end": pa.float64(), "clip": pa.int32()}
        types |= {"size": pa.int64(), "mtime_ns": pa.int64()}
        columns = {key: pa.array(values, types[key]) for key, values in rows.items()}
        for feature, dim in record["features"].items():
            kind = pa.list_(pa.float32(), dim)
            columns[feature] = _vectors(pa, [item.features.get(feature) for item in items], kind)
        content = pa.table(columns).replace_schema_metadata({"slowfast": json.dumps(record)})
        with atomic_path(self.folder / table / name) as temporary:
            pa.parquet.write_table(content, temporary)

    def remove(self, keys: Collection[VideoKey]) -> None:
        """Remove the rows of some videos; their clips first, so that none is left without one."""
        pa = import_pyarrow()
        if not keys:
            return
        for table in (_CLIPS, _VIDEOS):
            for part in self.parts(table):
                found = read_keys(pa.parquet.read_table(part, columns=KEY_COLUMNS))
                keep = [key not in keys for key in found]
                if all(keep):
                    continue
                if any(keep):
                    content = pa.parquet.read_table(part).filter(pa.array(keep))
                    with atomic_path(part) as temporary:
                        pa.parquet.write_table(content, temporary)
                else:
                    part.unlink()

    def list_bad(self, bad: Sequence[BadMedia], kept: Collection[VideoKey]) -> Path | None:
        """Write ``bad_files.csv``; its entries of stored files that were not tried again stay.

        Args:
            bad: Files that could not be decoded, or only in part.
            kept: What is stored and was not tried again.

        Returns:
            The file, or None if there is no bad one.
        """
        file = self.folder / _BAD
        left = {spreadsheet_text(key.path) for key in kept}
        rows = {}
        if file.exists():
            with file.open(encoding="utf-8", errors="surrogateescape", newline="") as lines:
                rows = {row[0]: row[1] for row in csv.reader(lines) if row and row[0] in left}
        rows |= {self.key_of(entry.path).path: entry.reason for entry in bad}
        if not rows:
            file.unlink(missing_ok=True)
            return None
        write_csv(file, ["path", "reason"], sorted(rows.items()))
        return file

    def repair(self) -> None:
        """Remove what a killed process left: temporary files, and clips without their videos."""
        known = {part.name for part in self.parts()}
        for part in self.parts(_CLIPS):
            if part.name not in known:
                part.unlink()
        for file in self.folder.glob("*/.part-*.tmp"):
            file.unlink()

    def read(
        self, features: Sequence[str], table: str = _VIDEOS, columns: Sequence[str] = ()
    ) -> Iterator[tuple[Any, list[NDArray[np.float32]]]]:
        """Read features in blocks of bounded size; rows that lack one of them are left out.

        Args:
            features: Names of features.
            table: "videos" or "clips".
            columns: Further columns.

        Yields:
            A ``pyarrow.RecordBatch`` with the columns, and float32 (rows, dim) of each feature.

        Raises:
            UserError: If a feature was not stored.
        """
        dims = self.record.get("features", {})
        for name in features:
            if name not in dims:
                raise UserError(
                    f"{self.folder} has no {name!r}; it has {', '.join(dims) or 'nothing'}."
                )
        pa = import_pyarrow()
        for part in self.parts(table):
            file = pa.parquet.ParquetFile(part)
            for block in file.iter_batches(_ROWS_AT_ONCE, columns=[*columns, *features]):
                for name in features:
                    if block.column(name).null_count:
                        block = block.filter(block.column(name).is_valid())
                if block.num_rows:
                    matrices = [_matrix(block.column(name), dims[name]) for name in features]
                    yield block.select(list(columns)), matrices

    def find(self, paths: Collection[str]) -> dict[str, VideoEmbedding]:
        """Look up the vectors of videos whose files have not changed since.

        Args:
            paths: Relative to the root, or absolute; escaped ones, as in the column ``path``, too.

        Returns:
            Path -> its vectors, for those that are in the store, also if the file is gone. Of a
            file with several windows the first.
        """
        dims = self.record.get("features", {})
        wanted = {self.key_of(path).path: path for path in paths}
        found: dict[str, VideoEmbedding] = {}
        for key, row in self._rows_of(wanted):
            path = wanted.get(key.path, wanted.get(row["path"]))
            if path is None or path in found or self._has_changed(key, row):
                continue
            features = {n: np.array(row[n], np.float32) for n in dims if row[n] is not None}
            full = str(Path(self.root, key.path))
            found[path] = VideoEmbedding(features, path=full, label=row["label"] or "")
        return found

    def changed_files(self, paths: Collection[str]) -> list[str]:
        """Find the files that are not what they were when they were embedded.

        Args:
            paths: Relative to the root, or absolute.

        Returns:
            Those of other size or time, relative to the root; not those that are gone.
        """
        keys = {self.key_of(path).path for path in paths}
        columns = [*KEY_COLUMNS, "size", "mtime_ns"]
        rows = self._rows_of(keys, columns)
        return sorted({k.path for k, row in rows if k.path in keys and self._has_changed(k, row)})

    def _rows_of(
        self, paths: Collection[str], columns: Sequence[str] | None = None
    ) -> Iterator[tuple[VideoKey, dict[str, Any]]]:
        """Yield the rows of videos whose column ``path`` is that of some paths."""
        pa = import_pyarrow()
        texts = pa.array([utf8_text(path) for path in paths], pa.string())
        matches = pa.compute.field("path").isin(texts)
        for part in self.parts():
            rows = pa.parquet.read_table(part, filters=matches, columns=columns)
            yield from zip(read_keys(rows), rows.to_pylist(), strict=True)

    def _has_changed(self, key: VideoKey, row: dict[str, Any]) -> bool:
        """Whether a file is there, and is another one than when it was embedded."""
        now = FileState.of(str(Path(self.root, key.path)))
        return now not in (FileState(-1, -1), FileState(row["size"], row["mtime_ns"]))

    def write_npz(self) -> Path:
        """Write the features of all videos, sorted by path, into one file.

        Returns:
            ``vectors.npz``: ``path``, ``label``, ``start``, ``end``, and each feature, float32 (N,
            dim), NaN where a video has no audio.
        """
        pa = import_pyarrow()
        dims = self.record["features"]
        kept = ["path", "label", "start", "end", *dims]
        table = pa.concat_tables([pa.parquet.read_table(p, columns=kept) for p in self.parts()])
        order = [("path", "ascending"), ("start", "ascending")]
        table = table.sort_by(order).combine_chunks()
        arrays: dict[str, np.ndarray] = {
            "path": np.array(table["path"].to_pylist(), np.str_),
            "label": np.array([x or "" for x in table["label"].to_pylist()], np.str_),
            "start": table["start"].to_numpy(),
            "end": table["end"].to_numpy(),
        }
        for feature, dim in dims.items():
            column = table[feature].combine_chunks()
            valid = column.is_valid().to_numpy(zero_copy_only=False)
            rows = np.full((table.num_rows, dim), np.nan, np.float32)
            rows[valid] = _matrix(column.filter(pa.array(valid)), dim)
            arrays[feature] = rows
        path = self.folder / _NPZ
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        return path


def absolute_path(path: str) -> str:
    """Return a path without ``~`` and ``..`` that is the same from every folder; links stay."""
    return os.path.normpath(Path(path).expanduser().absolute())


def features_of(video: VideoEmbedding) -> dict[str, int]:
    """Return the dimension of each feature that has one vector."""
    return {
        n: len(video.features[n]) for n in FEATURES if n in video.features and n != "similarity"
    }


def _matrix(column: Any, dim: int) -> NDArray[np.float32]:
    flat: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), dim)


def _vectors(pa: Any, vectors: Sequence[np.ndarray | None], kind: Any) -> Any:
    valid = np.array([vector is not None for vector in vectors], bool)
    rows = [np.zeros(kind.list_size, np.float32) if v is None else v for v in vectors]
    flat = np.concatenate(rows) if rows else np.zeros(0, np.float32)
    values = pa.array(flat.astype(np.float32), pa.float32())
    return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=pa.array(~valid))
