"""DATA.SAMPLING pyslowfast: scores of a map that is larger than in training, window by window."""

import numpy as np
import pytest
import torch
from reference.pyslowfast_sampling import window_scores

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.models.build import build_model
from slowfast.models.contracts import temporal_tokens
from slowfast.models.heads import activate
from slowfast.models.windows import combine_windows

SMALL = "RESNET.WIDTH_PER_GROUP 8 MODEL.NUM_CLASSES 12 DATA.NUM_FRAMES 4 NUM_GPUS 0"
FAMILIES = {
    "Kinetics/SLOW_8x8_R50.yaml": SMALL,
    "Kinetics/SLOWFAST_4x16_R50.yaml": SMALL,
    "Kinetics/I3D_NLN_8x8_R50.yaml": SMALL,
    "Kinetics/pytorchvideo/CSN_32x2_R101.yaml": f"{SMALL} RESNET.DEPTH 50",
    "Kinetics/X3D_S.yaml": "MODEL.NUM_CLASSES 12 DATA.NUM_FRAMES 2 NUM_GPUS 0",
    "Kinetics/pytorchvideo/X3D_S.yaml": "MODEL.NUM_CLASSES 12 DATA.NUM_FRAMES 2 NUM_GPUS 0",
}


def build(yaml, *words):
    torch.manual_seed(0)
    cfg = load_config(yaml, [*words, "DATA.PATH_TO_DATA_DIR", "unused"]).cfg
    model = build_model(cfg).eval()
    for parameter in model.head.parameters():  # else all scores are nearly equal
        torch.nn.init.normal_(parameter, std=2.0)
    return model, cfg


def clips(cfg, size):
    torch.manual_seed(1)
    return {"video": torch.randn(1, 1, 3, cfg.DATA.NUM_FRAMES, size, size)}


def classify(model, rows):
    """Classify rows (N, C) of pooled maps, as the model does with maps of one position."""
    rows = torch.from_numpy(rows).float()
    maps = [m[..., None, None, None] for m in rows.split(model.backbone.out_channels, dim=1)]
    with torch.no_grad():
        return model.head(model.pooling([temporal_tokens(m) for m in maps])).numpy()


CASES = [(yaml, "softmax", 64, 96) for yaml in FAMILIES]
CASES += [("Kinetics/SLOW_8x8_R50.yaml", act, 224, 256) for act in ("softmax", "sigmoid")]


@pytest.mark.parametrize(("yaml", "head_act", "crop", "test"), CASES)
def test_scores_of_a_larger_map_are_the_mean_over_windows(yaml, head_act, crop, test):
    words = FAMILIES[yaml].split()
    model, cfg = build(yaml, *words, "MODEL.HEAD_ACT", head_act, "DATA.TRAIN_CROP_SIZE", crop)
    batch = clips(cfg, test)
    with torch.no_grad():
        maps = [m.numpy() for m in model.encode(batch).maps]
        outputs = model(batch).logits, model.embed(batch)["logits"]
    side = crop // 32
    assert {m.shape[-1] for m in maps} == {side + 1}
    expected = window_scores(
        maps,
        lambda rows: classify(model, rows),
        side,
        lambda logits: activate(torch.from_numpy(logits), head_act).numpy(),
    )
    for logits in outputs:
        np.testing.assert_allclose(activate(logits[0], head_act), expected, atol=2e-6)
    plain, _ = build(yaml, *words, "MODEL.HEAD_ACT", head_act, "DATA.SAMPLING", "time_bins")
    with torch.no_grad():
        other = activate(plain.embed(batch)["logits"][0], head_act)
    assert np.abs(other.numpy() - expected).max() > 1e-4  # the average of the full map


def test_at_the_size_of_training_nothing_changes():
    yaml, words = "Kinetics/SLOW_8x8_R50.yaml", SMALL.split()
    model, cfg = build(yaml, *words)
    plain, _ = build(yaml, *words, "DATA.SAMPLING", "time_bins")
    for size in (224, 96):  # a smaller map is one window
        batch = clips(cfg, size)
        with torch.no_grad():
            assert torch.equal(model(batch).logits, plain(batch).logits)
    batch = {"video": clips(cfg, 256)["video"].expand(2, -1, -1, -1, -1, -1)}
    model.head.dropout.p = plain.head.dropout.p = 0.0
    assert torch.equal(model.train()(batch).logits, plain.train()(batch).logits)


@pytest.mark.parametrize(
    ("words", "window"),
    [
        ("", 7),
        ("DATA.TRAIN_CROP_SIZE 112", 3),
        ("MODEL.POOLING avg", 0),
        ("DATA.SAMPLING auto", 0),
        ("MODEL.MODEL_NAME VideoResNet MODEL.ARCH r3d_18", 0),
    ],
)
def test_which_models_have_windows(words, window):
    model, _ = build("Kinetics/SLOW_8x8_R50.yaml", *SMALL.split(), *words.split())
    assert (model.windows.side if model.windows else 0) == window


def test_vision_transformers_have_none():
    model, cfg = build(
        "Kinetics/MVIT_B_16x4_CONV.yaml",
        *"NUM_GPUS 0 MVIT.DEPTH 1 MVIT.DIM_MUL [] MVIT.HEAD_MUL [] MVIT.POOL_Q_STRIDE []".split(),
    )
    assert cfg.DATA.SAMPLING == "pyslowfast"
    assert model.windows is None


@pytest.mark.parametrize("act", ["softmax", "sigmoid", "none"])
def test_combined_logits_have_the_mean_of_the_scores(act):
    torch.manual_seed(0)
    logits = 30 * torch.randn(4, 3, 7, dtype=torch.float64)
    mean = activate(logits, act).mean(dim=0)
    torch.testing.assert_close(activate(combine_windows(logits, act), act), mean)
