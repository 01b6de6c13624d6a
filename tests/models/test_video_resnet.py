import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.zoo import DATA, assert_close_to, make_input, make_state
from reference.video_block import block_2plus1d

from slowfast.config import get_cfg
from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.classifier import build_classifier
from slowfast.models.video_resnet import (
    BasicBlock,
    Conv2Plus1D,
    mid_channels,
    torchvision_video_resnet,
)

FIXTURE = Path(__file__).parents[1] / "data" / "state_dicts_video_resnet.json.gz"
ZOO = json.loads(gzip.decompress(FIXTURE.read_bytes()))


def _cfg(arch="r2plus1d_18", width=64, **model):
    cfg = get_cfg()
    cfg.MODEL.MODEL_NAME = "VideoResNet"
    cfg.MODEL.ARCH = arch
    cfg.RESNET.WIDTH_PER_GROUP = width
    for key, value in model.items():
        cfg.MODEL[key] = value
    return cfg


def _build(arch="r2plus1d_18", width=8, **model):
    torch.manual_seed(0)
    return BACKBONE_REGISTRY.get(arch)(_cfg(arch, width, **model))


@pytest.mark.parametrize("arch", sorted(ZOO))
def test_names_and_shapes_are_torchvisions(arch):
    with torch.device("meta"):
        model = build_classifier(_cfg(arch))
        zoo = {name: torch.empty(shape) for name, shape in ZOO[arch]["state_dict"].items()}
    expected = {name: tuple(t.shape) for name, t in torchvision_video_resnet(zoo).items()}
    assert {name: tuple(t.shape) for name, t in model.state_dict().items()} == expected
    assert sum(p.numel() for p in model.parameters()) == ZOO[arch]["total_params"]


def test_34_layers_hold_the_18_and_more_blocks():
    with torch.device("meta"):
        small = BACKBONE_REGISTRY.get("r2plus1d_18")(_cfg("r2plus1d_18"))
        large = BACKBONE_REGISTRY.get("r2plus1d_34")(_cfg("r2plus1d_34"))
    shapes = {name: t.shape for name, t in large.state_dict().items()}
    assert {name: t.shape for name, t in small.state_dict().items()}.items() <= shapes.items()
    assert [len(getattr(large, f"layer{i}")) for i in (1, 2, 3, 4)] == [3, 4, 6, 3]


@pytest.mark.parametrize("frames", [1, 8, 9, 16])
@pytest.mark.parametrize("arch", ["r2plus1d_18", "r3d_18", "mc3_18"])
def test_map_has_the_documented_size(arch, frames):
    model = _build(arch).eval()
    with torch.no_grad():
        out = model(torch.randn(1, 3, frames, 33, 48))
    steps = frames if arch == "mc3_18" else -(-frames // 8)
    assert out.summary is None
    assert [tuple(m.shape) for m in out.maps] == [(1, *model.out_channels, steps, 3, 3)]
    assert model.out_channels == [64]


@pytest.mark.parametrize(("dim_in", "dim_out", "stride"), [(4, 4, 1), (4, 6, 2)])
def test_block_equals_plain_loops(dim_in, dim_out, stride):
    torch.manual_seed(1)
    block = BasicBlock(Conv2Plus1D, dim_in, dim_out, stride=stride, norm=torch.nn.BatchNorm3d)
    for name, value in block.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + (0.5 if "running_var" in name else -0.5))
    block.double().eval()
    state = {name: value.numpy() for name, value in block.state_dict().items()}
    x = torch.randn(2, dim_in, 5, 6, 7, dtype=torch.float64)
    with torch.no_grad():
        got = block(x.clone()).numpy()
    np.testing.assert_allclose(got, block_2plus1d(x.numpy(), state, stride), rtol=1e-10, atol=1e-12)


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


def test_recomputed_activations_change_nothing():
    plain, recomputed = _build(), _build(ACT_CHECKPOINT=True)
    recomputed.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 4, 16, 16)
    for model in (plain, recomputed):
        model.train()
        model(x).maps[0].square().sum().backward()
    for (name, a), b in zip(plain.named_parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-6, msg=name)
    # In particular the running statistics: they moved once, not once more in the backward pass.
    for (name, a), b in zip(plain.named_buffers(), recomputed.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, msg=name)


def test_recomputing_keeps_fewer_tensors():
    def kept(model):
        sizes = []

        def count(t):
            sizes.append(t.numel())
            return t

        with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
            model.train()(torch.randn(2, 3, 4, 16, 16))
        return sum(sizes)

    assert kept(_build(ACT_CHECKPOINT=True)) < kept(_build()) / 2


def test_foreign_checkpoints_are_not_claimed():
    assert torchvision_video_resnet({"s1.pathway0_stem.conv.weight": torch.zeros(1)}) is None
    assert torchvision_video_resnet({}) is None
    # An image ResNet has the same stages but another stem.
    keys = [f"layer{i}.0.conv1.weight" for i in (1, 2, 3, 4)] + ["conv1.weight", "fc.weight"]
    assert torchvision_video_resnet(dict.fromkeys(keys, torch.zeros(1))) is None


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["r2plus1d_18", "r3d_18"])
def test_zoo_weights_give_the_originals_numbers(arch):
    golden = np.load(DATA / "golden_video_resnet.npz")
    part = f"torchvision__{arch}"
    seed = int(golden[f"{part}/seed"])
    model = build_classifier(_cfg(arch)).eval()
    state = make_state(ZOO[arch]["state_dict"], seed)
    model.load_state_dict(torchvision_video_resnet(state))
    maps = []
    model.backbone.register_forward_hook(lambda *args: maps.append(args[-1].maps[0]))
    with torch.no_grad():
        logits = model({"video": make_input(golden[f"{part}/input"], seed)[:, None]}).logits
    expected = torch.from_numpy(golden[f"{part}/map"])
    assert_close_to(maps[0][:, : expected.shape[1]], expected, golden[f"{part}/map_abs_max"].item())
    expected = torch.from_numpy(golden[f"{part}/logits"])
    assert_close_to(logits[:, 0], expected, expected.abs().max().item())
