import gzip
import json
from pathlib import Path

import pytest
import torch
from helpers.configs import make_cfg

from slowfast.models.build import BACKBONE_REGISTRY

FIXTURE = Path(__file__).parents[1] / "data" / "state_dicts_audio_resnet.json.gz"
KNOWN = json.loads(gzip.decompress(FIXTURE.read_bytes()))["audio_resnet9"]


def _build(arch, width):
    torch.manual_seed(0)
    return BACKBONE_REGISTRY.get(arch)(make_cfg(f"AUDIO.WIDTH {width}"))


def test_names_and_shapes_are_the_known_ones():
    with torch.device("meta"):
        model = _build("audio_resnet9", 64)
    shapes = {name: list(t.shape) for name, t in model.state_dict().items()}
    assert shapes == KNOWN["state_dict"]
    assert sum(p.numel() for p in model.parameters()) == KNOWN["total_params"]


@pytest.mark.parametrize(
    ("layers", "total", "blocks"), [(18, 11_689_512, [2, 2, 2, 2]), (34, 21_797_672, [3, 4, 6, 3])]
)
def test_more_layers_are_the_image_resnets(layers, total, blocks):
    with torch.device("meta"):
        model = _build(f"audio_resnet{layers}", 64)
    # Less 513 000 parameters of the classifier and the 2 input channels missing here.
    assert sum(p.numel() for p in model.parameters()) == total - 513_000 - 2 * 64 * 49
    assert [len(getattr(model, f"layer{i}")) for i in (1, 2, 3, 4)] == blocks


@pytest.mark.parametrize("arch", ["audio_resnet9", "audio_resnet18", "audio_resnet34"])
@pytest.mark.parametrize(("bins", "steps"), [(80, 99), (257, 199), (40, 10)])
def test_map_has_the_documented_size(arch, bins, steps):
    model = _build(arch, 4).eval()
    with torch.no_grad():
        out = model(torch.randn(1, 1, bins, steps))
    assert out.summary is None
    assert tuple(out.maps[0].shape) == (1, 32, -(-bins // 32), -(-steps // 32))
    assert model.out_channels == [32]


def test_initial_weights():
    model = _build("audio_resnet9", 64)
    for conv in (model.conv1, model.layer4[0].conv2):
        fan_out = conv.out_channels * conv.kernel_size[0] ** 2
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
