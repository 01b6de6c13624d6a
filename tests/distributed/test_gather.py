"""Gathering over two gloo ranks."""

import pytest
import torch

from slowfast.utils import distributed

pytestmark = pytest.mark.distributed


def _rows(rank, rows=3):
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(rows, 2, generator=generator, dtype=torch.float64)


def _gather():
    x = _rows(distributed.rank()).requires_grad_()
    gathered = distributed.gather_with_gradient(x)
    # Each rank weighs the joint rows differently, and uses them twice.
    weight = torch.arange(1.0, 13, dtype=torch.float64).view(6, 2) ** (1 + distributed.rank())
    ((gathered * weight).sum() + gathered.sum()).backward()
    return gathered.detach(), x.grad


def test_gather_with_gradient(two_ranks):
    joint = torch.cat([_rows(0), _rows(1)])
    weight = torch.arange(1.0, 13, dtype=torch.float64).view(6, 2)
    grad = weight + weight**2 + 2  # of the sum of both ranks' losses
    for rank, (gathered, own) in enumerate(two_ranks.run(_gather)):
        torch.testing.assert_close(gathered, joint, rtol=0, atol=0)
        torch.testing.assert_close(own, grad[3 * rank : 3 * rank + 3], rtol=0, atol=0)


def _gather_constants():
    rank = distributed.rank()
    numbers = distributed.gather_no_gradient(_rows(rank).requires_grad_())
    flags = distributed.gather_no_gradient(torch.tensor([rank == 0, True]))
    # Not contiguous.
    turned = distributed.gather_no_gradient(_rows(rank).T)
    return numbers.requires_grad, numbers, flags, turned


def test_gather_no_gradient(two_ranks):
    for needs_grad, numbers, flags, turned in two_ranks.run(_gather_constants):
        assert not needs_grad
        torch.testing.assert_close(numbers, torch.cat([_rows(0), _rows(1)]), rtol=0, atol=0)
        assert flags.tolist() == [True, True, False, True]
        torch.testing.assert_close(turned, torch.cat([_rows(0).T, _rows(1).T]), rtol=0, atol=0)


def _gather_ragged(lengths, dtype):
    rank = distributed.rank()
    return distributed.all_gather_variable_length((10 * _rows(rank, lengths[rank])).to(dtype))


@pytest.mark.parametrize("lengths", [(3, 1), (0, 2), (2, 0), (0, 0), (4, 4)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bool])
def test_gather_ragged(two_ranks, lengths, dtype):
    expected = torch.cat([(10 * _rows(rank, n)).to(dtype) for rank, n in enumerate(lengths)])
    for got in two_ranks.run(_gather_ragged, lengths, dtype):
        assert got.dtype == dtype
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


def _joint_mean(valid):
    values = _rows(distributed.rank()).requires_grad_()
    mean = distributed.global_mean(values, valid[distributed.rank()])
    mean.backward()
    return mean.detach(), values.grad


@pytest.mark.parametrize(
    "valid", [[[True, False, False], [True, True, True]], [[False] * 3, [True, False, True]]]
)
def test_mean_over_ranks_is_the_joint_mean(two_ranks, valid):
    valid = torch.tensor(valid)
    means, grads = zip(*two_ranks.run(_joint_mean, valid), strict=True)
    joint = torch.cat([_rows(0), _rows(1)]).requires_grad_()
    expected = joint[valid.flatten()].mean()
    expected.backward()
    torch.testing.assert_close(sum(means) / 2, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat(grads) / 2, joint.grad, rtol=1e-12, atol=1e-12)
