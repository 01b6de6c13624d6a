"""Batches: the same over any number of ranks, each sample once, restartable anywhere."""

import itertools

import pytest

from slowfast.datasets.sampler import EvaluationBatches, TrainBatches, epoch_order


def train_batches(rank=0, world_size=1, batch_size=6, **kwargs):
    settings = {"length": 20, "seed": 3, "max_epoch": 2, **kwargs}
    return TrainBatches(batch_size=batch_size, rank=rank, world_size=world_size, **settings)


def test_an_epoch_is_a_permutation_that_changes():
    orders = [epoch_order(50, 1, epoch).tolist() for epoch in (0, 1)]
    assert sorted(orders[0]) == list(range(50))
    assert orders[0] != orders[1]
    assert epoch_order(50, 1, 0).tolist() == orders[0]
    assert epoch_order(50, 2, 0).tolist() != orders[0]


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_joined_batch(world_size):
    joined = list(train_batches())
    shares = [list(train_batches(rank, world_size, 6 // world_size)) for rank in range(world_size)]
    for batch, parts in zip(joined, zip(*shares, strict=True), strict=True):
        assert batch == list(itertools.chain(*parts))


def test_full_batches_only_and_epochs_in_order():
    batches = list(train_batches())
    assert len(batches) == len(train_batches()) == 6
    assert all(len(batch) == 6 for batch in batches)
    assert [batch[0][0] for batch in batches] == [0, 0, 0, 1, 1, 1]
    first_epoch = [index for batch in batches[:3] for _, index in batch]
    assert len(set(first_epoch)) == 18


@pytest.mark.parametrize("position", range(7))
def test_restart_anywhere(position):
    whole = list(train_batches())
    rest = train_batches()
    rest.start_at(*divmod(position, 3))
    assert list(rest) == whole[position:]
    assert len(rest) == 6 - position


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [1, 6, 11])
def test_evaluation_sees_every_sample_once(length, world_size):
    seen = []
    for rank in range(world_size):
        batches = EvaluationBatches(length=length, batch_size=2, rank=rank, world_size=world_size)
        own = list(batches)
        assert len(own) == len(batches)
        seen += [index for batch in own for _, index in batch]
    assert sorted(seen) == list(range(length))
