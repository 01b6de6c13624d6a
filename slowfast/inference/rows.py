"""From embedded batches to the vectors of each row of a manifest, and of its clips.

A row is a video, or a window of one; its views may be in several samples that follow each other.

Legend: B batch, V views, A temporal clips, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from slowfast.datasets.annotations.manifest import Manifest
from slowfast.engine.features import add_views, average_views
from slowfast.inference.embeddings import FEATURES, ClipEmbedding

__all__ = ["RowVectors", "average_row", "collect_rows", "join_windows"]


@dataclass
class RowVectors:
    """Vectors of a row.

    Attributes:
        sums: Results of ``engine.features.add_views``, one per sample.
        clips: Its clips.
    """

    sums: list[dict[str, Tensor]]
    clips: list[ClipEmbedding]


def collect_rows(
    batches: Iterable[dict[str, Tensor]],
    embed: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    crops: int,
    ensemble: str,
) -> Iterator[tuple[int, RowVectors]]:
    """Embed batches, and yield a row of the manifest when all of its views are known.

    Args:
        batches: Collated batches, whose samples are in the order of the manifest.
        embed: From a batch to features, float (B, V or A, C) each.
        crops: Spatial crops of a clip.
        ensemble: DATA.ENSEMBLE_METHOD.

    Yields:
        The row of the manifest, and its vectors.
    """
    open_row, parts = -1, RowVectors([], [])
    for batch in batches:
        embedded = embed(batch)
        for at, index in enumerate(batch["index"].tolist()):
            if index != open_row and parts.sums:
                yield open_row, parts
                parts = RowVectors([], [])
            open_row = index
            own = {name: value[at : at + 1] for name, value in embedded.items()}
            sample = {name: value[at : at + 1] for name, value in batch.items()}
            parts.sums.append(add_views(own, sample, ensemble))
            parts.clips += _clips(own, sample, crops)
    if parts.sums:
        yield open_row, parts


def join_windows(
    windows: Manifest, owners: Sequence[int], rows: Iterable[tuple[int, RowVectors]]
) -> Iterator[tuple[int, RowVectors]]:
    """Join the windows of each video: a window becomes a clip, the video the mean of all windows.

    Args:
        windows: One row per window.
        owners: The video of each window.
        rows: Rows of ``windows``.

    Yields:
        The video, and its vectors.
    """
    current, joined = -1, RowVectors([], [])
    for number, row in rows:
        if owners[number] != current and joined.sums:
            yield current, joined
            joined = RowVectors([], [])
        current = owners[number]
        for part in row.sums:
            part["index"] = torch.full_like(part["index"], current)
            part["first_view"] = torch.full_like(part["first_view"], len(joined.clips))
        joined.sums += row.sums
        window = windows.row(number)
        start, end = window.start_sec, window.end_sec
        joined.clips += [replace(clip, start_sec=start, end_sec=end) for clip in row.clips]
    if joined.sums:
        yield current, joined


def average_row(row: RowVectors) -> tuple[dict[str, NDArray[np.float32]], bool]:
    """Average the views of a row.

    Args:
        row: Its vectors.

    Returns:
        Name -> float32 (C,), those of audio only if there is some; and whether there is.
    """
    table = average_views({key: torch.cat([part[key] for part in row.sums]) for key in row.sums[0]})
    has_audio = bool(table.audio_valid[0])
    features = {
        name: table.features[name][0].numpy()
        for name in FEATURES
        if name in table.features and (has_audio or not _needs_audio(name, table.features))
    }
    return features, has_audio


def _needs_audio(name: str, features: Iterable[str]) -> bool:
    of_audio = name.startswith("audio") or name == "similarity"
    return of_audio or (name == "scores" and "video" not in features and "audio" in features)


def _clips(
    embedded: dict[str, Tensor], sample: dict[str, Tensor], crops: int
) -> list[ClipEmbedding]:
    """Average the spatial crops of each clip of one sample; (1, V or A, ...) each."""
    starts, ends = sample["clip_start_sec"][0], sample["clip_end_sec"][0]
    clips = len(starts) // crops
    valid = sample.get("audio_valid")
    found = []
    for clip in range(clips):
        features = {}
        for name, value in embedded.items():
            per_clip = value.shape[1] // clips
            if _needs_audio(name, embedded) and valid is not None and not valid[0, clip]:
                continue
            mean = value[0, clip * per_clip : (clip + 1) * per_clip].double().mean(dim=0).float()
            if name.endswith("_embedding"):
                mean = F.normalize(mean, dim=-1)
            features[name] = mean.cpu().numpy()
        first = clip * crops
        found.append(ClipEmbedding(features, float(starts[first]), float(ends[first])))
    return found
