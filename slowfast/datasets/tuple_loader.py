"""PySlowFast's batches: tuples of inputs, labels, indices, times and metadata, for its scripts.

Legend: B clips of a batch, T frames, H W height and width.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator
from typing import Any

import torch
from torch import Tensor

from slowfast.datasets.resilient_loader import ResilientLoader
from slowfast.datasets.sampler import TrainBatches

__all__ = ["ClipBatch", "TupleLoader", "epoch_batches", "split_pathways"]

ClipBatch = tuple[list[Tensor], Tensor, Tensor, Tensor, dict[str, Any]]
"""A batch of clips.

* inputs: float, normalized, (B, 3, T, H, W), one tensor for each pathway;
* labels: int64 (B,), or those of the dataset;
* index: int64 (B,): the row of the video; in testing ``row * views of a video + view``;
* time: float64 (B, 1, 3): start and end of the clip in seconds, and 0;
* meta: empty.
"""


class _Clips:
    """The clips of an epoch, counted as PySlowFast's datasets do."""

    def __init__(self, count: int) -> None:
        self.num_videos = count

    def __len__(self) -> int:
        return self.num_videos


class TupleLoader:
    """Iterates over the clips of a loader of dicts; one iteration is one epoch.

    Args:
        batches: ``epoch -> batches``: dicts with ``video`` uint8 (B, V, T, H, W, 3), ``label``,
            ``index``, ``view`` and ``clip_start_sec``. The V views become V clips.
        prepare: The preprocessing of a batch.
        alpha: SLOWFAST.ALPHA of a network with two pathways; 0: one pathway.
        batch_size: Clips of a batch; the last one may be smaller. 0: those of ``batches``.
        num_batches: Length of an epoch, on this process.
        num_clips: Clips of an epoch, of all processes.
        num_views: Clips of a video in testing; 0: ``index`` is that of the video.
        clip_sec: Duration of a clip, in seconds.

    Attributes:
        dataset: Has a length, and ``num_videos``: the number of clips, as in PySlowFast.
        batch_size: As given.
    """

    def __init__(
        self,
        batches: Callable[[int], Generator[dict[str, Tensor]]],
        *,
        prepare: Callable[[dict[str, Tensor]], dict[str, Tensor]],
        alpha: int,
        batch_size: int,
        num_batches: int,
        num_clips: int,
        num_views: int,
        clip_sec: float,
    ) -> None:
        self._batches, self._prepare, self._alpha = batches, prepare, alpha
        self.batch_size, self._num_batches = batch_size, num_batches
        self._num_views, self._clip_sec, self._epoch = num_views, clip_sec, 0
        self.dataset = _Clips(num_clips)

    def __len__(self) -> int:
        return self._num_batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration, from 0; without it, epochs follow each other."""
        self._epoch = epoch

    def __iter__(self) -> Generator[ClipBatch]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        rows: list[tuple[Tensor, ...]] = []
        with contextlib.closing(self._batches(epoch)) as batches:
            for batch in batches:
                if not self.batch_size:
                    yield self._as_tuple(*self._clips(batch))
                    continue
                rows += zip(*self._clips(batch), strict=True)
                while len(rows) >= self.batch_size:
                    yield self._stack(rows[: self.batch_size])
                    rows = rows[self.batch_size :]
        if rows:
            yield self._stack(rows)

    def _clips(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return frames, labels, indices and times of the clips, one row per view."""
        views = batch["video"].shape[1]
        frames = self._prepare(batch)["video"].flatten(0, 1)
        index = batch["index"].repeat_interleave(views)
        if self._num_views:
            index = index * self._num_views + batch["view"].flatten()
        start = batch["clip_start_sec"].flatten().double()
        time = torch.stack([start, start + self._clip_sec, torch.zeros_like(start)], dim=1)
        return frames, batch["label"].repeat_interleave(views, dim=0), index, time[:, None]

    def _stack(self, rows: list[tuple[Tensor, ...]]) -> ClipBatch:
        return self._as_tuple(*(torch.stack(column) for column in zip(*rows, strict=True)))

    def _as_tuple(self, frames: Tensor, labels: Tensor, index: Tensor, time: Tensor) -> ClipBatch:
        return split_pathways(frames, self._alpha), labels, index, time, {}


def split_pathways(frames: Tensor, alpha: int) -> list[Tensor]:
    """Return the input of each pathway.

    Args:
        frames: (B, C, T, H, W).
        alpha: SLOWFAST.ALPHA; 0: one pathway.

    Returns:
        ``[slow, fast]``, where the slow pathway has ``T // alpha`` evenly spaced frames, or
        ``[frames]``.
    """
    if not alpha:
        return [frames]
    count = max(1, frames.shape[2] // alpha)
    slow = torch.linspace(0, frames.shape[2] - 1, count).long()
    return [frames[:, :, slow], frames]


def epoch_batches(
    loader: ResilientLoader[TrainBatches], epoch: int
) -> Generator[dict[str, Tensor]]:
    """Yield the batches of one epoch of a training loader.

    Args:
        loader: From ``construct_train_loader``, with one batch per optimizer step.
        epoch: The epoch, from 0.

    Yields:
        Batches.
    """
    loader.batches.start_at(epoch, 0)
    with contextlib.closing(iter(loader)) as batches:
        yield from itertools.islice(batches, loader.batches.steps_in(epoch))
