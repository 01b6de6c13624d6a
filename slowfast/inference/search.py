"""Exact search for the nearest vectors of a ``VectorStore``, in bounded memory.

Legend: Q queries, N stored vectors, D dimensions, K results.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.config import UserError
from slowfast.inference.embeddings import VideoEmbedding
from slowfast.inference.store import VectorStore
from slowfast.utils.io import name_some

__all__ = ["Match", "feature_pairs", "nearest", "search"]

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]
Block = tuple[Any, Sequence[Vectors]]
"""A ``pyarrow.RecordBatch`` of columns, and float32 (rows, D) of each feature."""

_EPSILON = 1e-12


class Match(NamedTuple):
    """A result of a search.

    Attributes:
        path: The file, relative to the root of the store; bytes that are not UTF-8 are escaped.
        score: Cosine similarity, from -1 to 1; with "both" the mean of two.
        label: Name of its class, "" if unknown.
        start_sec: Start of the clip, or of the first clip of the video.
        end_sec: End of the clip, or of the last clip of the video.
        file: The file, as the operating system finds it.
    """

    path: str
    score: float
    label: str
    start_sec: float
    end_sec: float
    file: str = ""

    @property
    def times(self) -> tuple[float, float]:
        """Start and end, in milliseconds' precision."""
        return round(self.start_sec, 3), round(self.end_sec, 3)


def feature_pairs(
    store: VectorStore, by: str, query_by: str | None = None
) -> list[tuple[str, str]]:
    """Choose which feature of a query is compared with which stored feature.

    Args:
        store: The vectors.
        by: What of the stored videos is compared: "video", "audio" or "both".
        query_by: What of the query is compared; None: the same.

    Returns:
        Pairs of names of features: of the query, of the store.

    Raises:
        UserError: If a feature was not stored, or two modalities have no joint space.
    """
    query_by = query_by or by
    record = store.record
    dims = record.get("features", {})
    if (by == "both") != (query_by == "both"):
        raise UserError(
            "--by both compares video with video and audio with audio; omit --query-by."
        )
    if by != query_by:
        pair = (f"{query_by}_embedding", f"{by}_embedding")
        if not record.get("joint_space") or not set(pair) <= set(dims):
            raise UserError(
                f"--query-by {query_by} --by {by}: the weights {record.get('weights')} have no "
                "joint space of video and audio. Search within one modality, or embed with weights "
                "of a cross-modal pretraining."
            )
        return [pair]
    wanted = ["video", "audio"] if by == "both" else [by]
    for name in wanted:
        if name not in dims:
            raise UserError(
                f"--by {by}: {store.folder} has no features of {name}; it has {', '.join(dims)}."
            )
    return [(name, name) for name in wanted]


def nearest(
    queries: Sequence[Vectors],
    blocks: Iterable[Block],
    top_k: int,
    excluded: Sequence[str] = (),
) -> tuple[list[Vectors], list[list[dict[str, Any]]]]:
    """Find the nearest rows by the mean cosine similarity of one or more features.

    Memory is that of one block; ties keep the order of the rows.

    Args:
        queries: float32 (Q, D) of each feature.
        blocks: Blocks of rows.
        top_k: K.
        excluded: For each query the value of the column ``path`` that is no result, or "".

    Returns:
        For each query the scores, (K,) or fewer, the highest first, and the columns of its rows.
    """
    units = [_normalize(query) for query in queries]
    count = len(units[0])
    scores = [np.empty(0, np.float32) for _ in range(count)]
    kept: list[list[dict[str, Any]]] = [[] for _ in range(count)]
    for columns, vectors in blocks:
        found = np.mean(
            [unit @ _normalize(values).T for unit, values in zip(units, vectors, strict=True)],
            axis=0,
        )  # (Q, rows)
        for query, row in enumerate(found):
            _exclude(row, columns, excluded[query] if excluded else "")
            best = _top(row, top_k)
            joined = np.concatenate([scores[query], row[best]])
            order = _top(joined, top_k)
            old = len(kept[query])
            kept[query] = [
                kept[query][place] if place < old else _row(columns, int(best[place - old]))
                for place in order
            ]
            scores[query] = joined[order]
    return scores, kept


def _exclude(scores: Vectors, columns: Any, path: str) -> None:
    """Make the rows of a path no result."""
    if path:
        import pyarrow.compute as pc

        same = pc.equal(columns.column("path"), path)
        scores[same.to_numpy(zero_copy_only=False)] = -np.inf


def _row(columns: Any, place: int) -> dict[str, Any]:
    return {name: columns.column(name)[place].as_py() for name in columns.schema.names}


def _top(scores: Vectors, top_k: int) -> NDArray[np.int64]:
    """Return the places of the highest finite scores, in order; ties by place."""
    places = np.flatnonzero(scores > -np.inf)
    if len(places) > top_k:  # all that reach the K-th score, then the first of them
        lowest = np.partition(scores[places], len(places) - top_k)[len(places) - top_k]
        places = places[scores[places] >= lowest]
    return places[np.argsort(-scores[places], kind="stable")][:top_k]


def _normalize(values: NDArray[np.floating]) -> Vectors:
    values = np.asarray(values, np.float32)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.maximum(norms, _EPSILON)


def search(
    store: VectorStore,
    queries: Sequence[VideoEmbedding],
    *,
    by: str = "video",
    query_by: str | None = None,
    top_k: int = 10,
    clips: bool = False,
    use_faiss: bool = False,
    with_query: bool = False,
) -> list[list[Match]]:
    """Search a store for the videos, or clips, that are most similar to queries.

    Args:
        store: The vectors.
        queries: Of the same model.
        by: What of the stored videos is compared: "video", "audio" or "both".
        query_by: What of the query is compared; None: the same. Another modality needs a joint
            space.
        top_k: Results per query.
        clips: Search clips instead of videos.
        use_faiss: Use an exact index of FAISS, which holds all vectors in memory.
        with_query: Whether a query that is in the store, or its clips, are results, too.

    Returns:
        The results of each query, the most similar first. A warning names those whose files have
        changed since they were embedded.

    Raises:
        UserError: If a feature is missing in the store or in a query.
    """
    store.require()
    pairs = feature_pairs(store, by, query_by)
    vectors = [_stack(queries, name) for name, _ in pairs]
    columns = ["path", "path_bytes", "label", "start", "end"]
    blocks = store.read([name for _, name in pairs], "clips" if clips else "videos", columns)
    excluded = [
        "" if with_query or not query.path else store.text_of(query.path) for query in queries
    ]
    find = _nearest_by_faiss if use_faiss else nearest
    scores, rows = find(vectors, blocks, top_k, excluded)
    root = store.root
    results = [
        [_match(row, float(score), root) for row, score in zip(own, values, strict=True)]
        for own, values in zip(rows, scores, strict=True)
    ]
    changed = store.changed_files({match.file for own in results for match in own})
    if changed:
        logger.warning(
            "%s changed since %s was written: run slowfast embed again",
            name_some(changed),
            store.folder,
        )
    return results


def _match(row: dict[str, Any], score: float, root: str) -> Match:
    raw = row["path"] if row["path_bytes"] is None else os.fsdecode(row["path_bytes"])
    file = str(Path(root, raw))
    return Match(row["path"], score, row["label"] or "", row["start"], row["end"], file)


def _stack(queries: Sequence[VideoEmbedding], name: str) -> Vectors:
    for query in queries:
        if name not in query.features:
            raise UserError(
                f"{query.path or 'the query'} has no {name.partition('_')[0]}; choose another --by."
            )
    return np.stack([query.features[name] for query in queries])


def _nearest_by_faiss(
    queries: Sequence[Vectors],
    blocks: Iterable[Block],
    top_k: int,
    excluded: Sequence[str] = (),
) -> tuple[list[Vectors], list[list[dict[str, Any]]]]:
    """Do the same as ``nearest`` with ``faiss.IndexFlatIP``; ties may have another order."""
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            "--faiss needs FAISS: pip install 'slowfast-stica[search]'; without it the search is "
            "exact, too."
        ) from error
    import pyarrow as pa
    import pyarrow.compute as pc

    unit = np.concatenate([_normalize(q) for q in queries], axis=1) / len(queries)
    index, batches = faiss.IndexFlatIP(unit.shape[1]), []
    for columns, vectors in blocks:
        index.add(np.concatenate([_normalize(values) for values in vectors], axis=1))
        batches.append(columns)
    if not index.ntotal:
        return [np.empty(0, np.float32) for _ in unit], [[] for _ in unit]
    table = pa.Table.from_batches(batches).combine_chunks()
    own = [pc.sum(pc.equal(table["path"], path)).as_py() if path else 0 for path in excluded]
    most = min(top_k + max(own, default=0), index.ntotal)
    scores, places = index.search(unit.astype(np.float32), most)
    results, rows = [], []
    for query, (values, found) in enumerate(zip(scores, places, strict=True)):
        kept = [
            (value, row)
            for value, row in zip(values, table.take(found).to_pylist(), strict=True)
            if not excluded or not excluded[query] or row["path"] != excluded[query]
        ][:top_k]
        results.append(np.array([value for value, _ in kept], np.float32))
        rows.append([row for _, row in kept])
    return results, rows
