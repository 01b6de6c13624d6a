import math

import pytest
import torch

from slowfast.models.contrastive.partition import PartitionConstant

SCORES = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)) * 3


def mean_exp(scores):
    return scores.double().exp().mean().item()


def test_the_first_batch_decides_and_forward_changes_nothing():
    constant = PartitionConstant()
    assert constant(SCORES).item() == pytest.approx(math.log(mean_exp(SCORES)), rel=1e-6)
    assert constant.log_mean == -math.inf
    constant.update(SCORES)
    constant.update(SCORES + 1)
    for scores in (SCORES, SCORES * 2):
        assert constant(scores).exp().item() == pytest.approx(mean_exp(SCORES), rel=1e-5)


def test_a_moving_average_is_one_of_the_means():
    constant = PartitionConstant(decay=0.75)
    for scores in (SCORES, SCORES + 1, SCORES - 2):
        constant.update(scores)
    expected = mean_exp(SCORES)
    for scores in (SCORES + 1, SCORES - 2):
        expected = 0.75 * expected + 0.25 * mean_exp(scores)
    assert constant.log_mean.exp().item() == pytest.approx(expected, rel=1e-5)


def test_rows_that_are_not_valid_do_not_count():
    valid = torch.tensor([True, False, True, False, True])
    scores = SCORES.masked_fill(~valid[:, None], float("nan"))
    constant = PartitionConstant()
    constant.update(scores, valid)
    assert constant.log_mean.exp().item() == pytest.approx(mean_exp(SCORES[valid]), rel=1e-5)


@pytest.mark.parametrize("decay", [1.0, 0.9])
def test_batches_without_a_number_change_nothing(decay):
    constant = PartitionConstant(decay)
    nothing, broken = torch.zeros(5, dtype=torch.bool), SCORES * float("nan")
    constant.update(SCORES, nothing)
    constant.update(broken)
    assert constant.log_mean == -math.inf
    assert constant(SCORES, nothing) == 0
    constant.update(SCORES)
    before = constant.log_mean.clone()
    constant.update(broken)
    assert torch.equal(constant.log_mean, before)


def test_large_scores_do_not_overflow():
    constant = PartitionConstant()
    constant.update(torch.full((2, 3), 500.0))
    assert constant.log_mean == 500


def test_impossible_decay():
    with pytest.raises(ValueError, match="decay: got 0"):
        PartitionConstant(0.0)
