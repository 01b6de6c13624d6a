"""The page of a search: queries and results with thumbnails and players."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from slowfast.datasets.decoding.reader import MediaError, open_media
from slowfast.inference.search import Match
from slowfast.inference.store import VectorStore
from slowfast.visualization.pages import data_uri, jpeg_uri, render

__all__ = ["QueryResults", "write_gallery"]

_WIDTH = 240
_LARGEST_EMBEDDED = 8_000_000
_BROWSER_VIDEO = (".mp4", ".m4v", ".mov", ".webm", ".ogv")
_BROWSER_AUDIO = (".mp3", ".m4a", ".aac", ".wav", ".ogg", ".oga", ".opus", ".flac")
"""Containers that browsers play; of others the page has a thumbnail and a link."""


class QueryResults(NamedTuple):
    """A query and what was found.

    Attributes:
        name: As the user wrote it.
        path: The file.
        matches: The results.
    """

    name: str
    path: str
    matches: Sequence[Match]


def write_gallery(
    page: Path,
    store: VectorStore,
    results: Sequence[QueryResults],
    how: str,
    *,
    embed_media: bool = False,
) -> None:
    """Write the page.

    Args:
        page: The HTML file.
        store: The vectors that were searched.
        results: Queries and results.
        how: What was compared, e.g. "video".
        embed_media: Put media files of up to 8 MB into the page; else the players read them from
            where they are, relative to the page.

    Raises:
        UserError: If Jinja2 is not installed.
    """
    groups = []
    for result in results:
        query = _item(result.path, result.name, "query", None, page, embed_media=embed_media)
        items = [
            _item(
                match.file,
                match.path,
                _note(rank, match),
                match,
                page,
                embed_media=embed_media,
            )
            for rank, match in enumerate(result.matches, start=1)
        ]
        groups.append({"title": f"Similar to {result.name}", "query": query, "items": items})
    count = sum(len(result.matches) for result in results)
    render(
        "search.html",
        page,
        title="Search",
        lead=f"{len(results)} queries in {store.folder.name}, compared by {how}; {count} results. "
        f"Weights: {store.record.get('weights')}.",
        groups=groups,
    )


def _note(rank: int, match: Match) -> str:
    label = f", {match.label}" if match.label else ""
    return (
        f"{rank}. cosine {match.score:.4f}{label}; {match.start_sec:.1f} to {match.end_sec:.1f} s"
    )


def _item(
    path: str, caption: str, note: str, match: Match | None, page: Path, *, embed_media: bool
) -> dict[str, Any]:
    item: dict[str, Any] = {"caption": caption, "note": note}
    if not Path(path).exists():
        return item | {"note": f"{note}; file not found"}
    frame = _middle_frame(path, match)
    if frame is not None:
        item["image"] = jpeg_uri(frame, _WIDTH)
    source = _source(path, page, embed_media=embed_media)
    if not source.startswith("data:"):
        item["href"] = source
        if match is not None:  # the player starts at the clip
            source += f"#t={match.start_sec:.3f},{match.end_sec:.3f}"
    suffix = Path(path).suffix.lower()
    if suffix in _BROWSER_VIDEO:
        item["video"] = source
    elif suffix in _BROWSER_AUDIO:
        item["audio"] = source
    return item


def _middle_frame(path: str, match: Match | None) -> np.ndarray | None:
    """Return the frame in the middle of a clip, or of a file; None without video."""
    try:
        with open_media(path) as reader:
            first, last = reader.video_extent_sec
            if match is not None:
                first, last = match.start_sec, match.end_sec
            frames = reader.read_video(np.array([(first + last) / 2]), short_side=_WIDTH)
            return np.asarray(frames[0])
    except MediaError:
        return None


def _source(path: str, page: Path, *, embed_media: bool) -> str:
    """Return the URL of a media file in the page."""
    file = Path(path)
    if embed_media and file.is_file() and file.stat().st_size <= _LARGEST_EMBEDDED:
        mime = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return data_uri(file.read_bytes(), mime)
    relative = os.path.relpath(path, page.absolute().parent)
    return quote(os.fsencode(relative.replace(os.sep, "/")))
