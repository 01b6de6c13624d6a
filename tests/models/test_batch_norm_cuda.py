"""Synchronized batch norm on GPUs: two ranks equal one on the joined rows.

The kernels exist on GPUs only; here their published formulas stand in for them.
"""

import copy

import pytest
import torch
from torch import nn

from slowfast.models import batch_norm_cuda
from slowfast.models.batch_norm import SyncBatchNorm3d
from slowfast.models.batch_norm_cuda import synchronized_batch_norm

EPS, MOMENTUM = 1e-3, 0.3
SHAPE = (4, 2, 3, 3)  # all but the rows


def _rows(x, vector):
    return vector.view(1, -1, *[1] * (x.dim() - 2))


def _dims(x):
    return [0, *range(2, x.dim())]


def _stats(x, eps):
    var, mean = torch.var_mean(x.float(), dim=_dims(x), correction=0)
    return mean, (var + eps).rsqrt()


def _gather_stats(x, means, inv_stds, running_mean, running_var, momentum, eps, counts):
    assert (counts > 0).all()  # the kernel divides by the first one
    total = counts.sum()
    weight = (counts / total)[:, None]
    mean = (weight * means).sum(dim=0)
    var = (weight * (inv_stds**-2 - eps + (means - mean) ** 2)).sum(dim=0)
    if running_mean is not None:
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * total / (total - 1), momentum)
    return mean, (var + eps).rsqrt()


def _elemt(x, weight, bias, mean, inv_std, eps):
    out = (x.float() - _rows(x, mean)) * _rows(x, inv_std)
    if weight is not None:
        out = out * _rows(x, weight) + _rows(x, bias)
    return out.to(x.dtype)


def _reduce(grad, x, mean, inv_std, weight, *needed):
    sums = grad.float().sum(dim=_dims(x))
    products = (grad.float() * (x.float() - _rows(x, mean))).sum(dim=_dims(x))
    if weight is None:
        return sums, products, None, None
    return sums, products, products * inv_std, sums.clone()


def _backward_elemt(grad, x, mean, inv_std, weight, sums, products, counts):
    assert counts.dtype == torch.int32
    total = counts.sum()
    slope = inv_std if weight is None else inv_std * weight
    centered = (x.float() - _rows(x, mean)) * _rows(x, inv_std**2 * products / total)
    return ((grad.float() - _rows(x, sums / total) - centered) * _rows(x, slope)).to(x.dtype)


@pytest.fixture(autouse=True)
def _kernels(monkeypatch):
    monkeypatch.setattr(torch, "batch_norm_stats", _stats)
    monkeypatch.setattr(torch, "batch_norm_gather_stats_with_counts", _gather_stats)
    monkeypatch.setattr(torch, "batch_norm_elemt", _elemt)
    monkeypatch.setattr(torch, "batch_norm_backward_reduce", _reduce)
    monkeypatch.setattr(torch, "batch_norm_backward_elemt", _backward_elemt)


class Ranks:
    """What the ranks exchange: each runs twice, first to say what it sends."""

    def __init__(self, monkeypatch, count):
        self.sent = {}
        self.rank, self.count, self.answers = 0, count, False
        for name in ("gather_no_gradient", "all_reduce_sum"):
            monkeypatch.setattr(batch_norm_cuda.distributed, name, getattr(self, f"_{name}"))

    def _gather_no_gradient(self, x):
        return torch.cat(self._exchange("gather", x))

    def _all_reduce_sum(self, x):
        return sum(self._exchange("reduce", x))

    def _exchange(self, what, x):
        self.sent[what, self.rank] = x.clone()
        return [self.sent.get((what, rank), x) for rank in range(self.count)]

    def run(self, function):
        for _ in range(3):  # statistics, sums of gradients, and the result of both
            results = []
            for rank in range(self.count):
                self.rank = rank
                results.append(function(rank))
        return results


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("rows", [(3, 2), (0, 5), (4, 0)])
def test_two_ranks_equal_one_on_the_joined_rows(monkeypatch, rows, affine):
    torch.manual_seed(0)
    parts = [3 + 2 * torch.randn(n, *SHAPE) for n in rows]
    weights = [torch.randn(n, *SHAPE) for n in rows]
    norm = nn.BatchNorm3d(SHAPE[0], eps=EPS, momentum=MOMENTUM, affine=affine)
    if affine:
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias)
    joined = torch.cat(parts).requires_grad_()
    expected = norm(joined)
    (expected * torch.cat(weights)).sum().backward()

    def one_rank(rank):
        x = parts[rank].clone().requires_grad_()
        own = [p.detach().clone().requires_grad_() for p in norm.parameters()] or [None, None]
        running = (torch.zeros(SHAPE[0]), torch.ones(SHAPE[0]))
        out = synchronized_batch_norm(x, *own, running, momentum=MOMENTUM, eps=EPS)
        (out * weights[rank]).sum().backward()
        return out.detach(), x.grad, running, [p.grad for p in own if p is not None]

    results = Ranks(monkeypatch, len(rows)).run(one_rank)
    close = torch.testing.assert_close
    close(torch.cat([out for out, *_ in results]), expected.detach())
    close(torch.cat([grad for _, grad, *_ in results]), joined.grad, rtol=1e-4, atol=1e-5)
    for _, _, running, _ in results:
        close(running, (norm.running_mean, norm.running_var))
    for parameter, *own in zip(norm.parameters(), *(grads for *_, grads in results), strict=True):
        close(sum(own), parameter.grad, rtol=1e-4, atol=1e-5)


def test_half_precision_and_channels_last_stay(monkeypatch):
    x = torch.randn(4, *SHAPE).bfloat16().to(memory_format=torch.channels_last_3d).requires_grad_()
    weight, bias = torch.ones(SHAPE[0]), torch.zeros(SHAPE[0])
    running = (torch.zeros(SHAPE[0]), torch.ones(SHAPE[0]))
    out = synchronized_batch_norm(x, weight, bias, running, momentum=MOMENTUM, eps=EPS)
    out.float().square().sum().backward()
    assert out.dtype == x.grad.dtype == torch.bfloat16
    assert out.is_contiguous(memory_format=torch.channels_last_3d)


def test_the_state_is_that_of_torchs_layers_both_ways():
    ours, plain, torchs = SyncBatchNorm3d(4), nn.BatchNorm3d(4), nn.SyncBatchNorm(4)
    plain(torch.randn(3, 4, 2, 2, 2))
    expected = copy.deepcopy(plain.state_dict())
    ours.load_state_dict(plain.state_dict())
    torchs.load_state_dict(ours.state_dict())
    plain.load_state_dict(torchs.state_dict())
    for name, value in expected.items():
        assert torch.equal(value, ours.state_dict()[name])
        assert torch.equal(value, plain.state_dict()[name])
    assert list(ours.state_dict()) == list(torchs.state_dict()) == list(plain.state_dict())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(SyncBatchNorm3d(4))
    assert list(converted.state_dict()) == list(ours.state_dict())
