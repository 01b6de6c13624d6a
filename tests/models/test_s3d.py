import numpy as np
import pytest
import torch
from helpers.blocks import assert_computes, randomize
from helpers.configs import make_backbone, make_cfg
from helpers.zoo import (
    read_recorded,
)
from reference import s3d_block as oracle

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.models.build import build_model
from slowfast.models.contracts import Tokens
from slowfast.models.s3d.block import InceptionBlock, SeparableConv
from slowfast.models.s3d.network import WindowPooling

ZOO = read_recorded("s3d")["state_dicts"][0]


def _yaml(name):
    return load_config(name, ["DATA.PATH_TO_DATA_DIR", "unused"]).cfg


def _build(arch="s3d", width=8, **model):
    return make_backbone(make_cfg(f"RESNET.WIDTH_PER_GROUP {width}", ARCH=arch, **model))


def _randomized(block):
    for norm in block.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            norm.eps = oracle.EPS
    return block, randomize(block)


def test_s3dg_is_s3d_and_gates():
    with torch.device("meta"):
        plain, gated = (build_model(_yaml(f"Kinetics/{name}.yaml")) for name in ("S3D", "S3DG"))
    more = set(gated.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) <= set(gated.state_dict())
    assert all(".gate.fc." in name for name in more)
    # A matrix and a bias for the channels of each branch of 9 blocks, and for the 192 of the stem.
    dims = [len(gated.state_dict()[name]) for name in more if name.endswith("bias")]
    assert len(dims) == 9 * 4 + 1
    assert sum(dims) == 192 + 256 + 480 + 3 * 512 + 528 + 2 * 832 + 1024
    total = sum(p.numel() for p in gated.parameters())
    assert total == ZOO["total_params"] + sum(dim**2 + dim for dim in dims)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((16, 224, 224), (2, 7, 7)),
        ((64, 256, 224), (8, 8, 7)),
        ((16, 112, 112), (2, 3, 3)),  # rounded down, as torchvision's
        ((4, 32, 32), (1, 1, 1)),
        ((1, 16, 70), (1, 1, 2)),
    ],
)
def test_map_has_the_documented_size(size, expected):
    with torch.device("meta"):
        backbone = _build(width=64).eval()
        maps = backbone(torch.empty(1, 3, *size)).maps
    assert [tuple(m.shape) for m in maps] == [(1, 1024, *expected)]
    assert backbone.out_channels == [1024]


@pytest.mark.parametrize("gated", [False, True])
def test_block_equals_plain_loops(gated):
    block, state = _randomized(InceptionBlock(4, (2, 3, 4, 2, 3, 1), gated=gated))
    x = torch.randn(2, 4, 3, 4, 5, dtype=torch.float64)
    expected = oracle.block_s3d(x.numpy(), state)
    assert block.dim_out == expected.shape[1] == 10
    assert_computes(block, x, expected)


@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 1)])
def test_separable_convolution_equals_plain_loops(kernel, stride):
    block, state = _randomized(SeparableConv(3, 4, kernel, stride=stride, gated=True))
    named = {f"conv.{name}": value for name, value in state.items()}
    x = torch.randn(2, 3, 5, 8, 7, dtype=torch.float64)
    assert_computes(block, x, oracle.separable(x.numpy(), named, "conv", stride))


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_native_pooling_averages_windows_of_two_steps(length):
    torch.manual_seed(0)
    values = torch.randn(3, 8, 5)
    values[:, length:] = float("nan")
    mask = (torch.arange(8) < length).expand(3, -1)
    got = WindowPooling(5)(Tokens(values, mask, torch.zeros(3, 8, dtype=torch.int64)))
    expected = [oracle.mean_of_windows(row[:length]) for row in values.numpy()]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_convolutions_in_time_start_as_the_identity():
    backbone = _build("s3dg")
    conv = backbone.features[5].branch1[1][1][0]
    x = torch.randn(1, conv.in_channels, 4, 2, 2)
    torch.testing.assert_close(conv(x), x, rtol=0, atol=0)
    space = backbone.features[15].branch1[1][0][0].weight
    assert space.std().item() == pytest.approx(0.01, rel=0.05)
    assert backbone.features[5].branch0.gate.fc.bias.abs().max() == 0


def test_batch_norm_is_the_published_one():
    norms = [m for m in _build().modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 1e-3)}
