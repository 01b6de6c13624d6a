"""Several classes per video, from a csv to a mean average precision: training, test, resume."""

import csv
import json

import cv2
import numpy as np
import pytest
from helpers.synthetic import OVERRIDES

from slowfast.cli.run_net import main

NAMES = ["red", "green", "blue, dark", "moving"]
SIZES = {"train": 96, "val": 32, "test": 48}
SIDE, FRAMES = 24, 8
pytestmark = pytest.mark.slow


def write_video(folder, classes, rng):
    """Write a folder of frames: noise, a colored square per class, and a bar that moves or not."""
    folder.mkdir(parents=True)
    start = int(rng.integers(SIDE))
    for frame in range(FRAMES):
        image = rng.normal(90, 25, (SIDE, SIDE, 3))
        for label in set(classes) & {0, 1, 2}:
            row, column = 12 * (label // 2), 12 * (label % 2)
            image[row : row + 10, column : column + 10, label] += 120
        place = (start + 3 * frame * (3 in classes)) % (SIDE - 2)
        image[place : place + 2] = 255
        pixels = image.clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"img_{frame + 1:05d}.png"), pixels[..., ::-1])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("multi_label") / "data"
    rng = np.random.default_rng(0)
    for split, size in SIZES.items():
        lines = []
        for number in range(size):
            classes = np.flatnonzero(rng.random(4) < 0.4).tolist()
            write_video(root / split / f"{number:03d}", classes, rng)
            text = "|".join(NAMES[label] for label in classes) or "[]"
            lines.append([f"{split}/{number:03d}", text])
        with (root / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["path", "labels"], *lines])
    (root / "classes.txt").write_text("".join(f"{n}\n" for n in NAMES), encoding="utf-8")
    return root


def run(data, out, *words):
    config = out.parent / f"{out.name}.yaml"
    config.write_text("TASK: ''\n", encoding="utf-8")
    fixed = "TRAIN.DATASET kinetics TEST.DATASET kinetics MODEL.NUM_CLASSES 4 "
    fixed += "DATA.MULTI_LABEL True MODEL.LOSS_FUNC bce_logit MODEL.HEAD_ACT sigmoid "
    fixed += "DATA.NUM_FRAMES 4 DATA.SAMPLING_RATE 2 DATA.RANDOM_FLIP False "
    fixed += "DATA.TRAIN_CROP_SIZE 24 DATA.TEST_CROP_SIZE 24 DATA.TRAIN_JITTER_SCALES [24,24] "
    fixed += "TRAIN.BATCH_SIZE 8 MODEL.DROPOUT_RATE 0.0 RESNET.WIDTH_PER_GROUP 8 NUM_THREADS 1 "
    fixed += f"DATA.PATH_TO_DATA_DIR {data} OUTPUT_DIR {out}"
    words = [str(word) for word in (*fixed.split(), *words)]
    return main(["--cfg", str(config), *OVERRIDES.split(), *words])


def stats_of(out, kind):
    lines = (out / "json_stats.log").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line.removeprefix("json_stats: ")) for line in lines if kind in line]
    return [stats for stats in found if stats["_type"] == kind]


def results_of(out):
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def test_it_trains_to_a_high_mean_average_precision_as_scikit_learn_measures_it(data, tmp_path):
    metrics = pytest.importorskip("sklearn.metrics")
    out = tmp_path / "out"
    words = ("SOLVER.MAX_EPOCH", 10, "SOLVER.BASE_LR", 0.05, "TRAIN.EVAL_PERIOD", 2)
    saved = ("TEST.BEST_CHECKPOINT", True, "TEST.SAVE_RESULTS_PATH", "preds.npz")
    assert run(data, out, *words, *saved, "DATA.ENSEMBLE_METHOD", "max") == 0
    results = results_of(out)
    assert results["map"]["after"] > 0.9
    assert results["map"]["after"] > 2 * results["map"]["chance"]
    validated = [stats["map"] for stats in stats_of(out, "val_epoch")]
    assert len(validated) == 5
    assert "top1_err" not in stats_of(out, "train_epoch")[0]
    with np.load(out / "preds.npz") as found:
        scores, labels = found["scores"], found["labels"]
        assert found["class_names"].tolist() == NAMES
    assert labels.shape == (SIZES["test"], 4)
    for name, average in (("map", "macro"), ("map_micro", "micro")):
        expected = metrics.average_precision_score(labels, scores, average=average)
        assert results[name]["after"] == pytest.approx(expected, abs=1e-6)
    each = metrics.average_precision_score(labels, scores, average=None)
    per_class = results["details"]["classification"]["per_class"]
    found = [per_class[name]["average_precision"] for name in NAMES]
    assert found == pytest.approx(each.tolist(), abs=1e-6)


def test_a_run_that_is_stopped_resumes_exactly(data, tmp_path):
    words = ("SOLVER.MAX_EPOCH", 2, "DATA.BALANCED_SAMPLING", True, "TEST.ENABLE", False)
    words += ("SOLVER.BALANCED_CLASS_WEIGHTS", True, "TRAIN.EVAL_PERIOD", 0)
    assert run(data, tmp_path / "whole", *words) == 0
    assert run(data, tmp_path / "parts", *words, "TRAIN.MAX_STEPS", 15) == 0
    assert run(data, tmp_path / "parts", *words) == 0
    whole, parts = (stats_of(tmp_path / name, "train_iter") for name in ("whole", "parts"))
    assert len(whole) == 24
    losses = [[(s["step"], s["loss"]) for s in run] for run in (whole, parts)]
    # the first report of the resumed run is the median of fewer iterations; LOG_PERIOD is 1
    assert losses[0] == losses[1]


@pytest.mark.distributed
def test_two_processes_measure_what_one_does(data, tmp_path):
    words = ("TRAIN.ENABLE", False, "TEST.SAVE_RESULTS_PATH", "preds.csv", "TEST.BATCH_SIZE", 6)
    assert run(data, tmp_path / "w", "SOLVER.MAX_EPOCH", 1, "TEST.ENABLE", False) == 0
    (weights,) = (tmp_path / "w" / "checkpoints").glob("*.pyth")
    words += ("TEST.CHECKPOINT_FILE_PATH", weights)
    found = []
    for processes in (1, 2):
        out = tmp_path / f"p{processes}"
        assert run(data, out, *words, "NUM_CPU_PROCESSES", processes) == 0
        found.append([(out / n).read_text("utf-8") for n in ("predictions.csv", "preds.csv")])
        found[-1].append(results_of(out)["map"])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("MODEL.LOSS_FUNC", "cross_entropy"), "MODEL.LOSS_FUNC: got 'cross_entropy'"),
        (("MODEL.HEAD_ACT", "softmax"), "MODEL.HEAD_ACT: got 'softmax'"),
        (("DATA.MULTI_LABEL", False), "set DATA.MULTI_LABEL True"),
        (("MODEL.NUM_CLASSES", 3), "MODEL.NUM_CLASSES: got 3"),
        (("TEST.PROTOCOLS", "['knn']"), "'knn' needs one label per video"),
        (("DATA.ENSEMBLE_METHOD", "mean"), "DATA.ENSEMBLE_METHOD: got 'mean'"),
        (("DATA.TRAIN_VIDEOS_PER_CLASS", 2), "DATA.TRAIN_VIDEOS_PER_CLASS: got 2"),
    ],
)
def test_mistakes_are_one_message(data, tmp_path, words, message, capsys):
    assert run(data, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
