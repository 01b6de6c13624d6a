import pytest
import torch
from reference import contrastive as reference

from slowfast.models.contrastive.sinkhorn import sinkhorn

SCORES = torch.rand(8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.05, 3), (0.5, 1), (0.3, 10)])
def test_equals_the_loops(epsilon, iterations):
    expected = reference.sinkhorn(SCORES.tolist(), epsilon, iterations)
    got = sinkhorn(SCORES, epsilon=epsilon, iterations=iterations)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


def test_rows_sum_to_one_and_prototypes_share_them_equally():
    codes = sinkhorn(SCORES, epsilon=0.3, iterations=100)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(8, dtype=torch.float64))
    torch.testing.assert_close(codes.sum(dim=0), torch.full((5,), 8 / 5, dtype=torch.float64))
    assert not sinkhorn(SCORES.clone().requires_grad_()).requires_grad


def test_scores_that_overflow_when_exponentiated_stay_finite():
    codes = sinkhorn((SCORES * 50).half())
    assert codes.dtype == torch.float32
    assert codes.isfinite().all()
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(8))


def test_rows_that_are_not_valid_take_no_share():
    valid = torch.tensor([True, True, False, True, False, True, True, True])
    broken = SCORES.masked_fill(~valid[:, None], float("nan"))
    codes = sinkhorn(broken, valid=valid)
    torch.testing.assert_close(codes[valid], sinkhorn(SCORES[valid]))
    assert not codes[~valid].any()
    assert not sinkhorn(broken, valid=torch.zeros_like(valid)).any()


@pytest.mark.parametrize("kwargs", [{"epsilon": 0.0}, {"iterations": 0}])
def test_errors(kwargs):
    with pytest.raises(ValueError, match=r"(epsilon|iterations): got 0.*a positive number"):
        sinkhorn(SCORES, **kwargs)
    with pytest.raises(ValueError, match=r"got scores \(8,\)"):
        sinkhorn(SCORES[:, 0])
