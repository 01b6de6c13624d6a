"""What is written after a test: sizes, names, and that a failure only warns."""

import json

import numpy as np
import pytest
import torch
from helpers.probes import CLASSES, TEST, ProbeModel, probes_cfg
from helpers.synthetic import synthetic_cfg

from slowfast.engine.evaluator import Evaluation, evaluate_views
from slowfast.engine.insight import build, job
from slowfast.engine.insight.images import decode_jpeg
from slowfast.engine.insight.job import InsightJob
from slowfast.engine.precision import Precision
from slowfast.models.build import construct_model

CPU = Precision(torch.device("cpu"))
NAMES = [f"class {n}" for n in range(CLASSES + 1)]


def look(cfg, model, names=()):
    """Test a model and look into it; return insight.json and its folder."""
    insight = InsightJob(cfg)
    for test in evaluate_views(cfg, model, CPU, watch=insight.watch):
        insight.write(test, model, names)
    folder = build.Path(cfg.OUTPUT_DIR) / "insight"
    if not folder.exists():
        return None, folder
    return json.loads((folder / "insight.json").read_text(encoding="utf-8")), folder


def named_files(content):
    """Every file that insight.json names."""
    names = [content["map"]["sheet"], content["map"]["vectors"]] if content["map"] else []
    for entry in (*content["clips"], *content["predictions"]):
        names += [entry[key] for key in ("frames", "log_mel", "heat") if entry.get(key)]
    for found in content["galleries"]:
        for example in found["examples"]:
            positions = (example["query"], *example["neighbors"])
            names += [f"thumbnail_{position}.jpg" for position in positions]
    return set(names)


PROTOCOLS = ("TEST.PROTOCOLS", "['classification', 'cross_modal_retrieval']")


def test_a_joint_space(tmp_path):
    cfg = probes_cfg(tmp_path, *PROTOCOLS, "TEST.VIEWS_PER_CHUNK", 9)
    content, folder = look(cfg, ProbeModel(), NAMES)
    assert named_files(content) | {"insight.json"} == {path.name for path in folder.iterdir()}
    assert content["num_videos"] == content["num_shown"] == TEST
    assert content["num_views"] == 9
    assert content["class_names"] == NAMES
    videos = content["videos"]
    assert [f"test/{row}.mp4" for row in videos["row"]] == videos["name"]
    assert videos["label"] == [row % (CLASSES + 1) for row in videos["row"]]
    assert set(content["geometry"]) == {"video", "audio", "video_embedding", "audio_embedding"}
    for name, found in content["geometry"].items():
        assert found["videos"] == (TEST - 1 if name.startswith("audio") else TEST)
        assert 0 <= found["alignment"] <= 4
        assert found["uniformity"] < 0
        assert sum(found["singular_values"]) == pytest.approx(1, abs=1e-3)
    assert content["cross_modal"]["videos"] == TEST - 1  # one file has no audio
    galleries = {found["name"]: found for found in content["galleries"]}
    assert set(galleries) == {"nearest", "video_to_audio", "audio_to_video"}
    silent = videos["row"].index(4)
    for example in galleries["video_to_audio"]["examples"]:
        assert silent not in (example["query"], *example["neighbors"])
        assert 1 <= example["own_rank"] <= TEST - 1
    assert len(galleries["nearest"]["examples"]) == 4
    assert content["map"]["feature"] == "video"
    assert len(content["map"]["x"]) == len(content["map"]["y"]) == TEST
    assert content["map"]["columns"] == 4
    assert decode_jpeg((folder / "map.jpg").read_bytes()).shape == (4 * 48, 4 * 48, 3)
    vectors = np.load(folder / "map.npz")["vectors"].astype(float)
    assert vectors.shape == (TEST, 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(TEST), abs=1e-2)
    clip = content["clips"][0]
    assert decode_jpeg((folder / clip["frames"]).read_bytes()).shape == (112, 3 * 112, 3)
    assert clip["audio_sec"] == pytest.approx(0.1)
    assert content["predictions"] == []  # this model has no feature maps


def test_the_cross_modal_alignment_is_that_of_the_clips(tmp_path):
    cfg = probes_cfg(tmp_path, *PROTOCOLS)
    content, _ = look(cfg, ProbeModel())
    distances = []
    for batch in Evaluation(
        probes_cfg(tmp_path, "TEST.VIEWS_PER_CHUNK", 9), ProbeModel(), CPU
    ).batches("test"):
        out = ProbeModel().embed(batch)
        video, audio = out["video_embedding"], out["audio_embedding"].repeat_interleave(3, dim=1)
        squared = (video - audio).square().sum(dim=-1).mean(dim=1)
        distances += [float(d) for d, row in zip(squared, batch["index"], strict=True) if row != 4]
    expected = sum(distances) / len(distances)
    assert content["cross_modal"]["alignment"] == pytest.approx(expected, abs=1e-4)


def test_a_classifier(tmp_path):
    torch.manual_seed(0)
    cfg = synthetic_cfg(tmp_path, "REPORT.EXAMPLES", 2, "TEST.NUM_ENSEMBLE_VIEWS", 1)
    model = construct_model(cfg)
    content, folder = look(cfg, model, ["dark", "gray", "bright"])
    assert set(content["geometry"]) == {"video"}
    assert content["cross_modal"] is None
    assert [found["name"] for found in content["galleries"]] == ["nearest"]
    assert len(content["clips"]) == 2
    for clip in content["clips"]:
        assert clip["regions_of"] == "input"  # what training would crop
        assert [region["name"] for region in clip["regions"]] == ["video_0"]
        for low, high in clip["regions"][0]["extent"]:
            assert 0 <= low < high <= 1
        assert clip["attention"] is None
        assert clip["log_mel"] is None  # AUDIO.ENABLE is False
    shown = content["predictions"]
    assert {entry["is_right"] for entry in shown} == {True, False}
    assert len(shown) <= 4
    assert [entry["is_right"] for entry in shown] == sorted(entry["is_right"] for entry in shown)
    for entry in shown:
        assert (entry["label"] == entry["predicted"]) == entry["is_right"]
        assert entry["name"] == f"row {entry['row']}"
        assert decode_jpeg((folder / entry["heat"]).read_bytes()).shape == (112, 4 * 112, 3)
    assert model.training  # as before


def test_a_classifier_of_audio(tmp_path):
    """Spectrograms stand for frames; Grad-CAM is over them."""
    words = ("MODEL.MODEL_NAME", "AudioClassifier", "AUDIO.ARCH", "audio_resnet9")
    words += ("AUDIO.WIDTH", 4, "TEST.DATASET", "audio_probes", "TEST.NUM_SPATIAL_CROPS", 1)
    words += ("TEST.PROTOCOLS", "['classification']", "PROBE.FEATURE", "audio")
    cfg = probes_cfg(tmp_path, *words, "TEST.VIEWS_PER_CHUNK", 9, "AUDIO.CLIP_SEC", 0.4)
    torch.manual_seed(0)
    content, folder = look(cfg, construct_model(cfg))
    assert set(content["geometry"]) == {"audio"}
    (clip, *_) = content["clips"]
    assert (clip["frames"], clip["regions"], clip["attention"]) == (None, [], None)
    height = decode_jpeg((folder / clip["log_mel"]).read_bytes()).shape[0]
    assert height == 80
    for entry in content["predictions"]:
        assert entry["frames"] is None
        assert decode_jpeg((folder / entry["heat"]).read_bytes()).shape[0] == 80
    assert content["predictions"]


def test_files_that_cannot_be_found_again_are_left_out(tmp_path):
    """This dataset has two samples of each file, but does not say of which file they are."""
    content, _ = look(synthetic_cfg(tmp_path), construct_model(synthetic_cfg(tmp_path)))
    assert {clip["row"] for clip in content["clips"]} <= {0}
    assert content["num_shown"] == 7


def test_a_large_split_is_sampled(tmp_path):
    cfg = probes_cfg(tmp_path, *PROTOCOLS, "REPORT.MAX_VIDEOS", 6, "REPORT.EXAMPLES", 1)
    content, folder = look(cfg, ProbeModel())
    assert (content["num_videos"], content["num_shown"]) == (TEST, 6)
    assert len(content["map"]["x"]) == len(content["videos"]["name"]) == 6
    assert len(list(folder.iterdir())) < 30


@pytest.mark.parametrize("on", [True, False])
def test_an_earlier_test_is_replaced(tmp_path, on):
    (tmp_path / "insight").mkdir()
    (tmp_path / "insight" / "old.jpg").write_bytes(b"")
    content, folder = look(probes_cfg(tmp_path, *PROTOCOLS, "REPORT.INSIGHT", on), ProbeModel())
    assert (content is not None) == on
    assert not (folder / "old.jpg").exists()


def test_nothing_is_written_when_it_is_off_or_no_protocol_reads_features(tmp_path):
    cfg = probes_cfg(tmp_path, *PROTOCOLS, "REPORT.INSIGHT", False)
    assert InsightJob(cfg).watch is None
    assert look(cfg, ProbeModel())[0] is None
    cfg = probes_cfg(tmp_path, "TEST.PROTOCOLS", "[]")
    assert look(cfg, ProbeModel())[0] is None


@pytest.mark.parametrize("place", ["watch", "build"])
def test_a_failure_is_one_warning(tmp_path, monkeypatch, caplog, place):
    (tmp_path / "insight").mkdir()  # of an earlier test: it must not be shown

    def fail(*args):
        raise RuntimeError("out of luck")

    if place == "watch":
        monkeypatch.setattr(job.TestWatch, "__call__", fail)
    else:
        monkeypatch.setattr(job, "write_insight", fail)
    assert look(probes_cfg(tmp_path, *PROTOCOLS), ProbeModel())[0] is None
    (warning,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert "insight is not written (RuntimeError: out of luck)" in warning.getMessage()


def test_only_the_first_of_several_tests(tmp_path):
    cfg = probes_cfg(tmp_path, *PROTOCOLS, "TEST.NUM_TEMPORAL_CLIPS", "[3, 3, 1]")
    written = []
    insight = InsightJob(cfg)
    for test in evaluate_views(cfg, ProbeModel(), CPU, watch=insight.watch):
        insight.write(test, ProbeModel(), [])
        written.append((tmp_path / "insight" / "insight.json").stat().st_mtime_ns)
    assert len(written) == 2
    assert len(set(written)) == 1
