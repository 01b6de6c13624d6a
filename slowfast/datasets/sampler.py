"""Which samples come in which batch: a pure function of (seed, epoch, iteration, rank).

The batches of all ranks together are the same whatever the number of ranks, so that a run can be
compared with, and resumed as, the same run on one process.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slowfast.utils.random import STREAM_ORDER, sample_rng

__all__ = ["EvaluationBatches", "Key", "TrainBatches"]

Key = tuple[int, int]
"""(epoch, index): what a dataset is asked for."""


class TrainBatches:
    """Shuffled batches of one rank, from a given position to the end of training.

    Args:
        length: Samples of the dataset.
        batch_size: Samples per batch of this rank.
        rank: This rank.
        world_size: Number of ranks.
        seed: RNG_SEED.
        max_epoch: Epochs of the whole training.
        batches_per_epoch: Batches to take from each epoch's order; None: as many as are full.
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
    ) -> None:
        self._length, self._size, self._rank, self._world = length, batch_size, rank, world_size
        self._seed, self._max_epoch = seed, max_epoch
        full = length // (batch_size * world_size)
        self.batches_per_epoch = full if batches_per_epoch is None else batches_per_epoch
        self.position = 0

    def start_at(self, epoch: int, batch: int) -> None:
        """Continue from a batch of an epoch, both counted from 0."""
        self.position = epoch * self.batches_per_epoch + batch

    def __len__(self) -> int:
        return self._max_epoch * self.batches_per_epoch - self.position

    def __iter__(self) -> Iterator[list[Key]]:
        position = self.position
        while position < self._max_epoch * self.batches_per_epoch:
            epoch, first = divmod(position, self.batches_per_epoch)
            order = epoch_order(self._length, self._seed, epoch)
            for batch in range(first, self.batches_per_epoch):
                start = (batch * self._world + self._rank) * self._size
                yield [(epoch, int(i)) for i in order[start : start + self._size]]
            position += self.batches_per_epoch - first


class EvaluationBatches:
    """Every sample exactly once over all ranks, in order, ragged at the end.

    Args:
        length: Samples of the dataset.
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
    """Shuffle the samples of one epoch.

    Args:
        length: Number of samples.
        seed: RNG_SEED.
        epoch: The epoch, from 0.

    Returns:
        int64 (length,), a permutation that depends on the arguments alone.
    """
    return sample_rng(seed, epoch, 0, STREAM_ORDER).permutation(length)
