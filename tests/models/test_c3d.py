import numpy as np
import pytest
import torch
from helpers.configs import make_backbone, make_cfg
from reference.video_block import conv3d
from torch import nn

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.models.build import (
    CHECKPOINT_FORMAT_REGISTRY,
    HEAD_REGISTRY,
    build_model,
)
from slowfast.models.c3d import C3DHead, GridPooling, published_c3d
from slowfast.models.contracts import temporal_tokens

CHANNELS = (64, 128, 256, 256, 512, 512, 512, 512)
NAMES = ("conv1a", "conv2a", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b")


def _cfg(width=8, **model):
    return make_cfg(f"MODEL.ARCH c3d RESNET.WIDTH_PER_GROUP {width}", **model)


def _build(**kwargs):
    return make_backbone(_cfg(**kwargs))


def _plain_pool(x, kernel):
    """Max pooling that takes the rest of an odd size as a position of its own."""
    size = [-(-n // k) for n, k in zip(x.shape[2:], kernel, strict=True)]
    out = np.empty((*x.shape[:2], *size))
    for at in np.ndindex(*size):
        where = tuple(slice(c * k, (c + 1) * k) for c, k in zip(at, kernel, strict=True))
        out[(..., *at)] = x[(slice(None), slice(None), *where)].max(axis=(2, 3, 4))
    return out


def _published():
    """Names and shapes of the paper's network for 487 classes."""
    dims = (3, *CHANNELS)
    shapes = {}
    for i, name in enumerate(NAMES):
        shapes[f"{name}.weight"] = (dims[i + 1], dims[i], 3, 3, 3)
        shapes[f"{name}.bias"] = (dims[i + 1],)
    for name, dim_in, dim_out in (("fc6", 8192, 4096), ("fc7", 4096, 4096), ("fc8", 4096, 487)):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (dim_out, dim_in), (dim_out,)
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def test_names_and_shapes_are_the_papers():
    words = ["DATA.PATH_TO_DATA_DIR", "unused", "MODEL.NUM_CLASSES", "487"]
    with torch.device("meta"):
        model = build_model(load_config("Kinetics/C3D.yaml", words).cfg)
    state = published_c3d(_published())
    assert {n: t.shape for n, t in model.state_dict().items()} == {
        n: t.shape for n, t in state.items()
    }
    convolutions, linear = 27_655_936, 8193 * 4096 + 4097 * 4096 + 4097 * 487
    assert sum(p.numel() for p in model.parameters()) == convolutions + linear == 79_991_015


def test_names_of_the_ports_are_known_too():
    ported = {}
    for name, value in _published().items():
        for long, short in (("conv1a", "conv1"), ("conv2a", "conv2")):
            name = name.replace(long, short)
        ported[name.replace("fc6", "fc6-1")] = value
    assert published_c3d(ported).keys() == published_c3d(_published()).keys()
    claims = [n for n in CHECKPOINT_FORMAT_REGISTRY.names() if _claims(n, ported)]
    assert claims == ["published_c3d"]
    assert published_c3d({}) is None
    assert published_c3d({**ported, "conv6.weight": torch.zeros(1)}) is None
    del ported["conv5b.weight"]
    assert published_c3d(ported) is None


def _claims(name, state):
    return CHECKPOINT_FORMAT_REGISTRY.get(name)(dict(state)) is not None


def test_equals_plain_loops():
    backbone = _build(width=2).double().eval()
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.3)
    state = {name: value.numpy() for name, value in backbone.state_dict().items()}
    x = torch.randn(2, 3, 16, 97, 33, dtype=torch.float64)
    expected = x.numpy()
    for i, name in enumerate(NAMES):
        if i in (1, 2, 4, 6):
            expected = _plain_pool(expected, (1, 2, 2) if i == 1 else (2, 2, 2))
        bias = state[f"{name}.bias"].reshape(1, -1, 1, 1, 1)
        expected = conv3d(expected, state[f"{name}.weight"], (1, 1, 1), (1, 1, 1)) + bias
        expected = np.maximum(expected, 0)
    with torch.no_grad():
        out = backbone(x)
    assert out.maps[0].shape == (2, 16, 2, 7, 3)
    np.testing.assert_allclose(out.maps[0].numpy(), expected, rtol=1e-9, atol=1e-12)
    pooled = _plain_pool(expected, (2, 2, 2))  # (2, 16, 1, 4, 2)
    summary = out.summary.numpy().reshape(2, 16, 4, 4)
    np.testing.assert_allclose(summary[..., ::2], pooled[:, :, 0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [(16, 112, 112), (1, 16, 16), (9, 40, 171), (32, 64, 64)])
def test_map_and_summary_have_the_documented_size(size):
    frames, height, width = size
    with torch.device("meta"):
        backbone = _build()
        out = backbone(torch.empty(2, 3, *size))
    expected = (2, 64, -(-frames // 8), -(-height // 16), -(-width // 16))
    assert [tuple(m.shape) for m in out.maps] == [expected]
    assert tuple(out.summary.shape) == (2, 64 * 16)
    assert backbone.native_pooling().dim_out == 64 * 16


def test_a_crop_fills_the_grid():
    """What a map is that is the same everywhere, its average says as well."""
    pooling = GridPooling(3)
    maps = torch.randn(2, 3, 1, 1, 1).expand(2, 3, 2, 7, 7)
    pooled = nn.functional.adaptive_max_pool3d(maps, (1, 4, 4)).flatten(1)
    torch.testing.assert_close(pooling(temporal_tokens(maps)), pooled, rtol=1e-6, atol=1e-6)


def test_head_is_three_linear_layers():
    torch.manual_seed(0)
    head = C3DHead(6, 4, dim_hidden=8, dropout=0.5).eval()
    x = torch.randn(3, 6)
    hidden = (x @ head.fc6.weight.T + head.fc6.bias).clamp(min=0)
    hidden = (hidden @ head.fc7.weight.T + head.fc7.bias).clamp(min=0)
    expected = hidden @ head.projection.weight.T + head.projection.bias
    torch.testing.assert_close(head(x), expected)
    assert (head.train()(x) - expected).abs().max() > 1e-3  # dropout


def test_width_scales_the_whole_network():
    assert _build(width=16).out_channels == [128]
    head = HEAD_REGISTRY.get("c3d_fc")(10, 3, _cfg(width=16))
    assert head.fc7.weight.shape == (1024, 1024)


def test_initial_weights_are_as_published():
    backbone = _build(width=32)
    for name in NAMES:
        conv = backbone.get_submodule(name)
        assert (conv.bias == float(name != "conv1a")).all()
    assert backbone.conv5b.weight.std().item() == pytest.approx(0.01, rel=0.02)
    head = C3DHead(64, 8, dim_hidden=512)
    assert head.fc7.weight.std().item() == pytest.approx(0.005, rel=0.02)
    assert (head.fc6.bias == 1).all()
    assert (head.projection.bias == 0).all()
