"""Models of transformers behind slowfast.load: small random ones, saved as they publish theirs."""

import json
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import slowfast
from slowfast.config import ConfigValueError, UserError
from tests.helpers.hub_server import serve_hub
from tests.helpers.media_files import Audio, Video, write_media
from tests.helpers.transformers_folders import HALF, LABELS, SIDE, build, save

transformers = pytest.importorskip("transformers", reason="needs the extra [transformers]")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

PROCESSOR = {
    "size": {"shortest_edge": SIDE},
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_center_crop": True,
    **HALF,
}
FRAMES = np.random.RandomState(0).randint(0, 256, (4, SIDE, SIDE, 3), np.uint8)
PIXELS = torch.from_numpy(FRAMES).permute(0, 3, 1, 2)[None].float() / 127.5 - 1  # (1, T, 3, H, W)
KINDS = ["videomae", "timesformer", "vivit", "vjepa2"]
# V-JEPA 2 enlarges the short side to 256 / 224 of the crop; these frames are of that size.
LARGE = np.random.RandomState(1).randint(0, 256, (4, 36, 36, 3), np.uint8)


def inputs_of(kind):
    """Frames of the size that needs no resizing, and the same as the model gets them."""
    if kind != "vjepa2":
        return FRAMES, PIXELS
    pixels = torch.from_numpy(LARGE).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    return LARGE, pixels[..., 2:34, 2:34]


@pytest.mark.parametrize("kind", KINDS)
def test_classifiers_score_as_their_library_does(kind, tmp_path):
    model = build(kind)
    settings = dict(PROCESSOR)
    if kind == "vivit":
        settings |= {"rescale_factor": 1 / 127.5, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}
    frozen = slowfast.load(save(tmp_path, model, settings), device="cpu")
    frames, pixels = inputs_of(kind)
    found = frozen.embed(frames=frames)
    with torch.no_grad():
        expected = model(pixels).logits[0].softmax(-1)
    np.testing.assert_allclose(found.scores, expected.numpy(), atol=1e-5)
    assert frozen.class_names == list(LABELS["id2label"].values())
    best = int(expected.argmax())
    assert frozen.predict(frames=frames, top_k=1).label == LABELS["id2label"][best]
    assert frozen.modalities == {"video"}
    assert not frozen.has_joint_space
    head = model.classifier
    scores = F.softmax(torch.from_numpy(found.video) @ head.weight.T + head.bias, dim=-1)
    np.testing.assert_allclose(scores.detach().numpy(), found.scores, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_pretrained_encoders(kind, tmp_path):
    model = build(kind, classifier=False)
    settings = dict(PROCESSOR)
    if kind == "vivit":
        settings |= {"rescale_factor": 1 / 127.5, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}
    frozen = slowfast.load(save(tmp_path, model, settings), device="cpu")
    frames, pixels = inputs_of(kind)
    found = frozen.embed(frames=frames)
    base = getattr(model, kind, model)
    with torch.no_grad():
        tokens = base(pixels).last_hidden_state[0]
    expected = tokens[0] if kind in ("timesformer", "vivit") else tokens.mean(dim=0)
    np.testing.assert_allclose(found.video, expected.numpy(), atol=1e-5)
    assert found.scores is None
    with pytest.raises(UserError, match="does not predict classes"):
        frozen.predict(frames=frames)


@pytest.mark.parametrize(
    ("kind", "clip_sec"),
    [("videomae", 16 / 30), ("timesformer", 256 / 30), ("vivit", 8 / 30), ("vjepa2", 1.0)],
)
def test_files_are_read_as_clips_of_the_model(kind, clip_sec, tmp_path):
    frozen = slowfast.load(save(tmp_path / "model", build(kind), PROCESSOR), device="cpu")
    assert frozen.clip_sec == pytest.approx(clip_sec)
    write_media(tmp_path / "a.mp4", Video(ticks=range(40)))
    write_media(tmp_path / "b.mp4", Video(ticks=range(30), size=(48, 64)))
    found = frozen.embed([tmp_path / "a.mp4", tmp_path / "b.mp4"], num_workers=0)
    assert found.video.shape == (2, 24)
    assert len(found[0].clips) == {"videomae": 5, "timesformer": 3, "vivit": 3, "vjepa2": 1}[kind]
    assert len(frozen.embed(tmp_path / "a.mp4", every_sec=0.5).clips) == 3


def test_clap_embeds_audio_as_its_library_does(tmp_path):
    model = build("clap")
    extractor = {"truncation": "rand_trunc", "sampling_rate": 48000, "max_length_s": 10}
    frozen = slowfast.load(save(tmp_path, model, preprocessor_config=extractor), device="cpu")
    assert frozen.modalities == {"audio"}
    assert frozen.clip_sec == 10
    wave = np.random.RandomState(0).randn(480000).astype(np.float32) * 0.1
    found = frozen.embed(audio=wave)
    inputs = transformers.ClapFeatureExtractor(**extractor)(
        wave, sampling_rate=48000, return_tensors="pt"
    )
    with torch.no_grad():
        expected = model.get_audio_features(input_features=inputs["input_features"].float())
    np.testing.assert_allclose(found.audio_embedding, expected.pooler_output[0], atol=1e-5)
    write_media(tmp_path / "a.mp4", Video(ticks=range(40)), Audio())
    assert frozen.embed(tmp_path / "a.mp4").video is None


@pytest.fixture
def without_timm(monkeypatch):
    """PE-AV's image encoder is one of timm, which tests do not need: a ViT takes its place."""
    from transformers.models.pe_video.configuration_pe_video import PeVideoEncoderConfig

    specs = dict(PeVideoEncoderConfig.sub_configs_defaults)
    spec = type(specs["vision_config"])(config_class=transformers.ViTConfig)
    monkeypatch.setattr(PeVideoEncoderConfig, "sub_configs_defaults", {"vision_config": spec})


@pytest.mark.slow
def test_pe_av_embeds_both_modalities_in_one_space(tmp_path, without_timm):
    model = build("pe_audio_video")
    video = {"size": {"height": SIDE, "width": SIDE}, "num_frames": 4, **HALF}
    audio = {"sampling_rate": 48000, "hop_length": 1920}
    nested = {"video_processor": video, "feature_extractor": audio}
    frozen = slowfast.load(save(tmp_path, model, processor_config=nested), device="cpu")
    assert frozen.has_joint_space
    assert frozen.modalities == {"video", "audio"}
    assert frozen.clip_sec == pytest.approx(10.0)
    wave = np.random.RandomState(0).randn(480000).astype(np.float32) * 0.1
    found = frozen.embed(frames=FRAMES, audio=wave)
    inputs = transformers.PeAudioFeatureExtractor(**audio)(
        [wave], sampling_rate=48000, return_tensors="pt"
    )
    with torch.no_grad():
        both = model.get_audio_video_embeds(
            **inputs, pixel_values_videos=PIXELS, return_audio_embeds=True, return_video_embeds=True
        )
    for name in ("video", "audio"):
        expected = F.normalize(both[f"{name}_embeds"][0], dim=-1)
        np.testing.assert_allclose(found.features[f"{name}_embedding"], expected, atol=1e-5)
    silent = frozen.embed(frames=FRAMES)
    assert silent.audio_embedding is None
    np.testing.assert_allclose(silent.video, found.video, atol=1e-6)


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def test_mistakes_are_explained(tmp_path, monkeypatch):
    folder = save(tmp_path / "model", build("videomae"), PROCESSOR)
    with pytest.raises(UserError, match="leave out cfg"):
        slowfast.load(folder, cfg="x.yaml")
    with pytest.raises(ConfigValueError, match=r"DATA.NUM_FRAMES: got 8; .* need 4"):
        slowfast.load(folder, overrides=["DATA.NUM_FRAMES", 8])
    with pytest.raises(ConfigValueError, match="NUM_SPATIAL_CROPS: got 3"):
        slowfast.load(folder, overrides=["TEST.NUM_SPATIAL_CROPS", 3])
    edit(folder, image_size=48)
    with pytest.raises(
        UserError, match=r"frames of \(32, 32\), but config.json has the image_size 48"
    ):
        slowfast.load(folder)
    edit(folder, image_size=SIDE, num_hidden_layers=3)
    with pytest.raises(UserError, match="weights of VideoMAEForVideoClassification are missing"):
        slowfast.load(folder)
    edit(folder, num_hidden_layers=2, intermediate_size=40)
    with pytest.raises(UserError, match="of another shape"):
        slowfast.load(folder)
    edit(folder, model_type="videomea")
    with pytest.raises(UserError, match=r"'videomea'.*Known: clap.*Did you mean 'videomae'"):
        slowfast.load(folder)
    edit(folder, model_type="videomae")
    (folder / "config.json").write_text("{")
    with pytest.raises(
        UserError, match=r"config.json is damaged: it is not JSON .* Download it again"
    ):
        slowfast.load(folder)


def test_no_pickle_is_read(tmp_path):
    model = build("videomae")
    folder = save(tmp_path, model, PROCESSOR)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no \*.safetensors file. pytorch_model.bin is a pickle"):
        slowfast.load(folder)


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    folder = save(tmp_path, build("videomae"), PROCESSOR)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"needs transformers: pip install 'slowfast-stica\[tran"):
        slowfast.load(folder)


def test_code_in_a_folder_is_not_run(tmp_path):
    folder = save(tmp_path, build("videomae"), PROCESSOR)
    (folder / "evil.py").write_text("raise SystemExit('imported')\n")
    edit(folder, auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})
    assert slowfast.load(folder, device="cpu").is_classifier


@pytest.mark.parametrize("revision", ["", "@v1"])
def test_a_repository_of_the_hub_is_downloaded_without_pickles(revision, tmp_path, monkeypatch):
    folder = save(tmp_path / "model", build("videomae"), PROCESSOR)
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    (folder / "modeling.py").write_text("raise SystemExit\n")
    expected = slowfast.load(folder, device="cpu").embed(frames=FRAMES)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve_hub("me/videomae", folder) as (url, requests):
        monkeypatch.setenv("HF_ENDPOINT", url)
        frozen = slowfast.load(f"hf://me/videomae{revision}", device="cpu")
        asked = {path.rpartition("/")[2] for path in requests}
    assert not asked & {"pytorch_model.bin", "modeling.py"}
    assert frozen.name == f"hf://me/videomae{revision}"
    np.testing.assert_array_equal(frozen.embed(frames=FRAMES).scores, expected.scores)
