"""What TensorBoard gets after a test, read back from its events."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch
from helpers.synthetic import synthetic_cfg
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from slowfast.engine.evaluator import evaluate_views
from slowfast.engine.insight.job import InsightJob
from slowfast.engine.precision import Precision
from slowfast.models.build import construct_model
from slowfast.visualization.board import write_board

WORDS = ("TENSORBOARD.ENABLE", True, "TENSORBOARD.LOG_DIR", "board", "AUDIO.ENABLE", True)
WORDS += ("AUDIO.CLIP_SEC", 0.1, "TEST.NUM_ENSEMBLE_VIEWS", 1, "REPORT.EXAMPLES", 2)
ALL = ("TENSORBOARD.MODEL_VIS.ENABLE", True, "TENSORBOARD.MODEL_VIS.INPUT_VIDEO", True)


def board(folder, *words, names=("dark", "gray", "bright")):
    """Test a small classifier, write the board, and read it."""
    cfg = synthetic_cfg(folder, *WORDS, *words)
    torch.manual_seed(0)
    model, insight = construct_model(cfg), InsightJob(cfg)
    for test in evaluate_views(cfg, model, Precision(torch.device("cpu")), watch=insight.watch):
        insight.write(test, model, names)
    write_board(cfg, {"top1_acc": 0.25})
    events = EventAccumulator(str(folder / "board"), size_guidance={"images": 0})
    events.Reload()
    return events, json.loads((folder / "insight" / "insight.json").read_text(encoding="utf-8"))


def image(events, tag):
    (event,) = events.Images(tag)
    return cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)


def test_scalars_and_images(tmp_path):
    events, content = board(tmp_path, *ALL)
    scalars = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
    video = content["geometry"]["video"]
    assert scalars.pop("Test/top1_acc") == 0.25
    assert scalars == pytest.approx(
        {
            f"Insight/video/{name}": video[name]
            for name in ("uniformity", "effective_rank", "rankme")
        },
        rel=1e-5,
    )
    tags = events.Tags()["images"]
    clips = [tag for tag in tags if tag.startswith("Example clips/")]
    assert len(clips) == 2
    assert image(events, clips[0]).shape[1] == 896
    cams = [tag for tag in tags if tag.startswith("Grad-CAM/")]
    assert len(cams) == len(content["predictions"]) > 0
    assert image(events, cams[0]).shape == (2 * 112, 4 * 112, 3)
    assert {tag.split(": ")[1] for tag in cams} <= {"dark", "gray", "bright"}


def test_images_are_written_on_request(tmp_path):
    assert board(tmp_path)[0].Tags()["images"] == []
    words = ("TENSORBOARD.MODEL_VIS.ENABLE", True, "TENSORBOARD.MODEL_VIS.GRAD_CAM.ENABLE", False)
    assert board(tmp_path / "other", *words)[0].Tags()["images"] == []


def test_the_projector_has_names_that_are_one_row_each(tmp_path):
    board(tmp_path, names=("dark\tnight", "gray\n", "bright"))
    (folder,) = (tmp_path / "board").glob("*/video")
    with (folder / "metadata.tsv").open(encoding="utf-8", newline="") as text:
        header, *rows = csv.reader(text, delimiter="\t")
    assert header == ["name", "label"]
    assert len(rows) == 7
    assert {tuple(row) for row in rows} == {
        (f"row {row}", ("dark night", "gray", "bright")[row % 3]) for row in range(7)
    }
    assert (folder / "sprite.png").exists()
    vectors = np.loadtxt(folder / "tensors.tsv")
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(7), abs=1e-2)
    assert "video" in (tmp_path / "board" / "projector_config.pbtxt").read_text(encoding="utf-8")


def test_the_confusion_matrix_is_a_figure(tmp_path):
    pytest.importorskip("matplotlib")
    words = ("TENSORBOARD.CONFUSION_MATRIX.ENABLE", True)
    rows = "label \\ predicted,$a$,<b>,c\n$a$,3,0,0\n<b>,1,1,0\nc,0,0,0\n"
    (tmp_path / "confusion_matrix.csv").write_text(rows, encoding="utf-8")
    events, _ = board(tmp_path, *words, "TENSORBOARD.CONFUSION_MATRIX.FIGSIZE", [4, 3])
    assert image(events, "Confusion Matrix").shape == (300, 400, 3)


def test_without_insight(tmp_path):
    cfg = synthetic_cfg(tmp_path, *WORDS, "REPORT.INSIGHT", False)
    write_board(cfg, {"knn_top1": 0.5})
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert events.Tags()["scalars"] == ["Test/knn_top1"]
    assert events.Tags()["images"] == []
