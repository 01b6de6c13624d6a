"""How long a search takes, and how much memory: blocks of Parquet files against FAISS.

Writes stores of random vectors, then searches each in a process of its own, whose peak memory is
measured, and checks that both ways find the same rows. Writes ``results/search.json``; about ten
minutes and 2 GB of disk for a while.

    python benchmarks/bench_search.py [--sizes 10000x512 1000000x64] [--folder DIR] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np

from slowfast.inference.embeddings import VideoEmbedding
from slowfast.inference.search import search
from slowfast.inference.store import FileState, VectorStore, import_pyarrow

OUT = harness.RESULTS / "search.json"
_SIZES = ("10000x512", "100000x512", "1000000x64", "1000000x512")
_PART = 8192
_QUERIES = (1, 100)
_TOP_K = 10


def write_store(folder: Path, count: int, dim: int) -> VectorStore:
    """Write a store of random vectors.

    Args:
        folder: Where.
        count: Number of videos.
        dim: Dimensions of a vector.

    Returns:
        The store.
    """
    store = VectorStore(folder)
    store.create({"root": "/videos", "weights": "random", "features": {"video": dim}})
    generator = np.random.default_rng(0)
    for start in range(0, count, _PART):
        rows = generator.standard_normal((min(_PART, count - start), dim), dtype=np.float32)
        videos = [
            VideoEmbedding({"video": row}, path=f"/videos/{start + n:07d}.mp4")
            for n, row in enumerate(rows)
        ]
        store.append(videos, [FileState(1, 1)] * len(videos))
    return store


def measure(folder: Path, dim: int, queries: int, use_faiss: bool) -> dict[str, object]:
    """Search once, in this process.

    Returns:
        ``seconds``, ``cpu_seconds`` (of use where other programs run), ``memory_mb``: what the
        search added to the peak memory, and ``paths`` found.
    """
    generator = np.random.default_rng(1)
    vectors = generator.standard_normal((queries, dim), dtype=np.float32)
    asked = [VideoEmbedding({"video": vector}) for vector in vectors]
    store = VectorStore(folder)
    import_pyarrow()
    if use_faiss:
        import faiss  # noqa: F401
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu_start = time.perf_counter(), time.process_time()
    found = search(store, asked, top_k=_TOP_K, use_faiss=use_faiss)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "memory_mb": round((peak - before) / 1024),
        "paths": [[match.path for match in own] for own in found],
    }


def _measure_in_process(folder: Path, dim: int, queries: int, way: str) -> dict[str, Any]:
    words = ["--measure", str(folder), str(dim), str(queries), way]
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def measure_size(
    size: str,
    parent: str | None,
    *,
    queries: Sequence[int] = _QUERIES,
    ways: Sequence[str] = ("blocks", "faiss"),
) -> list[dict[str, Any]]:
    """Write a store, search it in each way in a process of its own, and remove it.

    Args:
        size: Vectors and dimensions, such as "10000x512".
        parent: Folder of the store; None: a temporary one.
        queries: Numbers of queries of a search.
        ways: "blocks", "faiss" or both.

    Returns:
        For each number of queries ``vectors``, ``dim``, ``queries``, and for each way what
        ``measure`` returns.

    Raises:
        AssertionError: If the ways find different rows.
    """
    count, dim = (int(word) for word in size.split("x"))
    found = []
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        store = write_store(Path(folder), count, dim)
        for number in queries:
            measured = {way: _measure_in_process(store.folder, dim, number, way) for way in ways}
            paths = [numbers.pop("paths") for numbers in measured.values()]
            if any(other != paths[0] for other in paths):
                raise AssertionError(f"{size}, {number} queries: the ways find different rows")
            row = {"vectors": count, "dim": dim, "queries": number}
            for way, numbers in measured.items():
                row |= {f"{way}_{name}": value for name, value in numbers.items()}
            found.append(row)
    return found


def main(words: list[str] | None = None) -> dict[str, Any] | None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    harness.add_arguments(parser)
    parser.add_argument("--sizes", nargs="+", default=_SIZES, metavar="NxD")
    parser.add_argument("--folder", help="where stores are written (default: temporary)")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.measure:
        folder, dim, queries, way = arguments.measure
        found = measure(Path(folder), int(dim), int(queries), way == "faiss")
        sys.stdout.write(json.dumps(found))
        return None
    sizes = ("500x16",) if arguments.tiny else arguments.sizes
    found = [row for size in sizes for row in measure_size(size, arguments.folder)]
    setting = {"top_k": _TOP_K, "threads": os.environ.get("OMP_NUM_THREADS", "all")}
    rows = [
        harness.row(
            f"search, {one['vectors']} x {one['dim']}, {one['queries']} queries",
            one["blocks_cpu_seconds"],
            unit="CPU s",
            peer=one["faiss_cpu_seconds"],
            peer_name="FAISS",
            why=f"adds {one['blocks_memory_mb']} MiB to the peak memory, FAISS "
            f"{one['faiss_memory_mb']}; both find the same rows",
        )
        for one in found
    ]
    out = arguments.out or (None if arguments.tiny else OUT)
    return harness.write_result(out, setting, rows, measured=found)


if __name__ == "__main__":
    main()
