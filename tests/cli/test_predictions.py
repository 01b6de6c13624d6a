"""Testing on videos without labels, with the class names of the training."""

import csv
import json

import numpy as np
import pytest
from helpers.media_files import Video, write_media
from helpers.synthetic import OVERRIDES

from slowfast.cli.run_net import main

CLIP = Video(ticks=range(12), size=(32, 24))


def write_clip(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    write_media(file, CLIP)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with class folders to train on, and the OUTPUT_DIR of a training."""
    root = tmp_path_factory.mktemp("predict")
    for split, names in {"train": "12", "val": "3"}.items():
        for kind in ("jump", "run"):
            for name in names:
                write_clip(root / "data" / split / kind / f"{name}.mp4")
    assert run(root, root / "data", "TEST.ENABLE", False) == 0
    return root


def run(root, data, *words):
    settings = {"TRAIN.DATASET": "kinetics", "TEST.DATASET": "kinetics"}
    fixed = [word for pair in settings.items() for word in pair]
    fixed += ["DATA.PATH_TO_DATA_DIR", data, "OUTPUT_DIR", root / "out", "MODEL.NUM_CLASSES", 2]
    fixed += ["TRAIN.BATCH_SIZE", 2, "SOLVER.MAX_EPOCH", 1, "TRAIN.EVAL_PERIOD", 0]
    config = root / "x.yaml"
    config.write_text("TASK: ''\n", encoding="utf-8")
    words = [str(word) for word in (*fixed, *words)]
    return main(["--cfg", str(config), *OVERRIDES.split(), *words])


def rows_of(root):
    with (root / "out" / "predictions.csv").open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize("kind", ["folder", "csv"])
def test_videos_without_labels(trained, kind):
    data = trained / kind
    for number in range(3):
        write_clip(data / "some" / f"{number}.mp4")
    if kind == "csv":
        lines = "".join(f"some/{number}.mp4\n" for number in range(3))
        (data / "test.csv").write_text(lines, encoding="utf-8")
    words = ("TRAIN.ENABLE", False, "TEST.SAVE_RESULTS_PATH", f"{kind}.npz")
    assert run(trained, data, *words) == 0
    rows = rows_of(trained)
    assert [row["path"] for row in rows] == [str(data / "some" / f"{n}.mp4") for n in range(3)]
    assert {row["label"] for row in rows} == {""}
    assert {row["name_1"] for row in rows} <= {"jump", "run"}
    with np.load(trained / "out" / f"{kind}.npz") as found:
        assert found["labels"].tolist() == [-1] * 3
        assert found["class_names"].tolist() == ["jump", "run"]
    results = json.loads((trained / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["details"]["classification"] == {"videos": 3, "labeled": 0}


def test_videos_with_labels(trained, capsys):
    assert run(trained, trained / "data", "TRAIN.ENABLE", False) == 0
    results = json.loads((trained / "out" / "results.json").read_text(encoding="utf-8"))
    assert list(results)[-1] == "records"
    details = results["details"]["classification"]
    assert details["videos"] == details["labeled"] == 2
    assert np.array(details["confusion_matrix"]).sum() == 2
    assert {row["label"] for row in rows_of(trained)} == {"0", "1"}
    assert run(trained, trained / "data", "TEST.SAVE_RESULTS_PATH", "preds.txt") == 2
    assert "TEST.SAVE_RESULTS_PATH: got 'preds.txt'" in capsys.readouterr().err
