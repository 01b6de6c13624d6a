import gzip
import json
import logging
from pathlib import Path

import pytest
import torch
from stica.checkpoint_format import convert

from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY, build_model
from slowfast.models.weights import convert_state_dict, load_state

FILE = Path(__file__).parents[2] / "data" / "gdt_state_dict_keys.json.gz"
DEAD = {"audio_network.base.fc.weight", "audio_network.base.fc.bias"}


@pytest.fixture(scope="module")
def published():
    """Every key of the published format with its shape, on a device without memory."""
    with gzip.open(FILE, "rt") as file:
        return json.load(file)


def _state(shapes, prefix=""):
    return {f"{prefix}{key}": torch.empty(shape, device="meta") for key, shape in shapes.items()}


def _full_size(cfg, **pooling):
    cfg.RESNET.WIDTH_PER_GROUP = cfg.AUDIO.WIDTH = 64
    cfg.STICA.HEAD_DIM, cfg.STICA.EMBED_DIM = 512, 256
    for key, value in pooling.items():
        cfg.TEMPORAL_TRANSFORMER[key] = value
    with torch.device("meta"):
        return build_model(cfg)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_published_key_has_its_place(cfg, published, prefix):
    model = _full_size(cfg, READOUT="first", POSITIONS="none", VALUE_PROJECTION=False)
    shapes = {key: shape for key, (shape, _) in published["keys"].items()}
    conversion = convert(_state(shapes, prefix), model.state_dict())
    assert conversion.missed == []
    assert set(conversion.skipped) == {f"{prefix}{key}" for key in DEAD}
    assert all("unused" in reason for reason in conversion.skipped.values())
    assert set(conversion.used) == {f"{prefix}{key}" for key in shapes} - set(conversion.skipped)
    own = model.state_dict()
    assert {k: v.shape for k, v in conversion.state.items()} == {k: v.shape for k, v in own.items()}


def test_optional_keys_of_attention(cfg, published):
    model = _full_size(cfg, READOUT="first", POSITIONS="learned", MAX_STEPS=64)
    shapes = {key: shape for key, (shape, _) in published["keys"].items()} | published["extra"]
    conversion = convert(_state(shapes), model.state_dict())
    assert conversion.missed == []
    assert set(conversion.skipped) == DEAD | {"video_pooling.2.pos_ids"}
    own = model.state_dict()
    assert {k: v.shape for k, v in conversion.state.items()} == {k: v.shape for k, v in own.items()}


def test_what_a_default_model_misses_is_said(cfg, published):
    model = _full_size(cfg)
    shapes = {key: shape for key, (shape, _) in published["keys"].items()}
    missed = convert(_state(shapes), model.state_dict()).missed
    parts = {"cls", "positions.table", "attention.value", "attention.output"}
    assert {part for part in parts if any(part in key for key in missed)} == parts
    assert all(any(part in key for part in parts) for key in missed)


def test_unknown_keys_are_skipped_with_a_reason():
    conversion = convert({"video_network.base.stem.0.weight": torch.ones(1), "x.y": torch.ones(1)})
    assert conversion.used == {"video_network.base.stem.0.weight": "backbone.stem.0.weight"}
    assert conversion.skipped == {"x.y": "not a key of this format"}


def test_registered_and_logged(caplog):
    state = {
        "module.video_network.base.stem.0.weight": torch.ones(1),
        "module.audio_network.base.fc.bias": torch.ones(1),
    }
    with caplog.at_level(logging.INFO, logger="stica.checkpoint_format"):
        renamed = CHECKPOINT_FORMAT_REGISTRY.get("gdt_stica")(state)
    assert set(renamed) == {"backbone.stem.0.weight"}
    assert "1 keys used, 1 skipped" in caplog.text
    assert "skipped module.audio_network.base.fc.bias (unused" in caplog.text
    assert CHECKPOINT_FORMAT_REGISTRY.get("gdt_stica")({"stem.0.weight": torch.ones(1)}) is None


def test_values_arrive_through_the_loader(cfg):
    model = build_model(cfg)
    theirs = "module.video_network.base.stem.0.weight"
    value = torch.randn_like(model.backbone.stem[0].weight)
    report = load_state(model, convert_state_dict({theirs: value}, "gdt_stica"))
    assert report.matched == ["backbone.stem.0.weight"]
    assert torch.equal(model.backbone.stem[0].weight, value)
