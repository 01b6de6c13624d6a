import pytest
import torch
from helpers.blocks import assert_computes, randomize
from reference.resnet_block import non_local
from torch import nn

from slowfast.models.resnet.block import initialize
from slowfast.models.resnet.nonlocal_block import (
    NonLocal,
    NonLocalSpec,
    attend_dot_product,
    attend_softmax,
)


def _block(**spec):
    block = NonLocal(6, NonLocalSpec(**spec), norm=nn.BatchNorm3d)
    return block, randomize(block)


def _input(frames=2):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 6, frames, 4, 5, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("pool", [(1, 1, 1), (1, 2, 2), (2, 2, 2)])
@pytest.mark.parametrize("instantiation", ["softmax", "dot_product"])
def test_block_is_the_oracles(instantiation, pool):
    (block, state), x = _block(instantiation=instantiation, pool=pool), _input()
    assert_computes(block, x, non_local(x.numpy(), state, pool, instantiation))


def test_a_group_of_frames_looks_at_itself_only():
    x = _input(frames=4)
    (grouped, _), (whole, _) = _block(groups=2), _block()
    with torch.no_grad():
        halves = torch.cat([whole(x[:, :, :2]), whole(x[:, :, 2:])], dim=2)
        torch.testing.assert_close(grouped(x), halves, rtol=1e-12, atol=1e-12)
        with pytest.raises(ValueError, match=r"NONLOCAL\.GROUP: got 2 for a map of 3 frames"):
            grouped(_input(frames=3))


def test_a_single_position_passes():
    assert _block()[0](_input()[..., :1, :1]).shape == (2, 6, 2, 1, 1)


def test_it_starts_as_no_block_at_all():
    block, x = NonLocal(6, NonLocalSpec(), norm=nn.BatchNorm3d), _input().float()
    initialize(block, zero_final_norm=True)
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)
    assert block.conv_theta.bias.unique().tolist() == [0.0]


@pytest.mark.parametrize("attend", [attend_softmax, attend_dot_product])
def test_gradient_reaches_query_key_and_value(attend):
    parts = [torch.randn(2, n, 3, requires_grad=True) for n in (7, 4, 4)]
    attend(*parts).square().sum().backward()
    assert all(part.grad.abs().sum() > 0 for part in parts)
