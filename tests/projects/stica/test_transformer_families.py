"""Both ideas on vision transformers: classifiers by two keys, and a step of StiCA itself."""

import pytest
import torch
from helpers.family_steps import make_family_batch, step_family

from slowfast.models.build import build_model

POOLED = (
    *("MVIT.POOL_Q_STRIDE", [[0, 1, 1, 1], [1, 1, 2, 2]]),
    *("MVIT.POOL_KV_STRIDE_ADAPTIVE", [1, 4, 4], "MVIT.PATCH_PADDING", [1, 3, 3]),
    *("MVIT.DIM_MUL", [[1, 2.0]], "MVIT.HEAD_MUL", [[1, 2.0]]),
)
RELATIVE = (
    *("MVIT.USE_ABS_POS", False, "MVIT.REL_POS_SPATIAL", True, "MVIT.REL_POS_TEMPORAL", True),
    *("MVIT.RESIDUAL_POOLING", True, "MVIT.DIM_MUL_IN_ATT", True),
)
FAMILIES = {
    "mvit": (*POOLED, "MVIT.SEP_POS_EMBED", True),
    "mvitv2": (*POOLED, *RELATIVE),
    "mvit_without_class_token": (*POOLED, "MVIT.CLS_EMBED_ON", False),
    "vit": (
        *("MVIT.PATCH_KERNEL", [2, 16, 16], "MVIT.PATCH_STRIDE", [2, 16, 16]),
        *("MVIT.PATCH_PADDING", [0, 0, 0], "MVIT.USE_MEAN_POOLING", True),
    ),
}


@pytest.fixture(params=FAMILIES)
def family(request, cfg):
    cfg.MODEL.ARCH = "mvit"
    cfg.MVIT.EMBED_DIM, cfg.MVIT.DEPTH, cfg.MVIT.DROPPATH_RATE = 8, 3, 0.1
    cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE = 8, 48
    cfg.merge_from_list(list(FAMILIES[request.param]))
    return cfg


def _batch(views, audio=False):
    return make_family_batch(views, frames=8, audio=audio)


@pytest.mark.parametrize("crops", ["none", "feature_crop"])
@pytest.mark.parametrize("pooling", ["native", "avg", "transformer"])
def test_a_classifier_by_two_keys(family, pooling, crops):
    family.MODEL.MODEL_NAME, family.MODEL.HEAD = "MViT", "linear"
    family.MODEL.LOSS_FUNC, family.MODEL.NUM_CLASSES = "soft_cross_entropy", 5
    family.MODEL.POOLING, family.MODEL.FEATURE_AUG = pooling, crops
    outputs, _ = step_family(family, _batch(views=1))
    assert outputs.logits.shape == (2, 1, 5)
    assert (outputs.crop_logits is None) == (crops == "none")


def test_native_is_the_summary_and_avg_the_map(family):
    family.MODEL.MODEL_NAME, family.MODEL.HEAD = "MViT", "linear"
    family.MODEL.FEATURE_AUG, family.MODEL.NUM_CLASSES = "none", 5
    for pooling in ("native", "avg"):
        family.MODEL.POOLING = pooling
        torch.manual_seed(0)
        model = build_model(family).eval()
        batch = _batch(views=1)
        with torch.no_grad():
            out = model.backbone(batch["video"][:, 0])
            mean = out.maps[0].mean(dim=(2, 3, 4))
            wanted = mean if pooling == "avg" or out.summary is None else out.summary
            torch.testing.assert_close(model(batch).logits[:, 0], model.head(wanted))


def test_a_step_of_stica(family):
    _, loss = step_family(family, _batch(views=2, audio=True))
    assert loss.item() > 0


def test_a_step_of_stica_with_a_transformer_for_sound(family):
    family.AUDIO.ARCH = "audio_vit"
    family.AUDIO_VIT.EMBED_DIM, family.AUDIO_VIT.NUM_HEADS, family.AUDIO_VIT.DEPTH = 8, 2, 2
    _, loss = step_family(family, _batch(views=2, audio=True))
    assert loss.item() > 0
