"""Insight of runs on the demo set: a pretrained model, and a classifier that is trained."""

import json

import pytest

from slowfast.cli.main import main as slowfast
from slowfast.cli.run_net import main

pytestmark = pytest.mark.slow


def run(cfg, folder, *words):
    """Run a YAML on the demo set; return the content of insight.json."""
    fixed = ["OUTPUT_DIR", folder, "NUM_GPUS", 0, "DATA_LOADER.NUM_WORKERS", 0]
    words = [str(word) for word in (*fixed, *words)]
    assert main(["--cfg", cfg, *words]) == 0
    return read(folder)


def read(folder):
    return json.loads((folder / "insight" / "insight.json").read_text(encoding="utf-8"))


def test_stica(tmp_path):
    words = ("TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", "zoo://stica-demo")
    words += ("TEST.PROTOCOLS", "['cross_modal_retrieval']", "TEST.NUM_ENSEMBLE_VIEWS", 2)
    content = run("StiCA/R2plus1D_pretrain.yaml", tmp_path, *words)
    assert (content["num_videos"], content["num_views"]) == (200, 2)
    for name in ("video", "video_embedding"):
        assert content["geometry"][name]["effective_rank"] > 3
        assert content["geometry"][name]["alignment"] == 0  # a clip spans the file
        assert content["geometry"][name]["uniformity"] < -1
    assert content["geometry"]["audio"]["alignment"] == 0
    assert content["cross_modal"]["alignment"] < 1  # of unrelated pairs it is about 2
    nearest = content["galleries"][0]
    labels = content["videos"]["label"]
    same = [
        labels[example["query"]] == labels[other]
        for example in nearest["examples"]
        for other in example["neighbors"]
    ]
    assert sum(same) / len(same) > 0.5  # of ten classes
    for clip in content["clips"]:
        assert clip["regions_of"] == "feature map"
        kinds = {region["name"].rsplit("_", 1)[0] for region in clip["regions"]}
        assert kinds == {"space_large", "space_small", "time_large", "time_small"}
        assert len(clip["attention"]) == 4  # heads
        for head in clip["attention"]:
            assert len(head) == 2  # time steps of the map
            assert sum(head) == pytest.approx(1, abs=1e-3)
        assert clip["log_mel"]
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(html) < 2_000_000
    assert "Example clips" in html
    assert "Audio by video" in html


def test_a_classifier_and_its_report_afterward(tmp_path):
    words = ("TRAIN.CHECKPOINT_FILE_PATH", "zoo://stica-demo", "TRAIN.MAX_STEPS", 12)
    content = run("StiCA/attentive_UCF101.yaml", tmp_path, *words, "TRAIN.EVAL_PERIOD", 0)
    shown = content["predictions"]
    assert {entry["is_right"] for entry in shown} == {True, False}
    assert len(shown) >= 4
    assert all((tmp_path / "insight" / entry["heat"]).exists() for entry in shown)
    assert len(content["clips"][0]["attention"]) == 8
    (tmp_path / "insight" / "insight.json").unlink()
    for path in (tmp_path / "insight").iterdir():
        path.unlink()
    (tmp_path / "insight").rmdir()
    assert slowfast(["report", str(tmp_path), "--no-insight"]) == 0
    assert not (tmp_path / "insight").exists()
    assert slowfast(["report", str(tmp_path)]) == 0
    assert read(tmp_path) == content
    assert "Grad-CAM" in (tmp_path / "report.html").read_text(encoding="utf-8")
