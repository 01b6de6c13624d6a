import pytest
import torch
from helpers.configs import make_backbone, make_cfg

from slowfast.config import load_config
from slowfast.models.build import LOSS_REGISTRY, build_model
from slowfast.models.resnet.checks import check_nonlocal, check_resnet


def _cfg(arch="slow", width=8, **resnet):
    words = f"MODEL.ARCH {arch} MODEL.MODEL_NAME ResNet RESNET.WIDTH_PER_GROUP {width}"
    return make_cfg(words, "RESNET", **resnet)


def _build(*args, **kwargs):
    return make_backbone(_cfg(*args, **kwargs))


@pytest.mark.parametrize("words", [(), ("MODEL.POOLING", "avg")])
def test_slow_at_112_pixels_has_400_logits(words):
    """PySlowFast's kernel of 112 // 32 = 3 leaves 2 x 2 positions of a 4 x 4 map: 1600 logits."""
    size = ("DATA.TRAIN_CROP_SIZE", "112", "RESNET.WIDTH_PER_GROUP", "4")
    cfg = load_config("Kinetics/SLOW_8x8_R50.yaml", [*size, *words]).cfg
    model = build_model(cfg)
    batch = {"video": torch.randn(1, 1, 3, 8, 112, 112), "label": torch.tensor([3])}
    for mode in (True, False):
        outputs = model.train(mode)(batch)
        assert model.backbone(batch["video"][:, 0]).maps[0].shape[2:] == (8, 4, 4)
        assert outputs.logits.shape == (1, 1, 400)
        loss = LOSS_REGISTRY.get("cross_entropy")(cfg)(outputs, batch)["loss"]
        assert loss.isfinite()


def test_18_layers_have_basic_blocks():
    model = _build(DEPTH=18, TRANS_FUNC="basic_transform")
    assert len(list(model.s4.children())) == 2
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 2, 64, 64)).maps[0].shape == (1, 256, 2, 2, 2)


def test_zero_initialized_branches():
    model = _build(ZERO_INIT_FINAL_BN=True)
    finals = [m.final_layers()[1] for m in model.modules() if hasattr(m, "final_layers")]
    assert len(finals) == 16
    assert all(norm.weight.abs().max() == 0 for norm in finals)
    assert model.s3.pathway0_res0.branch1_bn.weight.unique().tolist() == [1.0]


@pytest.mark.parametrize(
    ("arch", "changes", "message"),
    [
        ("slow", {"RESNET.DEPTH": 34}, "RESNET.DEPTH: got 34, expected one of 18, 50, 101."),
        ("csn", {"RESNET.DEPTH": 34}, "RESNET.DEPTH: got 34"),
        ("i3d", {"RESNET.TRANS_FUNC": "bottleneck"}, "Did you mean 'bottleneck_transform'?"),
        ("c2d", {"RESNET.SPATIAL_STRIDES": [[1], [2], [2]]}, "expected 4 lists, one per stage"),
        ("c2d", {"NONLOCAL.LOCATION": [[[]], [], [[]], [[]]]}, "expected 4 lists"),
        ("slowfast", {"SLOWFAST.ALPHA": 0}, "SLOWFAST.ALPHA: got 0, expected at least 1."),
        (
            "slow",
            {"NONLOCAL.LOCATION": [[[]], [[1, 4]], [[]], [[]]]},
            "after block 4 of stage 3, which has the blocks 0 to 3 at RESNET.DEPTH 50.",
        ),
        (
            "slow",
            {"NONLOCAL.LOCATION": [[[]], [[1]], [[]], [[]]], "NONLOCAL.INSTANTIATION": "gaussian"},
            "got 'gaussian'. Known: dot_product, softmax.",
        ),
        (
            "r2plus1d",
            {"NONLOCAL.LOCATION": [[[]], [[1]], [[]], [[]]]},
            "'r2plus1d' has no non-local blocks",
        ),
    ],
)
def test_mistakes_are_named(arch, changes, message):
    cfg = _cfg(arch)
    assert [*check_resnet(cfg), *check_nonlocal(cfg)] == []
    for key, value in changes.items():
        section, name = key.split(".")
        cfg[section][name] = value
    problems = [f"{p.key}: {p.message}" for p in (*check_resnet(cfg), *check_nonlocal(cfg))]
    assert len(problems) == 1
    assert message in problems[0]


def test_other_backbones_are_not_checked():
    cfg = _cfg("r2plus1d_18", DEPTH=7, TRANS_FUNC="x3d_transform")
    cfg.NONLOCAL.LOCATION = [[[99]]]
    assert [*check_resnet(cfg), *check_nonlocal(cfg)] == []
