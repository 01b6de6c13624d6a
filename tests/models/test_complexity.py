"""Counting parameters and multiply-adds, against arithmetic by hand and published numbers."""

import pytest
import torch

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.models import complexity
from slowfast.models.build import build_model
from slowfast.models.complexity import count_complexity, describe_complexity


def load(name, *words):
    common = ["NUM_GPUS", "0", "DATA.PATH_TO_DATA_DIR", "unused"]
    return load_config(name, [*common, *(str(word) for word in words)]).cfg


@pytest.mark.parametrize(
    ("name", "parameters", "giga", "source"),
    [
        # torchvision's own tables count the same work.
        ("Kinetics/torchvision/R2PLUS1D_18.yaml", 31_505_325, 40.519, "torchvision"),
        ("Kinetics/torchvision/R3D_18.yaml", 33_371_472, 40.697, "torchvision"),
        ("Kinetics/torchvision/MC3_18.yaml", 11_695_440, 43.343, "torchvision"),
        ("Kinetics/X3D_M.yaml", 3_794_322, 4.73, "the paper"),
    ],
)
def test_published_numbers(name, parameters, giga, source):
    work = count_complexity(load(name))
    assert work.parameters == parameters
    assert work.multiply_adds / 1e9 == pytest.approx(giga, rel=1e-3), source


def test_a_convolution_by_hand(monkeypatch):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv3d(3, 7, 3, padding=1, bias=False)

        def embed(self, batch):
            return {"video": self.conv(batch["video"].flatten(0, 1))}

    monkeypatch.setattr(complexity, "construct_model", lambda cfg: Model())
    cfg = load(None, "DATA.NUM_FRAMES", 4, "DATA.TRAIN_CROP_SIZE", 10)
    assert count_complexity(cfg) == (3 * 7 * 27, 3 * 7 * 27 * 4 * 10 * 10, 4, 10)
    assert count_complexity(cfg, side=20).multiply_adds == 3 * 7 * 27 * 4 * 20 * 20
    assert describe_complexity(cfg) == "0.00 G multiply-adds for a clip of 4 frames of 10 pixels"


def test_attention_counts(monkeypatch):
    tokens, channels = 12, 8

    class Model(torch.nn.Module):
        def embed(self, batch):
            x = batch["video"].new_zeros(1, 2, tokens, channels)
            return {"video": torch.nn.functional.scaled_dot_product_attention(x, x, x)}

    monkeypatch.setattr(complexity, "construct_model", lambda cfg: Model())
    assert count_complexity(load(None)).multiply_adds == 2 * 2 * tokens * tokens * channels


def test_a_model_that_hears_is_counted_with_its_audio():
    cfg = load("StiCA/R2plus1D_pretrain.yaml", "RESNET.WIDTH_PER_GROUP", 8, "AUDIO.WIDTH", 8)
    louder = load("StiCA/R2plus1D_pretrain.yaml", "RESNET.WIDTH_PER_GROUP", 8, "AUDIO.WIDTH", 16)
    assert count_complexity(louder).multiply_adds > count_complexity(cfg).multiply_adds


def test_counting_uses_no_random_number():
    cfg = load("Kinetics/torchvision/R3D_18.yaml", "RESNET.WIDTH_PER_GROUP", 8)
    torch.manual_seed(3)
    plain = build_model(cfg).state_dict()
    torch.manual_seed(3)
    count_complexity(cfg)
    for name, value in build_model(cfg).state_dict().items():
        assert torch.equal(value, plain[name])


def test_what_shapes_cannot_tell_does_not_stop_a_run(monkeypatch):
    class Model(torch.nn.Module):
        def embed(self, batch):
            return {"video": batch["video"].new_zeros(int(batch["video"].sum()))}

    monkeypatch.setattr(complexity, "construct_model", lambda cfg: Model())
    assert describe_complexity(load(None)).startswith("multiply-adds not counted (")


@pytest.mark.parametrize("name", ["attentive_UCF101", "finetune_ESC50", "linear_UCF101"])
def test_what_fine_tunes_and_probes_is_counted_too(name):
    """An attentive pooling's query is a view of a parameter, which the counter's hooks dislike."""
    assert "G multiply-adds" in describe_complexity(load(f"StiCA/{name}.yaml"))
