import pytest
import torch

from slowfast.models.contrastive.negatives import shift_past, uniform_negatives

SEEDS = torch.arange(40) * 1_000_003


def test_negatives_of_a_sample_depend_on_its_seed_alone():
    rows = torch.arange(40)
    sampled = uniform_negatives(SEEDS, rows, 40, 12)
    part = torch.tensor([7, 3])
    assert torch.equal(uniform_negatives(SEEDS[part], rows[part], 40, 12), sampled[part])
    assert len({tuple(row.tolist()) for row in sampled}) == 40


def test_the_own_row_is_never_sampled_and_all_others_equally_often():
    positive = torch.full((2000,), 3)
    sampled = uniform_negatives(torch.arange(2000), positive, 8, 64)
    counts = sampled.flatten().bincount(minlength=8)
    assert counts[3] == 0
    others = counts[torch.arange(8) != 3]
    mean = 2000 * 64 / 7
    assert (others - mean).abs().max() < 4 * mean**0.5
    with_own = uniform_negatives(torch.arange(2000), positive, 8, 64, allow_positive=True)
    assert (with_own.flatten().bincount(minlength=8) - 16000).abs().max() < 4 * 16000**0.5


@pytest.mark.parametrize("excluded", [[0], [4], [2, 0], [4, 3, 0], [1, 2, 3]])
def test_shifting_gives_each_other_row_once(excluded):
    every = torch.arange(5 - len(excluded))[None]
    expected = [row for row in range(5) if row not in excluded]
    assert shift_past(every, torch.tensor([excluded])).tolist() == [expected]


def test_several_positives_of_a_sample_are_left_out():
    positive = torch.tensor([[5, 0, 2], [1, 7, 6]])
    sampled = uniform_negatives(torch.tensor([1, 2]), positive, 8, 200)
    for row, own in zip(sampled, positive, strict=True):
        assert set(row.tolist()) == set(range(8)) - set(own.tolist())


@pytest.mark.parametrize(("rows", "count"), [(1, 4), (3, 0)])
def test_errors(rows, count):
    with pytest.raises(ValueError, match=f"got {count} samples from {rows} rows, 1 excluded"):
        uniform_negatives(SEEDS, torch.zeros(40, dtype=torch.int64), rows, count)
