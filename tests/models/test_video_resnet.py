import pytest
import torch
from helpers.blocks import assert_computes, randomize
from helpers.configs import make_backbone, make_cfg
from reference.video_block import block_2plus1d

from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.video_resnet import (
    BasicBlock,
    Conv2Plus1D,
    mid_channels,
)


def _cfg(arch="r2plus1d_18", width=64, **model):
    return make_cfg(f"MODEL.ARCH {arch} RESNET.WIDTH_PER_GROUP {width}", **model)


def _build(arch="r2plus1d_18", width=8, **model):
    return make_backbone(_cfg(arch, width, **model))


def test_34_layers_hold_the_18_and_more_blocks():
    with torch.device("meta"):
        small = BACKBONE_REGISTRY.get("r2plus1d_18")(_cfg("r2plus1d_18"))
        large = BACKBONE_REGISTRY.get("r2plus1d_34")(_cfg("r2plus1d_34"))
    shapes = {name: t.shape for name, t in large.state_dict().items()}
    assert {name: t.shape for name, t in small.state_dict().items()}.items() <= shapes.items()
    assert [len(getattr(large, f"layer{i}")) for i in (1, 2, 3, 4)] == [3, 4, 6, 3]


@pytest.mark.parametrize(("dim_in", "dim_out", "stride"), [(4, 4, 1), (4, 6, 2)])
def test_block_equals_plain_loops(dim_in, dim_out, stride):
    block = BasicBlock(Conv2Plus1D, dim_in, dim_out, stride=stride, norm=torch.nn.BatchNorm3d)
    state = randomize(block)
    x = torch.randn(2, dim_in, 5, 6, 7, dtype=torch.float64)
    assert_computes(block, x, block_2plus1d(x.numpy(), state, stride))


def test_mid_channels_keep_the_number_of_weights():
    assert mid_channels(64, 64) == 144  # as published
    assert mid_channels(64, 128) == 230
    for dim_in, dim_out in [(8, 16), (32, 32), (256, 512)]:
        mid = mid_channels(dim_in, dim_out)
        split = mid * (9 * dim_in + 3 * dim_out)
        assert 0 <= 27 * dim_in * dim_out - split < 9 * dim_in + 3 * dim_out


def test_initial_weights_are_as_published():
    model = _build(width=32)
    conv = model.layer3[1].conv1[0][0]
    fan_out = conv.out_channels * 9
    assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    norm = model.layer3[1].conv1[1]
    torch.testing.assert_close(norm.weight, torch.ones_like(norm.weight), rtol=0, atol=0)
    torch.testing.assert_close(norm.bias, torch.zeros_like(norm.bias), rtol=0, atol=0)
