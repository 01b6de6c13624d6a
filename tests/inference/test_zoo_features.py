"""Frozen features of published weights: files with their names and shapes, random values."""

import gzip
import json

import numpy as np
import pytest
import torch
from stica.checkpoint_format import convert

import slowfast
from slowfast.config import ConfigValueError, load_config
from slowfast.inference import load as loading
from slowfast.models.build import construct_model
from slowfast.models.zoo.rows import ZOO_REGISTRY
from tests.helpers.zoo import DATA, make_weight

FRAMES = np.random.RandomState(0).randint(0, 256, (30, 40, 40, 3), np.uint8)
# The published widths take long at the published sizes of clips.
SMALL = ["TEST.NUM_ENSEMBLE_VIEWS", 1, "DATA.TRAIN_JITTER_SCALES", [32, 32]]
SMALL += ["DATA.TRAIN_CROP_SIZE", 32, "DATA.TEST_CROP_SIZE", 32]
WAVE = np.random.RandomState(1).randn(48000).astype(np.float32) * 0.1


def gdt_state(*encoders):
    """The public file's tensors: without the transformer that StiCA added."""
    with gzip.open(DATA / "gdt_state_dict_keys.json.gz", "rt") as file:
        shapes = {name: shape for name, (shape, _) in json.load(file)["keys"].items()}
    return {
        f"module.{name}": make_weight(name, tuple(shape), 0)
        for name, shape in shapes.items()
        if name.startswith(encoders)
    }


@pytest.fixture
def fake_zoo(tmp_path, monkeypatch):
    """Serve a state dict for every name of the zoo."""

    def serve(state):
        file = tmp_path / "published.pth"
        torch.save({"epoch": 1, "state_dict": state}, file)
        for module in (loading, __import__("slowfast.models.weights", fromlist=["x"])):
            monkeypatch.setattr(module, "resolve", lambda path: file)

    return serve


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gdt_k400", "gdt_ig65m"])
def test_gdt_gives_both_modalities_and_their_joint_space(name, fake_zoo):
    state = gdt_state("video_network", "audio_network", "mlp_")
    fake_zoo(state)
    frozen = slowfast.load(f"zoo://{name}", device="cpu", overrides=SMALL)
    assert frozen.has_joint_space
    assert not frozen.is_classifier
    assert frozen.without == {"scores"}
    assert frozen.clip_sec == pytest.approx(1.0)
    own = frozen.encoder.state_dict()
    for key, value in convert(state).state.items():
        assert torch.equal(own[key], value), key
    assert set(convert(state).state) == set(own)
    found = frozen.embed(frames=FRAMES, audio=WAVE[:24000])
    shapes = {key: value.shape for key, value in found.features.items()}
    assert shapes == {
        "video": (512,),
        "audio": (512,),
        "video_embedding": (256,),
        "audio_embedding": (256,),
        "similarity": (1,),
    }
    batch = frozen.preprocess(frames=FRAMES, audio=WAVE[:24000])
    assert batch["video"].shape[3:] == (30, 32, 32)
    assert batch["audio"].shape[3] == 257


def test_gdt_with_text_has_video_only(fake_zoo):
    fake_zoo(gdt_state("video_network"))
    frozen = slowfast.load("zoo://gdt_ht100m", device="cpu", overrides=SMALL)
    assert frozen.modalities == {"video"}
    assert not frozen.has_joint_space
    assert "video_embedding" in frozen.without
    found = frozen.embed(frames=FRAMES, audio=WAVE)
    assert list(found.features) == ["video"]


@pytest.mark.slow
def test_a_missing_audio_encoder_is_left_out(fake_zoo, tmp_path, monkeypatch):
    fake_zoo(gdt_state("video_network", "mlp_v"))
    frozen = slowfast.load("zoo://gdt_k400", device="cpu")
    assert frozen.modalities == {"video"}
    assert not frozen.has_joint_space
    assert frozen.without == {"scores", "audio", "audio_embedding", "similarity"}
    frozen.save_pretrained(tmp_path / "saved")  # what was not loaded is not saved
    monkeypatch.undo()  # the zoo
    again = slowfast.load(tmp_path / "saved", device="cpu")
    assert again.without == frozen.without


@pytest.mark.slow
def test_a_missing_pooling_is_refused(fake_zoo):
    fake_zoo(gdt_state("video_network", "audio_network", "mlp_"))
    with pytest.raises(ConfigValueError, match=r"MODEL.POOLING: zoo://gdt_k400 has no weights of"):
        slowfast.load("zoo://gdt_k400", cfg="StiCA/R2plus1D_pretrain.yaml")


@pytest.mark.slow
def test_avid_gives_both_modalities_without_a_joint_space(fake_zoo):
    row = ZOO_REGISTRY.get("avid_cma_k400")()
    words = [*row.embed_words, "NUM_GPUS", "0", "OUTPUT_DIR", "unused", "DATA.DEMO_CFG", ""]
    cfg = load_config(row.embed_config, words, validate=False).cfg
    names = {"backbone.": "video_model.", "audio_backbone.": "audio_model."}
    state = {}
    with torch.device("meta"):
        own = construct_model(cfg).state_dict()
    for key, value in own.items():
        encoder = next((ours for ours in names if key.startswith(ours)), None)
        if encoder is None:
            continue
        shape = list(value.shape)
        if encoder == "audio_backbone." and len(shape) == 4:
            shape[2:] = shape[:1:-1]
        theirs = names[encoder] + key.removeprefix(encoder)
        state[f"module.{theirs}"] = make_weight(theirs, tuple(shape), 0)
    fake_zoo(state)
    frozen = slowfast.load("zoo://avid_cma_k400", device="cpu", overrides=SMALL)
    assert frozen.modalities == {"video", "audio"}
    assert not frozen.has_joint_space
    assert {"video_embedding", "audio_embedding"} <= frozen.without
    found = frozen.embed(frames=FRAMES, audio=WAVE, fps=16.0)
    assert list(found.features) == ["video", "audio"]


@pytest.mark.parametrize(
    "row",
    [entry() for _, entry in ZOO_REGISTRY if entry().embed_config],
    ids=lambda row: row.name,
)
def test_configurations_for_features_are_valid(row, tmp_path):
    words = [*row.embed_words, "DATA.PATH_TO_DATA_DIR", "unused", "OUTPUT_DIR", str(tmp_path)]
    load_config(row.embed_config, [*words, "NUM_GPUS", "0", "TEST.CHECKPOINT_FILE_PATH", "random"])
