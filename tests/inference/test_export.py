"""Exported programs equal the model: five backbones, with and without audio."""

import json

import numpy as np
import pytest
import torch

from slowfast.config import ParameterError, UserError
from slowfast.inference import export
from slowfast.inference.export import PROGRAM_FORMATS, TOLERANCE, export_program
from slowfast.inference.exported import make_inputs, wrap_encoder
from tests.helpers.small_models import (
    ARCHITECTURES,
    AUDIO_CLASSIFIER,
    METHOD,
    small_model,
)

BACKBONES = ("r2plus1d", "slowfast", "x3d", "mvit", "s3d")
NAMES = {"raw": {"frames", "waveform"}, "normalized": {"normalized_frames", "log_mel"}}


def build(backbone, has_audio):
    return small_model(ARCHITECTURES[backbone], *([METHOD] if has_audio else []))


def check_program(model, tmp_path, format, inputs="raw"):
    """Export, and compare with the model on inputs that the exporter has not seen."""
    path = tmp_path / f"a{PROGRAM_FORMATS[format].suffix}"
    files, differences = export_program(model, path, format=format, inputs=inputs)
    assert files == [path, path.with_suffix(".json")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    run = PROGRAM_FORMATS[format].open(path)
    batch = make_inputs(model, inputs, 5, seed=11, is_noise=False)
    with torch.no_grad():
        expected = wrap_encoder(model, inputs)(**batch)
    for name, value in expected.items():
        got = run(batch)[name]
        assert value.std(dim=0).max() > 1e-3 * value.abs().max(), name  # rows differ
        assert got.shape == value.shape
        assert (got - value).abs().max() <= TOLERANCE * value.abs().max(), name
    found = {(d.inputs, d.batch_size, d.output) for d in differences}
    assert found == {(i, n, o) for i in ("noise", "pattern") for n in (1, 3) for o in expected}
    content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert set(content["outputs"]) == set(expected)
    assert set(content["inputs"]) == set(batch) <= NAMES[inputs]
    return content, path


@pytest.mark.slow
@pytest.mark.parametrize("format", PROGRAM_FORMATS)
@pytest.mark.parametrize("has_audio", [False, True])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_five_backbones(backbone, has_audio, format, tmp_path):
    content, _ = check_program(build(backbone, has_audio), tmp_path, format)
    outputs = {"video", "audio", "video_embedding", "audio_embedding"}
    assert set(content["outputs"]) == (outputs if has_audio else {"video", "logits"})
    assert set(content["inputs"]) == ({"frames", "waveform"} if has_audio else {"frames"})


@pytest.mark.slow
@pytest.mark.parametrize("format", PROGRAM_FORMATS)
def test_normalized_inputs_and_the_other_front_end(format, tmp_path):
    model = build("r2plus1d", True)
    content, _ = check_program(model, tmp_path, format, "normalized")
    assert content["inputs"]["normalized_frames"]["shape"] == ["batch", 3, 8, 32, 32]
    assert content["inputs"]["log_mel"]["shape"][:3] == ["batch", 1, 80]
    psf = "AUDIO.PSF_COMPAT True AUDIO.NUM_MEL 257"
    words = [psf, "DATA.REVERSE_INPUT_CHANNEL True MODEL.CHANNELS_LAST True"]
    model = small_model(ARCHITECTURES["r2plus1d"], METHOD, *words)
    (tmp_path / "psf").mkdir()
    content, _ = check_program(model, tmp_path / "psf", format)
    assert content["audio"]["spectrogram"] == "LogFilterbank"
    assert content["video"]["channels"] == "BGR"


def test_an_audio_classifier(tmp_path):
    model = small_model(AUDIO_CLASSIFIER, class_names=["dog", "cat", "<b>"])
    content, path = check_program(model, tmp_path, "torch_export")
    assert content["class_names"] == ["dog", "cat", "<b>"]
    assert content["activation"] == "softmax"
    assert content["inputs"]["waveform"] == {
        "dtype": "float32",
        "shape": ["batch", 12000],
        "axes": ["batch", "samples"],
    }
    assert content["audio"]["sample_rate"] == 24000
    assert "video" not in content
    inside = {"description.json": ""}
    program = torch.export.load(path, extra_files=inside).module()
    assert json.loads(inside["description.json"]).items() <= content.items()
    batch = make_inputs(model, "raw", 1, seed=3, is_noise=False)
    scores = program(**batch)["logits"].softmax(dim=1)[0]
    wave = batch["waveform"][0].numpy()
    assert torch.allclose(scores, torch.from_numpy(model.embed(audio=wave).features["scores"]))


@pytest.mark.slow
def test_onnx_has_its_description_inside(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = small_model(AUDIO_CLASSIFIER)
    content, path = check_program(model, tmp_path, "onnx")
    loaded = onnx.load(path)
    inside = {entry.key: entry.value for entry in loaded.metadata_props}
    assert json.loads(inside["slowfast"]).items() <= content.items()
    assert loaded.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_head_that_was_not_trained_is_left_out():
    model = small_model(ARCHITECTURES["r2plus1d"], without=["scores"])
    inputs = make_inputs(model, "raw", 2, seed=0, is_noise=True)
    assert set(wrap_encoder(model, "raw")(**inputs)) == {"video"}
    model = small_model(ARCHITECTURES["r2plus1d"], "AUDIO.ENABLE True AUDIO.CLIP_SEC 0.5")
    assert model.modalities == {"video", "audio"}  # but nothing reads the audio
    assert set(make_inputs(model, "raw", 2, seed=0, is_noise=False)) == {"frames"}


def test_inputs_are_those_of_a_file():
    model = small_model(ARCHITECTURES["r2plus1d"], METHOD)
    raw = make_inputs(model, "raw", 2, seed=4, is_noise=False)
    assert raw["frames"].dtype == torch.uint8
    assert raw["frames"].shape == (2, 8, 32, 32, 3)
    assert raw["frames"].float().std() > 20
    t, y, x, c = np.ogrid[:16, :40, :56, :3]
    waves = np.sin(x / 5 + t / 3 + c + 4) + np.cos(y / 7 - t / 5 + 4 * c)
    pattern = np.clip(127 + 60 * waves, 0, 255).astype(np.uint8)
    assert torch.equal(raw["frames"][0], model.collate(frames=pattern)["video"][0, 0])
    normalized = make_inputs(model, "normalized", 2, seed=4, is_noise=False)
    with torch.no_grad():
        first = wrap_encoder(model, "raw")(**raw)
        other = wrap_encoder(model, "normalized")(**normalized)
        precise = wrap_encoder(model, "raw", for_onnx=True)(**raw)
    for name, value in first.items():
        assert torch.equal(value, other[name]), name
        assert (value - precise[name]).abs().max() < TOLERANCE / 2 * value.abs().max(), name


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("a.onnx", {"format": "torch_export"}, "a file of torch_export ends in .pt2"),
        ("a.pt2", {"format": "torch_export", "inputs": "half"}, "expected raw or normalized"),
    ],
)
def test_mistakes(path, options, message, tmp_path):
    with pytest.raises((UserError, ParameterError), match=message):
        export_program(small_model(AUDIO_CLASSIFIER), tmp_path / path, **options)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_ONNX_PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(UserError, match=r"needs no_such_package: pip .*slowfast-stica\[onnx\]"):
        export_program(small_model(AUDIO_CLASSIFIER), tmp_path / "a.onnx", format="onnx")


def test_a_model_that_cannot_be_exported(tmp_path, monkeypatch):
    model = small_model(AUDIO_CLASSIFIER)
    embed = model.encoder.embed

    def depends_on_values(batch):
        return embed(batch if batch["audio"].mean() > 0 else dict(batch))

    monkeypatch.setattr(model.encoder, "embed", depends_on_values)
    with pytest.raises(UserError, match=r"small cannot be exported: .*must not depend on values"):
        export_program(model, tmp_path / "a.pt2", format="torch_export")
    assert not list(tmp_path.iterdir())
