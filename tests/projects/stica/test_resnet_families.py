"""Both ideas on every video ResNet: classifiers by two keys, and a step of StiCA itself."""

import pytest
import torch
from helpers.family_steps import make_family_batch, step_family

from slowfast.models.build import build_model

FAMILIES = {
    "c2d": (),
    "i3d": (),
    "slow": (),
    "slow_nonlocal": (
        *("NONLOCAL.LOCATION", [[[]], [[1, 3]], [[1, 3, 5]], [[]]]),
        *("RESNET.ZERO_INIT_FINAL_BN", True),  # as shipped; else untrained outputs overflow
    ),
    "slowfast": (),
    "csn": (),
    "r2plus1d": (),
}


@pytest.fixture(params=FAMILIES)
def family(request, cfg):
    cfg.MODEL.ARCH = request.param.removesuffix("_nonlocal")
    cfg.RESNET.WIDTH_PER_GROUP = 8 if cfg.MODEL.ARCH == "slowfast" else 4
    cfg.SLOWFAST.ALPHA = 4
    cfg.merge_from_list(list(FAMILIES[request.param]))
    return cfg


def _batch(views, audio=False):
    return make_family_batch(views, frames=16, audio=audio)


@pytest.mark.parametrize("crops", ["none", "feature_crop"])
@pytest.mark.parametrize("pooling", ["native", "avg", "transformer"])
def test_a_classifier_by_two_keys(family, pooling, crops):
    family.MODEL.MODEL_NAME, family.MODEL.HEAD = "ResNet", "linear"
    family.MODEL.LOSS_FUNC, family.MODEL.NUM_CLASSES = "cross_entropy", 5
    family.MODEL.DROPOUT_RATE = 0.0
    family.MODEL.POOLING, family.MODEL.FEATURE_AUG = pooling, crops
    outputs, _ = step_family(family, _batch(views=1))
    assert outputs.logits.shape == (2, 1, 5)
    assert (outputs.crop_logits is None) == (crops == "none")


def test_native_pooling_is_the_average(family):
    family.MODEL.MODEL_NAME, family.MODEL.HEAD = "ResNet", "linear"
    family.MODEL.FEATURE_AUG = "none"
    logits = []
    for pooling in ("native", "avg"):
        family.MODEL.POOLING = pooling
        torch.manual_seed(0)
        model = build_model(family).eval()
        batch = _batch(views=1)
        with torch.no_grad():
            logits.append(model(batch).logits)
            means = [m.mean(dim=(2, 3, 4)) for m in model.backbone(batch["video"][:, 0]).maps]
            expected = model.head(torch.cat(means, dim=1))
    atol = 1e-5 * expected.abs().max().item()
    torch.testing.assert_close(logits[0][:, 0], expected, rtol=0, atol=atol)
    assert torch.equal(*logits)


def test_a_step_of_stica(family):
    _, loss = step_family(family, _batch(views=2, audio=True))
    assert loss.item() > 0
