"""Pooling and feature crops, swapped on every backbone by keys alone; one step of StiCA on each.

A backbone that is registered is tested without a line here, unless it needs words to be small.
"""

import pytest
import torch

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.models.build import BACKBONE_REGISTRY, LOSS_REGISTRY, build_model

X3D = "X3D.WIDTH_FACTOR 0.5 X3D.DEPTH_FACTOR 0.4 X3D.DIM_C5 16 X3D.BOTTLENECK_FACTOR 2.0"
MVIT = (
    "MVIT.EMBED_DIM 8 MVIT.DEPTH 3 MVIT.DROPPATH_RATE 0.1 MVIT.PATCH_PADDING [1,3,3] "
    "MVIT.POOL_Q_STRIDE [[0,1,1,1],[1,1,2,2]] MVIT.POOL_KV_STRIDE_ADAPTIVE [1,4,4] "
    "MVIT.DIM_MUL [[1,2.0]] MVIT.HEAD_MUL [[1,2.0]]"
)
NARROW = "RESNET.WIDTH_PER_GROUP 4 AUDIO.WIDTH 4"
SMALL = {  # the others: NARROW
    "audio_vit": "AUDIO_VIT.EMBED_DIM 8 AUDIO_VIT.NUM_HEADS 2 AUDIO_VIT.DEPTH 2",
    "c3d": "RESNET.WIDTH_PER_GROUP 8 MODEL.HEAD c3d_fc",
    "mvit": f"{MVIT} MVIT.SEP_POS_EMBED True",
    "ptv_x3d": X3D,
    "slowfast": "RESNET.WIDTH_PER_GROUP 8 SLOWFAST.ALPHA 4",
    "x3d": X3D,
}
NO_SPACE = "FEATURE_CROP.SPACE_LARGE.NUM 0 FEATURE_CROP.SPACE_SMALL.NUM 0"
AUDIO = {"audio_resnet9", "audio_resnet18", "audio_resnet34", "audio_vit", "conv2d_10"}
VARIANTS = {
    "slow_nonlocal": (  # zeros as shipped; else untrained outputs overflow
        "MODEL.ARCH slow RESNET.WIDTH_PER_GROUP 4 RESNET.ZERO_INIT_FINAL_BN True "
        "NONLOCAL.LOCATION [[[]],[[1,3]],[[1,3,5]],[[]]]"
    ),
    "mvit_without_class_token": f"MODEL.ARCH mvit {MVIT} MVIT.CLS_EMBED_ON False",
    "mvitv2": (
        f"MODEL.ARCH mvit {MVIT} MVIT.USE_ABS_POS False MVIT.REL_POS_SPATIAL True "
        "MVIT.REL_POS_TEMPORAL True MVIT.RESIDUAL_POOLING True MVIT.DIM_MUL_IN_ATT True"
    ),
    "vit": (
        "MODEL.ARCH mvit MVIT.EMBED_DIM 8 MVIT.DEPTH 3 MVIT.USE_MEAN_POOLING True "
        "MVIT.PATCH_KERNEL [2,16,16] MVIT.PATCH_STRIDE [2,16,16] MVIT.PATCH_PADDING [0,0,0]"
    ),
}


def _registered():
    """Every registered backbone; one of several names of the same builder."""
    builders = {}
    for name, builder in BACKBONE_REGISTRY:
        builders.setdefault(builder, name)
    return list(builders.values())


def _words(name):
    small = SMALL.get(name, NARROW)
    if name not in AUDIO:
        return f"MODEL.ARCH {name} {small}"
    classifier = "MODEL.MODEL_NAME AudioClassifier AUDIO.ENABLE True MODEL.ARCH r2plus1d_18"
    return f"{classifier} {NARROW} AUDIO.ARCH {name} {small}"


FAMILIES = {**{name: _words(name) for name in _registered()}, **VARIANTS}
INPUT = (
    "NUM_GPUS 0 DATA.NUM_FRAMES 16 DATA.TRAIN_CROP_SIZE 64 DATA.PATH_TO_DATA_DIR unused "
    "PROJECTS ['stica'] MODEL.MODEL_NAME VideoResNet MODEL.NUM_CLASSES 5 MODEL.DROPOUT_RATE 0.0 "
    "AUDIO.NUM_MEL 40"
)
STICA = (
    "MODEL.MODEL_NAME StiCA MODEL.LOSS_FUNC stica MODEL.HEAD stica_projection "
    "MODEL.POOLING transformer MODEL.FEATURE_AUG feature_crop "
    "STICA.EMBED_DIM 8 STICA.HEAD_DIM 16 AUDIO.ENABLE True AUDIO.WIDTH 4 "
    "DATA.TRAIN_CROP_NUM_SPATIAL 2"
)


def _config(family, *words):
    return load_config(None, [*INPUT.split(), *FAMILIES[family].split(), *words]).cfg


def _batch(cfg, views=1):
    generator = torch.Generator().manual_seed(0)
    frames, side = cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE
    return {
        "video": torch.randn(2, views, 3, frames, side, side, generator=generator),
        "audio": torch.randn(2, 1, 1, 40, 99, generator=generator),
        "audio_valid": torch.ones(2, 1, dtype=torch.bool),
        "label": torch.tensor([1, 4]),
        "aug_seed": torch.tensor([5, 6]),
    }


def _step(cfg, views=1):
    """One forward and backward pass; every weight gets a gradient."""
    torch.manual_seed(0)
    model, batch = build_model(cfg).train(), _batch(cfg, views)
    outputs = model(batch)
    losses = LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(cfg)(outputs, batch)
    losses["loss"].backward()
    assert 0 < losses["loss"].item() < 20
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    return model, outputs, losses


@pytest.mark.parametrize("crops", ["none", "feature_crop"])
@pytest.mark.parametrize("pooling", ["native", "avg", "transformer"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_pooling_and_crops_by_keys_alone(family, pooling, crops):
    # A map of audio has width 1, so it is cropped in time only.
    words, count = (NO_SPACE.split(), 3) if family in AUDIO else ([], 9)
    cfg = _config(family, "MODEL.POOLING", pooling, "MODEL.FEATURE_AUG", crops, *words)
    model, outputs, losses = _step(cfg)
    assert outputs.logits.shape == (2, 1, 5)
    # The pooling is where the project's layers are, and nowhere else.
    project = [n for n, _ in model.named_parameters() if "attention" in n]
    assert bool(project) == (pooling == "transformer")
    assert all(n.startswith("pooling.") for n in project)
    if crops == "none":
        assert outputs.crop_logits is None
        return
    assert outputs.crop_logits.shape == (count, 2, 1, 5)
    torch.testing.assert_close(losses["loss"], (losses["loss_full"] + losses["loss_crops"]) / 2)
    assert model.eval()(_batch(cfg)).crop_logits is None


@pytest.mark.parametrize(
    "family", ["c2d", "csn", "i3d", "r2plus1d", "slow", "slow_nonlocal", "slowfast", "mvit",
               "mvit_without_class_token", "mvitv2", "vit"],
)  # fmt: skip
def test_native_pooling_is_the_summary_or_else_the_average(family):
    for pooling in ("native", "avg"):
        cfg = _config(family, "MODEL.POOLING", pooling)
        torch.manual_seed(0)
        model, batch = build_model(cfg).eval(), _batch(cfg)
        with torch.no_grad():
            out = model.backbone(batch["video"][:, 0])
            wanted = torch.cat([m.mean(dim=(2, 3, 4)) for m in out.maps], dim=1)
            if pooling == "native" and out.summary is not None:
                wanted = out.summary
            expected = model.head(wanted)
            logits = model(batch).logits[:, 0]
        atol = 1e-5 * expected.abs().max().item()
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_one_step_of_stica(family):
    _, outputs, _ = _step(_config(family, *STICA.split()), views=2)
    assert outputs.video.shape == (2, 2, 8)
