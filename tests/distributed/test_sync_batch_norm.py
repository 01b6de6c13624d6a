"""Batch norm over two gloo ranks equals the ordinary one over the joint batch, in float64."""

import pytest
import torch
from torch import nn

from slowfast.models.batch_norm import (
    GroupedBatchNorm1d,
    SyncBatchNorm1d,
    SyncBatchNorm2d,
    SyncBatchNorm3d,
)
from slowfast.utils import distributed

pytestmark = pytest.mark.distributed

KINDS = {
    1: (SyncBatchNorm1d, nn.BatchNorm1d, ()),
    2: (SyncBatchNorm2d, nn.BatchNorm2d, (3, 2)),
    3: (SyncBatchNorm3d, nn.BatchNorm3d, (2, 3, 2)),
}
STATS = ("running_mean", "running_var", "num_batches_tracked")


def _data(rank, rows, dims):
    generator = torch.Generator().manual_seed(10 + rank)
    shape = (2, rows[rank], 4, *KINDS[dims][2])
    x, grad = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x * (rank + 2) + 5, grad


def _layer(kind, **kwargs):
    layer = kind(4, **kwargs).double().train()
    with torch.no_grad():
        for i, tensor in enumerate(t for t in layer.state_dict().values() if t.dim()):
            tensor.copy_(torch.linspace(0.5, 1.5, 4) + i)
    return layer


def _steps(layer, x, grad, **kwargs):
    """Two passes, so that running statistics accumulate; the gradients of both."""
    x = x.clone().requires_grad_()
    for factor in (1.0, 2.0):
        out = layer(factor * x, **kwargs)
        out.backward(grad)
    state = [layer.state_dict()[name] for name in STATS if name in layer.state_dict()]
    return out.detach(), x.grad, [p.grad for p in layer.parameters()], state


def _sync(rows, dims, momentum, affine):
    layer = _layer(KINDS[dims][0], momentum=momentum, affine=affine)
    return _steps(layer, *_data(distributed.rank(), rows, dims))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("rows", [(4, 4), (5, 2), (1, 3), (0, 3)])
@pytest.mark.parametrize(("momentum", "affine"), [(0.1, True), (None, False)])
def test_equals_the_joint_batch(two_ranks, dims, rows, momentum, affine):
    data = [_data(rank, rows, dims) for rank in (0, 1)]
    x, grad = (torch.cat(parts) for parts in zip(*data, strict=True))
    layer = _layer(KINDS[dims][1], momentum=momentum, affine=affine)
    out, grad_x, grad_params, state = _steps(layer, x, grad)

    got = two_ranks.run(_sync, rows, dims, momentum, affine)
    close = {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(torch.cat([g[0] for g in got]), out, **close)
    torch.testing.assert_close(torch.cat([g[1] for g in got]), grad_x, **close)
    for mine, yours, expected in zip(got[0][2], got[1][2], grad_params, strict=True):
        torch.testing.assert_close(mine + yours, expected, **close)
    for rank in (0, 1):
        for value, expected in zip(got[rank][3], state, strict=True):
            torch.testing.assert_close(value, expected, **close)


def _sync_groups(rows):
    layer = _layer(GroupedBatchNorm1d, sync=True)
    x, grad = _data(distributed.rank(), rows, 1)
    return _steps(layer, torch.cat([x, 3 * x + 1]), torch.cat([grad, -grad]), groups=2)


@pytest.mark.parametrize("rows", [(4, 4), (5, 2), (1, 1)])
def test_groups_equal_the_joint_groups(two_ranks, rows):
    data = [_data(rank, rows, 1) for rank in (0, 1)]
    x, grad = (torch.cat(parts) for parts in zip(*data, strict=True))
    layer = _layer(GroupedBatchNorm1d)
    out, grad_x, grad_params, state = _steps(
        layer, torch.cat([x, 3 * x + 1]), torch.cat([grad, -grad]), groups=2
    )

    got = two_ranks.run(_sync_groups, rows)
    close = {"rtol": 1e-10, "atol": 1e-12}
    for index, expected in ((0, out), (1, grad_x)):
        # Rank by rank, then group by group -> group by group, each of the joint rows.
        parts = [g[index].chunk(2) for g in got]
        joint = torch.cat([parts[rank][group] for group in (0, 1) for rank in (0, 1)])
        torch.testing.assert_close(joint, expected, **close)
    for mine, yours, expected in zip(got[0][2], got[1][2], grad_params, strict=True):
        torch.testing.assert_close(mine + yours, expected, **close)
    for rank in (0, 1):
        for value, expected in zip(got[rank][3], state, strict=True):
            torch.testing.assert_close(value, expected, **close)


def _float32():
    layer = _layer(SyncBatchNorm3d).float()
    x, grad = _data(distributed.rank(), (4, 3), 3)
    return _steps(layer, x.float() + 1000, grad.float())


def test_float32_with_a_large_mean(two_ranks):
    """Deviations of 2 around 1000: sums of squares would lose four of seven digits."""
    data = [_data(rank, (4, 3), 3) for rank in (0, 1)]
    x, grad = (torch.cat(parts) for parts in zip(*data, strict=True))
    out, grad_x, *_ = _steps(_layer(nn.BatchNorm3d), x + 1000, grad)
    got = two_ranks.run(_float32)
    torch.testing.assert_close(torch.cat([g[0] for g in got]).double(), out, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        torch.cat([g[1] for g in got]).double(), grad_x, rtol=1e-3, atol=1e-3
    )


def _evaluation():
    return _layer(SyncBatchNorm1d).eval()(_data(distributed.rank(), (2, 3), 1)[0]).detach()


def test_evaluation_talks_to_nobody(two_ranks):
    layer = _layer(nn.BatchNorm1d).eval()
    for rank, out in enumerate(two_ranks.run(_evaluation)):
        expected = layer(_data(rank, (2, 3), 1)[0])
        torch.testing.assert_close(out, expected, rtol=0, atol=0)
