import copy

import pytest
import torch
from torch import nn

from slowfast.config import get_cfg
from slowfast.models.batch_norm import (
    GroupedBatchNorm1d,
    SplitBatchNorm1d,
    SplitBatchNorm3d,
    SyncBatchNorm1d,
    SyncBatchNorm2d,
    SyncBatchNorm3d,
    frozen_bn,
    get_norm,
)

SYNCED = [
    (SyncBatchNorm1d, nn.BatchNorm1d, (6, 3)),
    (SyncBatchNorm2d, nn.BatchNorm2d, (4, 3, 2, 2)),
    (SyncBatchNorm3d, nn.BatchNorm3d, (4, 3, 2, 2, 2)),
]


def _cfg(name):
    cfg = get_cfg()
    cfg.BN.NORM_TYPE = name
    return cfg


def _randomized(norm):
    torch.manual_seed(3)
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return norm.double()


@pytest.mark.parametrize(("synced", "plain", "shape"), SYNCED)
@pytest.mark.parametrize("training", [True, False])
def test_one_process_is_the_ordinary_layer(synced, plain, shape, training):
    ours, theirs = _randomized(synced(3)).train(training), _randomized(plain(3)).train(training)
    assert isinstance(ours, plain)
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
@pytest.mark.parametrize("affine", [True, False])
def test_groups_equal_one_call_each(momentum, affine):
    ours = _randomized(GroupedBatchNorm1d(5, momentum=momentum, affine=affine))
    loop = copy.deepcopy(ours)
    x = torch.randn(4 * 6, 5, dtype=torch.float64) * torch.arange(1, 25)[:, None] + 3
    ours_x, loop_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    grad = torch.randn_like(x)

    got = ours(ours_x, groups=4)
    expected = torch.cat([loop(block) for block in loop_x.chunk(4)])
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)

    got.backward(grad)
    expected.backward(grad)
    torch.testing.assert_close(ours_x.grad, loop_x.grad, rtol=1e-10, atol=1e-12)
    for a, b in zip(ours.parameters(), loop.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-12)
    for name, value in loop.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-12, atol=1e-12, msg=name)


def test_one_group_and_evaluation_are_the_ordinary_layer():
    ours, theirs = _randomized(GroupedBatchNorm1d(5)), _randomized(nn.BatchNorm1d(5))
    x = torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x, groups=3), theirs(x), rtol=0, atol=0)


def test_without_running_statistics_evaluation_uses_the_batch():
    norm = _randomized(GroupedBatchNorm1d(5, track_running_stats=False)).eval()
    x = torch.randn(6, 5, dtype=torch.float64)
    expected = torch.cat([norm(block) for block in x.chunk(2)])
    torch.testing.assert_close(norm(x, groups=2), expected, rtol=1e-12, atol=1e-12)


def test_half_precision_keeps_its_dtype():
    norm = GroupedBatchNorm1d(5)
    x = torch.randn(8, 5)
    expected = copy.deepcopy(norm)(x, groups=2)
    half = x.bfloat16().requires_grad_()
    out = norm(half, groups=2)
    out.float().sum().backward()
    assert out.dtype == half.grad.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0.02)


def test_large_mean_does_not_cancel():
    x = torch.randn(64, 3) + 1e4  # the square of the mean is 1e8 times the variance
    out = GroupedBatchNorm1d(3)(x, groups=2)
    for block in out.chunk(2):
        assert block.std(dim=0).sub(1).abs().max() < 0.02
        assert block.mean(dim=0).abs().max() < 0.02


@pytest.mark.parametrize(
    ("shape", "groups", "message"),
    [
        ((7, 3), 2, "rows divisible by groups"),
        ((8, 3, 2), 2, "rows divisible by groups"),
        ((2, 3), 2, r"TRAIN\.BATCH_SIZE: got 1 row"),
    ],
)
def test_grouped_errors(shape, groups, message):
    with pytest.raises(ValueError, match=message):
        GroupedBatchNorm1d(3)(torch.randn(shape), groups=groups)


def test_get_norm_chooses_by_name():
    assert get_norm(_cfg("batchnorm")) is nn.BatchNorm3d
    assert get_norm(_cfg("batchnorm"), dims=2) is nn.BatchNorm2d
    assert get_norm(_cfg("sync_batchnorm")) is SyncBatchNorm3d
    assert get_norm(_cfg("sync_batchnorm"), dims=2) is SyncBatchNorm2d
    plain, synced = (get_norm(_cfg(name), dims=1)(4) for name in ("batchnorm", "sync_batchnorm"))
    assert isinstance(plain, GroupedBatchNorm1d)
    assert (plain.sync, synced.sync) == (False, True)


def test_get_norm_names_key_and_choices():
    with pytest.raises(ValueError, match=r"BN\.NORM_TYPE: got 'layernorm'.*sync_batchnorm"):
        get_norm(_cfg("layernorm"))


@pytest.mark.parametrize(
    ("dims", "shape"), [(1, (12, 5)), (2, (12, 5, 3, 2)), (3, (12, 5, 2, 3, 2))]
)
@pytest.mark.parametrize("num_splits", [1, 2, 4])
def test_split_batch_norm_equals_a_call_per_part(dims, shape, num_splits):
    cfg = _cfg("sub_batchnorm")
    cfg.BN.NUM_SPLITS = num_splits
    ours = _randomized(get_norm(cfg, dims)(5))
    plain = _randomized(getattr(nn, f"BatchNorm{dims}d")(5))
    x = torch.randn(shape, dtype=torch.float64)
    for _ in range(2):
        expected = torch.cat([plain(part) for part in x.chunk(num_splits)])
        torch.testing.assert_close(ours(x), expected, rtol=1e-12, atol=1e-12)
    assert ours.state_dict().keys() == plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-12, atol=1e-12)
    ours.eval(), plain.eval()
    odd = torch.randn(7, *shape[1:], dtype=torch.float64)
    torch.testing.assert_close(ours(odd), plain(odd), rtol=0, atol=0)


def test_split_batch_norm_splits_each_group():
    split, grouped = (
        _randomized(kind) for kind in (SplitBatchNorm1d(5, num_splits=2), GroupedBatchNorm1d(5))
    )
    x = torch.randn(12, 5, dtype=torch.float64)
    torch.testing.assert_close(split(x, groups=3), grouped(x, groups=6), rtol=1e-12, atol=1e-12)


def test_split_batch_norm_refuses_rows_that_it_cannot_split():
    with pytest.raises(ValueError, match=r"BN\.NUM_SPLITS: got 4 for 6 rows, expected a divisor"):
        SplitBatchNorm3d(2, num_splits=4)(torch.zeros(6, 2, 1, 1, 1))


def test_frozen_batch_norm_keeps_statistics_and_trains_weights():
    model = nn.Sequential(nn.Conv2d(1, 3, 1), SyncBatchNorm2d(3)).train()
    frozen_bn(model)
    before = copy.deepcopy(model[1].state_dict())
    model(torch.randn(4, 1, 2, 2)).square().sum().backward()
    assert model[0].training
    assert not model[1].training
    assert model[1].weight.grad.abs().sum() > 0
    for name, value in before.items():
        torch.testing.assert_close(model[1].state_dict()[name], value, rtol=0, atol=0)
