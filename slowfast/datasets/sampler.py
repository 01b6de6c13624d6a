"""Batch samplers: the samples of a batch are a pure function of (seed, epoch, iteration, rank).

The union of the batches of all ranks does not depend on the number of ranks: a run on several
processes equals the same run on one process, and can be resumed as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from slowfast.datasets.balanced import balanced_order
from slowfast.utils.random import STREAM_ORDER, sample_rng

__all__ = ["EvaluationBatches", "Key", "TrainBatches", "epoch_order"]

Key = tuple[int, int]
"""(epoch, index): the key of a sample in a dataset."""


class TrainBatches:
    """Shuffled batches of one rank, from a given position to the end of training.

    Args:
        length: Number of samples in the dataset.
        batch_size: Samples per batch of this rank.
        rank: This rank.
        world_size: Number of ranks.
        seed: RNG_SEED.
        max_epoch: Number of epochs of the training.
        batches_per_epoch: Batches per epoch; None: all full batches.
        classes: Indices of the samples of each class, which then are equally frequent; see
            ``balanced_order``. None: every sample once per epoch.
    """

    def __init__(
        self,
        *,
        length: int,
        batch_size: int,
        rank: int,
        world_size: int,
        seed: int,
        max_epoch: int,
        batches_per_epoch: int | None = None,
        classes: Sequence[np.ndarray] | None = None,
    ) -> None:
        self._length, self._size, self._rank, self._world = length, batch_size, rank, world_size
        self._seed, self._max_epoch, self._classes = seed, max_epoch, classes
        full = length // (batch_size * world_size)
        self.batches_per_epoch = full if batches_per_epoch is None else batches_per_epoch
        self.position = 0

    def start_at(self, epoch: int, batch: int) -> None:
        """Set the position to a batch of an epoch, both counted from 0."""
        self.position = epoch * self.batches_per_epoch + batch

    def __len__(self) -> int:
        return self._max_epoch * self.batches_per_epoch - self.position

    def __iter__(self) -> Iterator[list[Key]]:
        position = self.position
        while position < self._max_epoch * self.batches_per_epoch:
            epoch, first = divmod(position, self.batches_per_epoch)
            order = self._order(epoch)
            for batch in range(first, self.batches_per_epoch):
                start = (batch * self._world + self._rank) * self._size
                yield [(epoch, int(i)) for i in order[start : start + self._size]]
            position += self.batches_per_epoch - first

    def _order(self, epoch: int) -> np.ndarray:
        if self._classes is None:
            return epoch_order(self._length, self._seed, epoch)
        return balanced_order(self._classes, self._length, self._seed, epoch)


class EvaluationBatches:
    """Every sample exactly once over all ranks, in order; the last batch may be smaller.

    Args:
        length: Number of samples in the dataset.
        batch_size: Samples per batch of this rank.
        rank: This rank.
        world_size: Number of ranks.
    """

    def __init__(self, *, length: int, batch_size: int, rank: int, world_size: int) -> None:
        self._own = range(rank, length, world_size)
        self._size = batch_size
        self.position = 0

    def __len__(self) -> int:
        return -(-len(self._own) // self._size) - self.position

    def __iter__(self) -> Iterator[list[Key]]:
        for start in range(self.position * self._size, len(self._own), self._size):
            yield [(0, index) for index in self._own[start : start + self._size]]


def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """Return the random order of the samples in one epoch.

    Args:
        length: Number of samples.
        seed: RNG_SEED.
        epoch: The epoch, from 0.

    Returns:
        int64 (length,), a permutation that depends only on the arguments.
    """
    return sample_rng(seed, epoch, 0, STREAM_ORDER).permutation(length)
