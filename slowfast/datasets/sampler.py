"""Batch samplers: the samples of a batch are a pure function of (seed, epoch, iteration, rank).

The union of the batches of all ranks does not depend on the number of ranks: a run on several
processes equals the same run on one process, and can be resumed as such.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from slowfast.datasets.balanced import balanced_order
from slowfast.utils.multigrid import BatchShape, ClipShape
from slowfast.utils.random import STREAM_ORDER, sample_rng

__all__ = ["EvaluationBatches", "Key", "TrainBatches", "epoch_order"]

Key = tuple[int, int] | tuple[int, int, ClipShape]
"""(epoch, index) of a sample; with the shape of its clips if it differs from batch to batch."""

_ONE_BATCH = ((BatchShape(1, None),),)


class TrainBatches:
    """Shuffled batches of one rank, from a given position to the end of training.

    Args:
        length: Number of samples in the dataset.
        batch_size: Samples per batch of this rank, at scale 1.
        rank: This rank.
        world_size: Number of ranks.
        seed: RNG_SEED.
        max_epoch: Number of epochs of the training.
        steps: Epoch -> consecutive optimizer steps, each a list of batches, of the same length for
            all steps. They repeat until the samples are used up. Default: a batch of scale 1.
        classes: Indices of the samples of each class, which then are equally frequent; see
            ``balanced_order``. None: every sample once per epoch.

    Attributes:
        position: Batches that were returned since the start of training.
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
        steps: Callable[[int], Sequence[Sequence[BatchShape]]] = lambda epoch: _ONE_BATCH,
        classes: Sequence[np.ndarray] | None = None,
    ) -> None:
        self._length, self._size, self._rank, self._world = length, batch_size, rank, world_size
        self._seed, self._max_epoch, self._classes = seed, max_epoch, classes
        self._steps, self._batches_of_step = steps, len(steps(0)[0])
        self._begin = [0, *itertools.accumulate(map(self._count_steps, range(max_epoch)))]
        self.position = 0

    def steps_before(self, epoch: int) -> int:
        """Return the number of optimizer steps before an epoch, counted from 0."""
        return self._begin[min(epoch, self._max_epoch)]

    def steps_in(self, epoch: int) -> int:
        """Return the number of optimizer steps of an epoch: all that have full batches."""
        return self.steps_before(epoch + 1) - self.steps_before(epoch)

    def first_step(self, epoch: int) -> int:
        """Return the number of samples of the first step of an epoch, over all ranks."""
        return self._step_sizes(epoch)[0]

    def start_at(self, epoch: int, batch: int) -> None:
        """Set the position to a batch of an epoch, both counted from 0."""
        self.position = self.steps_before(epoch) * self._batches_of_step + batch

    def __len__(self) -> int:
        return self._begin[-1] * self._batches_of_step - self.position

    def __iter__(self) -> Iterator[list[Key]]:
        position = self.position
        for epoch in range(self._max_epoch):
            if position < self.steps_before(epoch + 1) * self._batches_of_step:
                done = max(0, position - self.steps_before(epoch) * self._batches_of_step)
                yield from itertools.islice(self._of_epoch(epoch), done, None)

    def _of_epoch(self, epoch: int) -> Iterator[list[Key]]:
        order, end = self._order(epoch), 0
        for step in itertools.islice(itertools.cycle(self._steps(epoch)), self.steps_in(epoch)):
            for scale, clip in step:
                size = scale * self._size
                start, end = end + self._rank * size, end + self._world * size
                own = (int(i) for i in order[start : start + size])
                yield [(epoch, i) if clip is None else (epoch, i, clip) for i in own]

    def _step_sizes(self, epoch: int) -> list[int]:
        """Samples of consecutive steps, over all ranks."""
        of_one = self._size * self._world
        return [of_one * sum(batch.scale for batch in step) for step in self._steps(epoch)]

    def _count_steps(self, epoch: int) -> int:
        sizes = self._step_sizes(epoch)
        rounds, left = divmod(self._length, sum(sizes))
        return rounds * len(sizes) + sum(end <= left for end in itertools.accumulate(sizes))

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
