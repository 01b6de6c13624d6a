"""Collects thumbnails and vectors of single views while a test extracts its features.

Large splits are sampled: the videos whose number of their row, hashed, is lowest. So the sample is
the same for any number of processes, in any order of the batches.

Legend: B batch, V views, A audio clips, n sampled videos, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.engine.insight.images import Image, encode_jpeg, fit_square, log_mel_image
from slowfast.utils import distributed
from slowfast.utils.random import STREAM_REPORT, uniform

__all__ = ["TestWatch", "ViewVectors", "Watched"]

THUMBNAIL_PX = 96
_CANDIDATES = 5

_NAMES = ("video", "audio", "video_embedding", "audio_embedding")


class ViewVectors(NamedTuple):
    """Vectors of the views of n videos.

    Attributes:
        first: float32 (n, C), as the model returned it: the center crop of the first clip, the
            first clip with audio.
        unit_sum: float64 (n, C), the sum over the views of their vectors scaled to length 1.
        num_views: int64 (n,), views in that sum: all, or those with audio.
    """

    first: Tensor
    unit_sum: Tensor
    num_views: Tensor


class Watched(NamedTuple):
    """What was collected of n sampled videos, in the order of the hash.

    Attributes:
        rows: int64 (n,), rows of the manifest.
        thumbnails: JPEG file of each.
        vectors: Name of a feature -> its vectors.
    """

    rows: Tensor
    thumbnails: list[bytes]
    vectors: dict[str, ViewVectors]


@dataclass
class _Video:
    """One video: the first of its chunks of views has the lowest number."""

    first_view: int
    thumbnail: bytes
    first: dict[str, Tensor]
    unit_sum: dict[str, Tensor] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, views: Tensor) -> None:
        """Add vectors (V, C) of further views."""
        total = F.normalize(views.double(), dim=1).sum(dim=0)
        self.unit_sum[name] = self.unit_sum.get(name, torch.zeros_like(total)) + total
        self.count[name] = self.count.get(name, 0) + len(views)

    def merge(self, other: _Video) -> _Video:
        """Combine two chunks of the same video."""
        first, second = sorted((self, other), key=lambda chunk: chunk.first_view)
        for name, total in second.unit_sum.items():
            first.unit_sum[name] = first.unit_sum.get(name, 0) + total
            first.count[name] = first.count.get(name, 0) + second.count[name]
        first.first = {**second.first, **first.first}
        return first


class TestWatch:
    """Called with each batch of a test and what the model returned for it.

    Args:
        limit: The largest number n of videos to collect.
    """

    __test__ = False  # for pytest: no class of tests

    def __init__(self, limit: int) -> None:
        self._limit, self._bound = limit, float("inf")
        self._videos: dict[int, _Video] = {}

    def __call__(self, batch: Mapping[str, Any], embedded: Mapping[str, Tensor]) -> None:
        """Collect from a batch.

        Args:
            batch: A prepared batch; with uint8 frames as ``raw_video`` if it has video.
            embedded: Result of ``embed`` for it.
        """
        rows = batch["index"].cpu()
        kept = (_order(rows) <= self._bound).tolist()
        vectors = {
            name: embedded[name].detach().float().cpu() for name in _NAMES if name in embedded
        }
        for number, row in enumerate(rows.tolist()):
            if kept[number]:
                video = _collect(batch, vectors, number)
                known = self._videos.get(row)
                self._videos[row] = video if known is None else known.merge(video)
        if len(self._videos) > 1.5 * self._limit:
            self._prune()

    def gather(self) -> Watched:
        """Join what all processes collected. Every process must call this function.

        Returns:
            At most ``limit`` videos, the same on every process.
        """
        self._prune()
        videos: dict[int, _Video] = {}
        for own in distributed.gather_objects(self._videos):
            for row, video in own.items():
                videos[row] = videos[row].merge(video) if row in videos else video
        self._videos = videos
        self._prune()
        return _stack(self._videos)

    def _prune(self) -> None:
        """Keep the videos of the lowest hashes, in their order."""
        rows = torch.tensor(sorted(self._videos), dtype=torch.int64)
        order = _order(rows)
        ranked = order.argsort(stable=True)[: self._limit]
        if len(rows) > self._limit:
            self._bound = float(order[ranked[-1]])
        self._videos = {row: self._videos[row] for row in rows[ranked].tolist()}


def _order(rows: Tensor) -> Tensor:
    """Hash rows to float64 in [0, 1)."""
    return uniform(rows, STREAM_REPORT, 1)[:, 0]


def _collect(batch: Mapping[str, Any], vectors: Mapping[str, Tensor], number: int) -> _Video:
    """Collect the video in one row of a batch."""
    starts = batch["clip_start_sec"][number]
    crops = int((starts == starts[0]).sum())  # spatial crops of the first clip
    center = crops // 2
    video = _Video(int(batch["view"][number, 0]), _thumbnail(batch, number, center), {})
    for name, values in vectors.items():
        views, shown = values[number], center  # (V, C) or (A, C)
        if name.startswith("audio"):
            valid = batch["audio_valid"][number].cpu()
            views, shown = views[valid.repeat_interleave(len(views) // len(valid))], 0
        if len(views):
            video.first[name] = views[shown]
            video.add(name, views)
    return video


def _thumbnail(batch: Mapping[str, Any], number: int, view: int) -> bytes:
    """Return a frame of a view, else the spectrogram of the first audio clip."""
    image: Image
    if "raw_video" in batch:
        image = fit_square(_clearest(batch["raw_video"][number, view].numpy()), THUMBNAIL_PX)
    elif "audio" in batch:
        log_mel = batch["audio"][number, 0, 0].float().cpu().numpy()
        image = fit_square(log_mel_image(log_mel), THUMBNAIL_PX)
    else:
        image = np.full((THUMBNAIL_PX, THUMBNAIL_PX, 3), 128, np.uint8)
    return encode_jpeg(image)


def _clearest(frames: Image) -> Image:
    """Choose the frame with the highest contrast of a few of the frames (T, H, W, 3)."""
    step = max(1, len(frames) // _CANDIDATES)
    few = frames[step // 2 :: step]
    contrast = few[:, ::4, ::4].reshape(len(few), -1).std(axis=1)
    return np.asarray(few[int(contrast.argmax())], np.uint8)


def _stack(videos: Mapping[int, _Video]) -> Watched:
    """Stack the vectors of all videos; a video without audio has zeros of count 0."""
    values = list(videos.values())
    vectors = {}
    for name in _NAMES:
        some = next((v.first[name] for v in values if name in v.first), None)
        if some is not None:
            zero = torch.zeros_like(some)
            vectors[name] = ViewVectors(
                torch.stack([v.first.get(name, zero) for v in values]),
                torch.stack([v.unit_sum.get(name, zero.double()) for v in values]),
                torch.tensor([v.count.get(name, 0) for v in values]),
            )
    rows = torch.tensor(list(videos), dtype=torch.int64)
    return Watched(rows, [v.thumbnail for v in values], vectors)
