from functools import cache

import numpy as np
import pytest
import torch
from helpers.zoo import (
    DATA,
    assert_close_to,
    make_input,
    make_state,
    on_meta,
    read_recorded,
    shapes_of,
)
from reference.x3d_block import block_x3d
from torch import nn

import slowfast.cli.registrations  # noqa: F401
from slowfast.config import UserError, get_cfg, load_config
from slowfast.models.build import BACKBONE_REGISTRY, CHECKPOINT_FORMAT_REGISTRY, build_model
from slowfast.models.contracts import temporal_tokens
from slowfast.models.x3d.block import X3DBlock, round_channels
from slowfast.models.x3d.formats import pyslowfast_x3d, pytorchvideo_x3d
from slowfast.models.x3d.network import X3DPooling

ZOO = read_recorded("x3d")
YAMLS = sorted(ZOO["entries"])


def _recorded(name):
    return ZOO["state_dicts"][ZOO["entries"][name]]


def _yaml(name, *words):
    words = ("DATA.PATH_TO_DATA_DIR", "unused", *words)
    return load_config(name, [str(word) for word in words]).cfg


def _small(arch="x3d", **x3d):
    cfg = get_cfg()
    cfg.MODEL.ARCH = arch
    cfg.X3D.WIDTH_FACTOR, cfg.X3D.DEPTH_FACTOR, cfg.X3D.DIM_C5 = 0.5, 1.0, 16
    for key, value in x3d.items():
        cfg.X3D[key] = value
    return cfg


def _build(cfg):
    torch.manual_seed(0)
    return BACKBONE_REGISTRY.get(cfg.MODEL.ARCH)(cfg)


def _to_ours(state):
    claims = {
        name: renamed
        for name in CHECKPOINT_FORMAT_REGISTRY.names()
        if (renamed := CHECKPOINT_FORMAT_REGISTRY.get(name)(dict(state))) is not None
    }
    assert len(claims) == 1, "every format is asked: one alone may claim the keys"
    return next(iter(claims.values()))


@cache
def _on_meta(name):
    with torch.device("meta"):
        return build_model(_yaml(name)).eval()


@pytest.mark.parametrize("name", YAMLS)
def test_names_shapes_and_totals_are_the_zoos(name):
    model = _on_meta(name)
    recorded = _recorded(name)
    expected = shapes_of(_to_ours(on_meta(recorded["state_dict"])))
    assert shapes_of(model.state_dict()) == expected
    assert sum(p.numel() for p in model.parameters()) == recorded["total_params"]


@pytest.mark.parametrize("name", YAMLS)
def test_maps_have_the_zoos_shapes(name):
    backbone = _on_meta(name).backbone
    for size, expected in ZOO["maps"][name]:
        assert list(backbone(torch.empty(size, device="meta")).maps[0].shape) == expected


@pytest.mark.parametrize("size", [(1, 32, 32), (3, 33, 65), (5, 40, 24)])
def test_map_has_the_documented_size(size):
    backbone = _build(_small()).eval()
    frames, height, width = size
    with torch.no_grad():
        out = backbone(torch.randn(1, 3, *size))
    cells = -(-height // 32), -(-width // 32)
    assert out.summary is None
    assert [tuple(m.shape) for m in out.maps] == [(1, *backbone.out_channels, frames, *cells)]


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
    torch.manual_seed(1)
    block = X3DBlock(dims, **options)
    for name, value in block.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + (0.5 if "running_var" in name else -0.5))
    block.double().eval()
    state = {name: value.numpy() for name, value in block.state_dict().items()}
    x = torch.randn(2, dims[0], 3, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        got = block(x.clone()).numpy()
    expected = block_x3d(x.numpy(), state, options.get("stride", 1))
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


def test_every_second_block_excites():
    stage = _build(_small(DEPTH_FACTOR=2.0)).s4
    assert [block.branch2.excite for block in stage] == [i % 2 == 0 for i in range(10)]


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
    backbone = _build(_small(BN_LIN5=True))
    pooling = backbone.native_pooling().train()
    assert isinstance(pooling.lin_5_bn, nn.BatchNorm3d)
    dim = backbone.out_channels[0]
    out = pooling(temporal_tokens(torch.randn(64, dim, 2, 2, 2)))
    assert out.shape == (64, 16)
    # Half of a normalized, symmetric distribution is above 0, with this mean.
    assert out.mean().item() == pytest.approx((2 * torch.pi) ** -0.5, rel=0.1)


def test_other_poolings_read_the_map_and_need_no_linear_layer():
    cfg = _yaml(YAMLS[-1], "MODEL.POOLING", "avg")
    with torch.device("meta"):
        model = build_model(cfg)
    assert model.pooling.dim_out == model.backbone.out_channels[0] == 432
    assert not list(model.pooling.parameters())


def test_pytorchvideos_weights_fit_both_networks():
    state = pytorchvideo_x3d(on_meta(_recorded("Kinetics/pytorchvideo/X3D_S.yaml")["state_dict"]))
    plain = {
        key.removeprefix("model."): shape
        for key, shape in _recorded("Kinetics/pytorchvideo/X3D_S.yaml")["state_dict"].items()
    }
    assert set(pytorchvideo_x3d(on_meta(plain))) == set(state)
    missing = set(_on_meta("Kinetics/X3D_S.yaml").state_dict()) - set(state)
    parts = {name.rpartition(".")[0] for name in missing}
    assert parts == {"backbone.s2.pathway0_res0.branch1_bn"}


def test_foreign_checkpoints_are_not_claimed():
    for claim in (pyslowfast_x3d, pytorchvideo_x3d):
        assert claim({}) is None
        assert claim({"s1.pathway0_stem.conv.weight": torch.zeros(1)}) is None
        assert claim({"model.blocks.0.conv.weight": torch.zeros(1)}) is None


def test_initial_weights_are_as_published():
    cfg = _small(WIDTH_FACTOR=2.0)
    cfg.RESNET.ZERO_INIT_FINAL_BN = True
    backbone = _build(cfg)
    for conv in (backbone.conv_5, backbone.s5.pathway0_res0.branch2.a):
        assert conv.weight.std().item() == pytest.approx((2 / conv.out_channels) ** 0.5, rel=0.05)
    branch = backbone.s5.pathway0_res0.branch2
    assert branch.b.weight.std().item() == pytest.approx((2 / (192 * 27)) ** 0.5, rel=0.05)
    assert branch.se.fc1.bias.abs().max() == 0
    assert branch.c_bn.weight.abs().max() == 0
    assert (branch.b_bn.weight == 1).all()
    cfg.RESNET.ZERO_INIT_FINAL_BN, cfg.RESNET.ZERO_INIT_FINAL_CONV = False, True
    branch = _build(cfg).s5.pathway0_res0.branch2
    assert branch.c.weight.abs().max() == 0
    assert (branch.c_bn.weight == 1).all()


def test_groups_instead_of_channelwise_convolutions():
    cfg = _small(CHANNELWISE_3x3x3=False)
    assert _build(cfg).s2.pathway0_res0.branch2.b.groups == 1


def test_recomputed_activations_change_nothing():
    cfg = _small()
    plain = _build(cfg)
    cfg.MODEL.ACT_CHECKPOINT = True
    recomputed = _build(cfg)
    x = torch.randn(2, 3, 2, 32, 32)
    for model in (plain, recomputed):
        model.train()(x).maps[0].square().sum().backward()
    for (name, a), b in zip(plain.named_parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_branches_are_dropped_in_training_only():
    cfg = _small()
    cfg.MODEL.DROPCONNECT_RATE = 0.999999
    backbone = _build(cfg)
    block = backbone.s2.pathway0_res0
    x = torch.randn(4, 8, 1, 4, 4)
    with torch.no_grad():
        block.train()
        torch.testing.assert_close(block(x), block.branch1_bn(block.branch1(x)).clamp(min=0))
        block.eval()
        assert (block(x) - block.branch1_bn(block.branch1(x)).clamp(min=0)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RESNET.STRIDE_1X1", True], r"RESNET.STRIDE_1X1: got True, but X3D strides"),
        (["X3D.WIDTH_FACTOR", 0.0], r"X3D.WIDTH_FACTOR: got 0.0, expected more than 0"),
        (["X3D.DIM_C5", -1], r"X3D.DIM_C5: got -1, expected more than 0"),
    ],
)
def test_impossible_settings_are_named(words, message):
    with pytest.raises(UserError, match=message):
        _yaml("Kinetics/X3D_S.yaml", *words)


@pytest.mark.slow
def test_zoo_weights_give_the_originals_numbers():
    golden = np.load(DATA / "golden_x3d.npz")
    part = "Kinetics__X3D_S"
    seed = int(golden[f"{part}/seed"])
    model = build_model(_yaml("Kinetics/X3D_S.yaml")).eval()
    shapes = _recorded("Kinetics/X3D_S.yaml")["state_dict"]
    model.load_state_dict(_to_ours(make_state(shapes, seed)))
    seen = []
    model.backbone.conv_5.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        logits = model({"video": make_input(golden[f"{part}/input"], seed)[:, None]}).logits
    expected = torch.from_numpy(golden[f"{part}/map"])
    assert_close_to(seen[0][:, : expected.shape[1]], expected, golden[f"{part}/map_abs_max"].item())
    expected = torch.from_numpy(golden[f"{part}/logits"])
    assert_close_to(logits[:, 0], expected, expected.abs().max().item())
