"""A step in shapes alone: finds what cannot work, and nothing else; values are never needed."""

import pytest
import torch

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.datasets.views.sample_views import sample_shapes
from slowfast.models import rehearsal
from slowfast.models.rehearsal import rehearse

SMALL = "StiCA/small_pretrain.yaml"
IDEAS = ("MODEL.POOLING", "transformer", "MODEL.FEATURE_AUG", "feature_crop")


def load(name, *words):
    words = ("DATA.PATH_TO_DATA_DIR", "unused", *map(str, words))
    return load_config(name, words).cfg


@pytest.mark.parametrize(
    "name",
    [
        SMALL,
        "StiCA/R2plus1D_pretrain.yaml",
        "Kinetics/SLOWFAST_4x16_R50.yaml",
        "Kinetics/I3D_NLN_8x8_R50.yaml",
        "Kinetics/MVITv2_S_16x4.yaml",
        "Kinetics/X3D_XS.yaml",
        "Kinetics/C3D.yaml",
        "Kinetics/S3DG.yaml",
    ],
)
def test_what_works_is_not_reported(name, monkeypatch):
    cfg = load(name)
    monkeypatch.setattr(rehearsal, "_NO_MISTAKES", ())  # these need no values
    monkeypatch.setattr(rehearsal, "_MISTAKES", Exception)
    state = torch.get_rng_state()
    assert rehearse(cfg, 2, sample_shapes(cfg)) == []
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("words", "key", "message"),
    [
        (("DATA.NUM_FRAMES", 8), "FEATURE_CROP.TIME_LARGE", "feature map of 1 time step"),
        (
            ("DATA.TRAIN_CROP_SIZE", 16),
            "FEATURE_CROP.SPACE_LARGE",
            "feature map of 1 spatial position",
        ),
        (("TRAIN.BATCH_SIZE", 1), "TRAIN.BATCH_SIZE", "got 1 row for batch statistics"),
        (("SOLVER.LAYER_DECAY", 0.5), "SOLVER.LAYER_DECAY", "has no num_layers and layer_id"),
        (("TEMPORAL_TRANSFORMER.HEADS", 5), "TEMPORAL_TRANSFORMER.HEADS", "a divisor of 64"),
        (
            ("TEMPORAL_TRANSFORMER.MAX_STEPS", 2, "TEMPORAL_TRANSFORMER.POSITIONS", "learned"),
            "TEMPORAL_TRANSFORMER.MAX_STEPS",
            "got 3 time steps",
        ),
    ],
)
def test_what_cannot_work_is_named_with_its_key(words, key, message):
    cfg = load(SMALL, *IDEAS, *words)
    (problem,) = rehearse(cfg, cfg.TRAIN.BATCH_SIZE, sample_shapes(cfg))
    assert problem.key == key
    assert message in problem.message


class Deep(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv3d(3, 4, (9, 3, 3))

    def forward(self, batch):
        return self.conv(batch["video"].flatten(0, 1))


def test_what_torch_refuses_is_told_with_the_sizes(monkeypatch):
    monkeypatch.setattr(rehearsal, "construct_model", lambda cfg: Deep())
    cfg = load("Kinetics/C3D.yaml", "DATA.NUM_FRAMES", 8, "TEST.ENABLE", False)
    (problem,) = rehearse(cfg, 4, sample_shapes(cfg))
    assert problem.message.startswith("cannot take clips of this size: ")
    assert "Kernel size" in problem.message
    assert "DATA.NUM_FRAMES (8)" in problem.message
    assert rehearse(cfg, 4, sample_shapes(cfg), only_named=True) == []


@pytest.mark.parametrize("name", [SMALL, "StiCA/R2plus1D_pretrain.yaml", "Kinetics/C3D.yaml"])
def test_the_meta_device_suffices_for_what_works(name, monkeypatch):
    monkeypatch.setattr(rehearsal, "FakeTensorMode", lambda **_: pytest.fail("tried again"))
    cfg = load(name)
    assert rehearse(cfg, 2, sample_shapes(cfg)) == []


class NotOnMeta(torch.nn.Module):
    def forward(self, batch):
        video = batch["video"]
        if video.device.type == "meta":
            raise RuntimeError("no such device")
        return video.mean()

    embed = forward


def test_what_only_the_meta_device_refuses_is_not_reported(monkeypatch):
    monkeypatch.setattr(rehearsal, "construct_model", lambda cfg: NotOnMeta())
    monkeypatch.setattr(rehearsal, "construct_optimizer", lambda *_: None)
    monkeypatch.setattr(rehearsal.LOSS_REGISTRY, "get", lambda _: lambda cfg: lambda *_: None)
    cfg = load("Kinetics/C3D.yaml")
    assert rehearse(cfg, 2, sample_shapes(cfg)) == []


class ReadsValues(torch.nn.Module):
    """Its constructor reads values, as those with rates of stochastic depth do."""

    def __init__(self):
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.1, 3)]
        self.head = torch.nn.Linear(1, 2)

    def forward(self, batch):
        return self.head(batch["video"].mean().reshape(1, 1)).sum()

    embed = forward


def test_a_constructor_that_reads_values(monkeypatch):
    monkeypatch.setattr(rehearsal, "construct_model", lambda cfg: ReadsValues())
    monkeypatch.setattr(rehearsal.LOSS_REGISTRY, "get", lambda _: lambda cfg: lambda *_: None)
    cfg = load("Kinetics/C3D.yaml")
    assert rehearse(cfg, 2, sample_shapes(cfg)) == []
