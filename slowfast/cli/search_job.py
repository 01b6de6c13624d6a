"""Implementation of ``slowfast search``."""

from __future__ import annotations

import json
import logging
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, cast

from slowfast.config import UserError
from slowfast.inference.embed_files import identify_model
from slowfast.inference.embeddings import VideoEmbedding
from slowfast.inference.frozen import FrozenModel
from slowfast.inference.gallery import QueryResults, write_gallery
from slowfast.inference.load import load
from slowfast.inference.search import Match, search
from slowfast.inference.store import VectorStore, absolute_path
from slowfast.utils.io import printable, write_csv_rows
from slowfast.utils.logging import setup_logging

__all__ = ["run_command"]

logger = logging.getLogger(__name__)

_HEADER = ["query", "rank", "score", "path", "label", "start", "end"]


def run_command(arguments: Namespace) -> int:
    """Run the command.

    Returns:
        The exit status, 0.

    Raises:
        UserError: If the vectors, the queries or the options do not fit each other.
    """
    setup_logging(None, is_main=arguments.format == "table")
    store = VectorStore(Path(arguments.store))
    store.require()
    queries = _embed_queries(store, arguments.query, arguments.device)
    found = search(
        store,
        queries,
        by=arguments.by,
        query_by=arguments.query_by,
        top_k=arguments.top_k,
        clips=arguments.clips,
        use_faiss=arguments.faiss,
        with_query=arguments.with_query,
    )
    _print(arguments.query, found, arguments.format)
    if arguments.page != "":
        how = arguments.by
        if arguments.query_by and arguments.query_by != arguments.by:
            how = f"{arguments.query_by} of the query, {arguments.by} of the results"
        page = Path(arguments.page or store.folder / "search.html")
        results = [
            QueryResults(name, query.path, matches)
            for name, query, matches in zip(arguments.query, queries, found, strict=True)
        ]
        try:
            write_gallery(page, store, results, how, embed_media=arguments.embed_media)
        except UserError as error:
            if arguments.page:
                raise
            logger.warning("no page: %s", error)
        else:
            logger.info("page: %s", page)
    return 0


def _embed_queries(store: VectorStore, names: list[str], device: str) -> list[VideoEmbedding]:
    """Look queries up in the store; embed the others with the weights of the store."""
    paths = {name: str(Path(name).expanduser()) for name in names}
    known = store.find({p for path in paths.values() for p in (path, absolute_path(path))})
    found: dict[str, VideoEmbedding] = {}
    for name, path in paths.items():
        full = known.get(absolute_path(path))
        own = full if Path(path).exists() else known.get(path, full)
        if own is not None:
            found[name] = own
        elif Path(path).is_dir():
            raise UserError(f"--query: {name} is a folder; name files.")
        elif not Path(path).exists():
            raise UserError(f"--query: {name} is neither a file nor a path in {store.folder}.")
    missing = [name for name in paths if name not in found]
    if missing:
        model = _load_model(store, device)
        for name in missing:
            embedded = model.embed(absolute_path(paths[name]), every_sec=store.record["every_sec"])
            found[name] = cast(VideoEmbedding, embedded)  # of one file
    return [found[name] for name in names]


def _load_model(store: VectorStore, device: str) -> FrozenModel:
    """Load the weights of the store, and check that they still are those of its vectors."""
    record = store.record
    model = load(record["weights"], cfg=record["cfg"], overrides=record["overrides"], device=device)
    now = identify_model(model)
    for key, what in (("state", "weights"), ("config", "configuration")):
        if now[key] != record[key]:
            raise UserError(
                f"{record['weights']}: its {what} changed since {store.folder} was written "
                f"({record[key]} there, {now[key]} now), so new files cannot be compared with its "
                "vectors. Embed the folder again (slowfast embed --overwrite), or query a video "
                "that is in it."
            )
    return model


def _print(names: list[str], found: list[list[Match]], form: str) -> None:
    rows: list[tuple[Any, ...]] = [
        (name, rank, round(match.score, 6), match.path, match.label, *match.times)
        for name, matches in zip(names, found, strict=True)
        for rank, match in enumerate(matches, start=1)
    ]
    if form == "json":
        entries = [dict(zip(_HEADER, row, strict=True)) for row in rows]
        sys.stdout.write(json.dumps(entries, indent=1) + "\n")
    elif form == "csv":
        write_csv_rows(sys.stdout, [_HEADER, *rows], line_end="\n")
    else:
        for name, matches in zip(names, found, strict=True):
            sys.stdout.write(f"{printable(name)}\n")
            for match in matches:
                label = f"  {match.label}" if match.label else ""
                times = f"{match.start_sec:8.2f} to {match.end_sec:.2f} s"
                line = f"  {match.score:7.4f}  {times}  {match.path}{label}"
                sys.stdout.write(f"{printable(line)}\n")
