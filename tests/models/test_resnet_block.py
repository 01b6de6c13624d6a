import numpy as np
import pytest
import torch
from helpers.blocks import assert_computes, randomize
from reference import resnet_block as oracle
from torch import nn

from slowfast.models.resnet.block import (
    BasicTransform,
    BlockSpec,
    BottleneckTransform,
    ChannelSeparatedTransform,
    FactorizedTransform,
    ResBlock,
    initialize,
    max_pool_inside,
)


def _block(transform, **shape):
    block = ResBlock(BlockSpec(**shape), transform=transform, norm=nn.BatchNorm3d)
    return block, randomize(block)


def _input(channels, frames=4):
    return torch.randn(2, channels, frames, 6, 7, dtype=torch.float64)


@pytest.mark.parametrize("stride_first", [False, True])
@pytest.mark.parametrize("temporal_kernel", [1, 3])
@pytest.mark.parametrize(("dim_in", "stride", "dilation"), [(8, 1, 1), (6, 2, 1), (6, 1, 2)])
def test_bottleneck_is_the_oracles(dim_in, stride, dilation, temporal_kernel, stride_first):
    shape = {"dim_in": dim_in, "dim_inner": 3, "dim_out": 8, "temporal_kernel": temporal_kernel}
    more = {"stride": stride, "dilation": dilation, "stride_first": stride_first}
    block, state = _block(BottleneckTransform, **shape, **more)
    x = _input(dim_in)
    assert ("branch1.weight" in state) == (dim_in == 6)
    assert_computes(block, x, oracle.bottleneck(x.numpy(), state, **more))


@pytest.mark.parametrize(("dim_in", "stride", "temporal_kernel"), [(8, 1, 1), (6, 2, 3)])
def test_basic_block_is_the_oracles(dim_in, stride, temporal_kernel):
    shape = {"dim_in": dim_in, "dim_inner": 3, "dim_out": 8, "temporal_kernel": temporal_kernel}
    block, state = _block(BasicTransform, **shape, stride=stride)
    x = _input(dim_in)
    assert_computes(block, x, oracle.basic(x.numpy(), state, stride))


@pytest.mark.parametrize(
    ("transform", "reference"),
    [
        (ChannelSeparatedTransform, oracle.channel_separated),
        (FactorizedTransform, oracle.factorized),
    ],
)
@pytest.mark.parametrize(("stride", "temporal_stride"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("frames", [4, 5])
def test_blocks_of_csn_and_r2plus1d_are_the_oracles(
    transform, reference, stride, temporal_stride, frames
):
    strides = {"stride": stride, "temporal_stride": temporal_stride}
    block, state = _block(transform, dim_in=8, dim_inner=3, dim_out=8, temporal_kernel=3, **strides)
    x = _input(8, frames)
    assert_computes(block, x, reference(x.numpy(), state, **strides))


def test_groups_do_not_see_each_other():
    block, _ = _block(BottleneckTransform, dim_in=4, dim_inner=4, dim_out=4, groups=2)
    assert block.branch2.b.weight.shape[1] == 2


def test_a_dropped_branch_leaves_the_shortcut():
    spec = BlockSpec(dim_in=4, dim_inner=2, dim_out=4)
    build = {"transform": BottleneckTransform, "norm": nn.BatchNorm3d}
    block = ResBlock(spec, **build, drop_path=0.999999).train()
    x = torch.rand(64, 4, 1, 2, 2)
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)
    assert not torch.equal(block.eval()(x), x)


@pytest.mark.parametrize("kernel", [(2, 1, 1), (1, 2, 2), (2, 2, 2)])
def test_pooling_leaves_incomplete_blocks_out(kernel):
    x = torch.randn(2, 3, 5, 4, 7)
    got = max_pool_inside(x, kernel).numpy()
    np.testing.assert_array_equal(got, oracle.max_pool(x.numpy(), kernel).astype(np.float32))


def test_a_map_smaller_than_the_pool_is_one_block():
    x = torch.randn(2, 3, 1, 1, 3)
    assert max_pool_inside(x, (2, 2, 2)).shape == (2, 3, 1, 1, 1)
    assert max_pool_inside(x[..., :1], (2, 2, 2)).shape == (2, 3, 1, 1, 1)


@pytest.mark.parametrize("transform", [BottleneckTransform, BasicTransform])
def test_a_branch_that_starts_at_zero_is_left_out_at_first(transform):
    spec = BlockSpec(dim_in=4, dim_inner=2, dim_out=4)
    x = torch.rand(2, 4, 3, 5, 5)
    for options in ({"zero_final_norm": True}, {"zero_final_conv": True}):
        block = ResBlock(spec, transform=transform, norm=nn.BatchNorm3d)
        initialize(block, **options)
        torch.testing.assert_close(block(x), x, rtol=0, atol=0)
    initialize(block)
    assert block.branch2.final_layers()[0].weight.abs().max() > 0


def test_convolutions_start_as_published():
    spec = BlockSpec(dim_in=64, dim_inner=32, dim_out=64)
    block = ResBlock(spec, transform=BottleneckTransform, norm=nn.BatchNorm3d)
    initialize(block)
    assert block.branch2.b.weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.03)
    assert block.branch2.c_bn.weight.unique().tolist() == [1.0]
