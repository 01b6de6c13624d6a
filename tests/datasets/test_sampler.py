"""Batches: the same over any number of ranks, each sample once, restartable anywhere."""

import itertools

import pytest

from slowfast.datasets.sampler import EvaluationBatches, TrainBatches, epoch_order
from slowfast.utils.multigrid import BatchShape, ClipShape


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


def changing_shapes(epoch):
    """A short cycle of three steps, then one of two, as in two stages of multigrid training."""
    large, small = ClipShape(8, 32), ClipShape(8, 16)
    cycle = (BatchShape(4, small), BatchShape(2, small), BatchShape(1, large))
    return cycle if epoch == 0 else cycle[1:]


def shaped(rank=0, world_size=1, accumulate=1, **kwargs):
    def steps(epoch):
        return [[shape] * accumulate for shape in changing_shapes(epoch)]

    settings = {"length": 50, "seed": 3, "max_epoch": 2, "steps": steps, **kwargs}
    return TrainBatches(batch_size=2 // world_size, rank=rank, world_size=world_size, **settings)


def test_shapes_alternate_and_the_order_stays():
    batches = list(shaped())
    assert [len(batch) for batch in batches] == [8, 4, 2] * 3 + [8] + [4, 2] * 8
    for batch in batches:
        assert len({(epoch, shape) for epoch, _, shape in batch}) == 1  # one shape per batch
    first = [index for batch in batches[:10] for _, index, _ in batch]
    assert first == epoch_order(50, 3, 0)[:50].tolist()
    assert [(shaped().steps_in(e), shaped().steps_before(e)) for e in (0, 1)] == [(10, 0), (16, 10)]


def test_ranks_agree_on_shapes_and_share_the_joined_batch():
    shares = [list(shaped(rank, 2)) for rank in (0, 1)]
    for batch, parts in zip(list(shaped()), zip(*shares, strict=True), strict=True):
        assert batch == list(itertools.chain(*parts))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_restart_anywhere_within_cycles_and_between_stages(accumulate):
    whole = list(shaped(accumulate=accumulate))
    passed = 0
    for epoch in (0, 1):
        for batch in range(shaped(accumulate=accumulate).steps_in(epoch) * accumulate):
            rest = shaped(accumulate=accumulate)
            rest.start_at(epoch, batch)
            assert list(rest) == whole[passed:]
            assert whole[passed][0][0] == epoch
            passed += 1
    assert passed == len(whole)


def test_the_batches_of_a_step_have_one_shape():
    batches = list(shaped(accumulate=2, max_epoch=1))
    assert [len(batch) for batch in batches] == [8, 8, 4, 4, 2, 2, 8, 8]
    assert shaped(accumulate=2).steps_in(0) == 4


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
