"""Pooling and feature crops, swapped on every family by keys alone; and one step of StiCA on each.

A family is one line of FAMILIES: its MODEL.ARCH, and the words that make it small.
"""

import pytest
import torch

import slowfast.cli.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.models.build import LOSS_REGISTRY, build_model

X3D = "X3D.WIDTH_FACTOR 0.5 X3D.DEPTH_FACTOR 0.4 X3D.DIM_C5 16 X3D.BOTTLENECK_FACTOR 2.0"
NARROW = "RESNET.WIDTH_PER_GROUP 8"
FAMILIES = {
    "c3d": f"{NARROW} MODEL.HEAD c3d_fc",
    "ptv_x3d": X3D,
    "r2plus1d_18": NARROW,
    "r3d_18": NARROW,
    "s3d": NARROW,
    "s3dg": NARROW,
    "x3d": X3D,
}
INPUT = "NUM_GPUS 0 DATA.NUM_FRAMES 16 DATA.TRAIN_CROP_SIZE 64 DATA.PATH_TO_DATA_DIR unused"
STICA = (
    "MODEL.MODEL_NAME StiCA MODEL.LOSS_FUNC stica MODEL.HEAD stica_projection "
    "MODEL.POOLING transformer MODEL.FEATURE_AUG feature_crop "
    "STICA.EMBED_DIM 8 STICA.HEAD_DIM 16 AUDIO.ENABLE True AUDIO.WIDTH 4 "
    "DATA.TRAIN_CROP_NUM_SPATIAL 2"
)


def _config(arch, *words):
    named = ["PROJECTS", "['stica']", "MODEL.MODEL_NAME", "VideoResNet", "MODEL.ARCH", arch]
    return load_config(None, [*named, *INPUT.split(), *FAMILIES[arch].split(), *words]).cfg


def _loss(cfg, views=1):
    torch.manual_seed(0)
    model = build_model(cfg).train()
    frames, side = cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE
    batch = {
        "video": torch.randn(2, views, 3, frames, side, side),
        "audio": torch.randn(2, 1, 1, 40, 99),
        "audio_valid": torch.ones(2, 1, dtype=torch.bool),
        "label": torch.arange(2),
        "index": torch.arange(2),
        "aug_seed": torch.arange(2) + 5,
    }
    outputs = model(batch)
    loss = LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(cfg)(outputs, batch)["loss"]
    loss.backward()
    return model, outputs, loss.item()


@pytest.mark.parametrize("crops", ["none", "feature_crop"])
@pytest.mark.parametrize("pooling", ["native", "avg", "transformer"])
@pytest.mark.parametrize("arch", sorted(FAMILIES))
def test_pooling_and_crops_by_keys_alone(arch, pooling, crops):
    cfg = _config(arch, "MODEL.POOLING", pooling, "MODEL.FEATURE_AUG", crops)
    model, outputs, loss = _loss(cfg)
    assert outputs.logits.shape == (2, 1, 400)
    assert (outputs.crop_logits is None) == (crops == "none")
    assert 0 < loss < 20
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    # The pooling is where the project's layers are, and nowhere else.
    attends = [n for n, _ in model.named_parameters() if "attention" in n]
    assert bool(attends) == (pooling == "transformer")
    assert all(n.startswith("pooling.") for n in attends)


@pytest.mark.parametrize("arch", sorted(FAMILIES))
def test_one_step_of_stica(arch):
    model, outputs, loss = _loss(_config(arch, *STICA.split()), views=2)
    assert outputs.video.shape == (2, 2, 8)
    assert 0 < loss < 20
    assert not [n for n, p in model.named_parameters() if p.grad is None]
