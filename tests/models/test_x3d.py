import pytest
import torch
from helpers.blocks import assert_computes, randomize
from helpers.configs import make_backbone, make_cfg
from reference.x3d_block import block_x3d
from torch import nn

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import UserError, load_config
from slowfast.models.build import build_model
from slowfast.models.contracts import temporal_tokens
from slowfast.models.x3d.block import X3DBlock, round_channels
from slowfast.models.x3d.network import X3DPooling


def _yaml(name, *words):
    words = ("DATA.PATH_TO_DATA_DIR", "unused", *words)
    return load_config(name, [str(word) for word in words]).cfg


def _small(arch="x3d", **x3d):
    words = f"MODEL.ARCH {arch} X3D.WIDTH_FACTOR 0.5 X3D.DEPTH_FACTOR 1.0 X3D.DIM_C5 16"
    return make_cfg(words, "X3D", **x3d)


@pytest.mark.parametrize(
    ("dims", "options"),
    [
        ((8, 6, 8), {}),
        ((8, 6, 8), {"excite": False}),
        ((4, 6, 8), {"stride": 2}),
        ((8, 6, 8), {"stride": 2}),
        ((8, 6, 8), {"stride": 2, "shortcut_norm": False}),
    ],
)
def test_block_equals_plain_loops(dims, options):
    block = X3DBlock(dims, **options)
    state = randomize(block)
    assert ("branch2.se.fc1.weight" in state) == options.get("excite", True)
    has_norm = "branch1.weight" in state and options.get("shortcut_norm", True)
    assert ("branch1_bn.weight" in state) == has_norm
    x = torch.randn(2, dims[0], 3, 5, 6, dtype=torch.float64)
    assert_computes(block, x, block_x3d(x.numpy(), state, options.get("stride", 1)))


@pytest.mark.parametrize(
    ("wanted", "rounded"),
    [(24, 24), (27, 32), (3.375, 8), (12, 16), (11.9, 16), (20, 24), (18, 24), (54 / 16, 8)],
)
def test_channels_are_rounded_to_multiples_of_eight(wanted, rounded):
    assert round_channels(wanted) == rounded


def test_native_pooling_is_average_linear_layer_and_relu():
    torch.manual_seed(0)
    pooling = X3DPooling(6, 10)
    maps = torch.randn(3, 6, 4, 2, 5)
    expected = (maps.mean(dim=(2, 3, 4)) @ pooling.lin_5.weight.flatten(1).T).clamp(min=0)
    torch.testing.assert_close(pooling(temporal_tokens(maps)), expected, rtol=1e-5, atol=1e-6)
    assert pooling.dim_out == expected.shape[1]


def test_native_pooling_with_a_norm():
    backbone = make_backbone(_small(BN_LIN5=True))
    pooling = backbone.native_pooling().train()
    assert isinstance(pooling.lin_5_bn, nn.BatchNorm3d)
    dim = backbone.out_channels[0]
    out = pooling(temporal_tokens(torch.randn(64, dim, 2, 2, 2)))
    assert out.shape == (64, 16)
    # Half of a normalized, symmetric distribution is above 0, with this mean.
    assert out.mean().item() == pytest.approx((2 * torch.pi) ** -0.5, rel=0.1)


def test_other_poolings_read_the_map_and_need_no_linear_layer():
    cfg = _yaml("Kinetics/X3D_S.yaml", "MODEL.POOLING", "avg")
    with torch.device("meta"):
        model = build_model(cfg)
    assert model.pooling.dim_out == model.backbone.out_channels[0] == 432
    assert not list(model.pooling.parameters())


def test_initial_weights_are_as_published():
    cfg = _small(WIDTH_FACTOR=2.0)
    cfg.RESNET.ZERO_INIT_FINAL_BN = True
    backbone = make_backbone(cfg)
    for conv in (backbone.conv_5, backbone.s5.pathway0_res0.branch2.a):
        assert conv.weight.std().item() == pytest.approx((2 / conv.out_channels) ** 0.5, rel=0.05)
    branch = backbone.s5.pathway0_res0.branch2
    assert branch.b.weight.std().item() == pytest.approx((2 / (192 * 27)) ** 0.5, rel=0.05)
    assert branch.se.fc1.bias.abs().max() == 0
    assert branch.c_bn.weight.abs().max() == 0
    assert (branch.b_bn.weight == 1).all()
    cfg.RESNET.ZERO_INIT_FINAL_BN, cfg.RESNET.ZERO_INIT_FINAL_CONV = False, True
    branch = make_backbone(cfg).s5.pathway0_res0.branch2
    assert branch.c.weight.abs().max() == 0
    assert (branch.c_bn.weight == 1).all()


def test_groups_instead_of_channelwise_convolutions():
    cfg = _small(CHANNELWISE_3x3x3=False)
    assert make_backbone(cfg).s2.pathway0_res0.branch2.b.groups == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RESNET.STRIDE_1X1", True], r"RESNET.STRIDE_1X1: got True, but X3D strides"),
        (["X3D.WIDTH_FACTOR", 0.0], r"X3D.WIDTH_FACTOR: got 0.0, expected a number > 0"),
        (["X3D.DIM_C5", -1], r"X3D.DIM_C5: got -1, expected a number > 0"),
    ],
)
def test_impossible_settings_are_named(words, message):
    with pytest.raises(UserError, match=message):
        _yaml("Kinetics/X3D_S.yaml", *words)
