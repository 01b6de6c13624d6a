"""What a test writes about single videos: files, the summary, one file of scores, class names."""

import csv
import json
import pickle

import numpy as np
import pytest
import torch
from helpers.data_files import write
from helpers.probes import make_table

from slowfast.config import UserError, get_cfg
from slowfast.engine.class_names import choose_class_names, read_class_names
from slowfast.engine.predictions import Predictions, summarize, write_reports
from slowfast.engine.save_results import check_save_results, save_results

SCORES = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.1, 0.3], [0.2, 0.9, 0.0], [0.2, 0.3, 0.5]]
LABEL = [0, 1, 1, 0, -1]
NAMES = ["a", "b", "c"]


def predictions(label=LABEL, scores=SCORES, names=NAMES, **keys):
    table = make_table({"scores": torch.tensor(scores)}, torch.tensor(label))
    table.num_views[:] = 3
    return Predictions.create(table, lambda row: f"/v/x/{row % 2}/{row}.mp4", names, **keys)


def read(file):
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def test_the_files(tmp_path):
    write_reports(predictions(), tmp_path)
    rows = read(tmp_path / "predictions.csv")
    assert [row["path"] for row in rows][:2] == ["/v/x/0/0.mp4", "/v/x/1/1.mp4"]
    assert [row["label"] for row in rows] == ["0", "1", "1", "0", ""]
    assert [row["name_1"] for row in rows] == ["a", "b", "a", "b", "c"]
    assert [row["class_2"] for row in rows] == ["1", "0", "2", "0", "1"]
    assert [row["score_1"] for row in rows] == ["0.7", "0.8", "0.6", "0.9", "0.5"]
    assert read(tmp_path / "per_class.csv") == [
        {"class": "0", "name": "a", "videos": "2", "accuracy": "0.5"},
        {"class": "1", "name": "b", "videos": "2", "accuracy": "0.5"},
        {"class": "2", "name": "c", "videos": "0", "accuracy": ""},
    ]
    matrix = read(tmp_path / "confusion_matrix.csv")
    assert [[row[name] for name in NAMES] for row in matrix] == [
        *(["1", "1", "0"], ["1", "1", "0"], ["0", "0", "0"])
    ]
    wrong = read(tmp_path / "wrong_predictions.csv")
    assert [row["path"] for row in wrong] == ["/v/x/1/3.mp4", "/v/x/0/2.mp4"]  # surest first
    assert wrong[0]["label_name"] == "a"
    assert wrong[0]["predicted_name"] == "b"
    assert wrong[0]["label_score"] == "0.2"


def test_the_summary():
    summary = summarize(predictions())
    assert (summary["videos"], summary["labeled"], summary["num_wrong"]) == (5, 4, 2)
    assert summary["confusion_matrix"] == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert summary["per_class"]["b"] == {"videos": 2, "accuracy": 0.5}
    assert summary["wrong_predictions"][0]["path"] == "1/3.mp4"  # below the folder of all files
    assert summary["wrong_predictions"][0]["predicted_name"] == "b"


@pytest.mark.parametrize(
    ("classes", "has_matrix", "has_classes"), [(20, 1, 1), (21, 0, 1), (101, 0, 0)]
)
def test_the_size_of_the_summary_is_bounded(classes, has_matrix, has_classes):
    scores = torch.eye(classes).roll(1, dims=1).tolist()
    summary = summarize(predictions(list(range(classes)), scores, []))
    assert ("confusion_matrix" in summary) == has_matrix
    assert ("per_class" in summary) == has_classes
    assert summary["num_wrong"] == classes
    assert len(summary["wrong_predictions"]) == 20


def test_names_that_occur_twice_or_are_missing():
    found = predictions(names=["x", "x"])
    assert found.class_names == ["x", "x", "2"]
    assert list(summarize(found)["per_class"]) == ["x (0)", "x (1)", "2"]


def test_without_labels_there_are_predictions_only(tmp_path):
    write_reports(predictions(), tmp_path)
    summary = write_reports(predictions([-1] * 5), tmp_path)
    assert summary == {"videos": 5, "labeled": 0}
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.csv"]


def test_lists_of_classes(tmp_path):
    label = [[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [-1.0] * 3, [1.0, 0.0, 0.0]]
    summary = write_reports(predictions(label), tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["per_class.csv", "predictions.csv"]
    rows = read(tmp_path / "predictions.csv")
    assert [row["label"] for row in rows] == ["[0,1]", "[1]", "[]", "", "[0]"]
    assert summary["per_class"]["c"] == {"videos": 0, "average_precision": None}
    assert summary["per_class"]["b"] == {"videos": 2, "average_precision": pytest.approx(5 / 6)}


def test_an_npz(tmp_path):
    save_results(predictions(), tmp_path / "x" / "preds.npz")
    with np.load(tmp_path / "x" / "preds.npz", allow_pickle=False) as found:
        assert found["scores"].tolist() == pytest.approx(np.array(SCORES))
        assert found["predictions"].tolist() == [0, 1, 0, 1, 2]
        assert found["labels"].tolist() == LABEL
        assert found["paths"][3] == "/v/x/1/3.mp4"
        assert found["class_names"].tolist() == NAMES


def test_a_csv(tmp_path):
    save_results(predictions(), tmp_path / "preds.CSV")
    rows = read(tmp_path / "preds.CSV")
    assert float(rows[1]["b"]) == pytest.approx(0.8)
    assert (rows[1]["label"], rows[1]["prediction"], rows[4]["label"]) == ("1", "1", "")


@pytest.mark.parametrize(("ensemble", "factor"), [("sum", 3), ("max", 1)])
def test_pyslowfasts_pickle_holds_sums_over_views_and_labels(tmp_path, ensemble, factor):
    save_results(predictions(ensemble=ensemble), tmp_path / "preds.pkl")
    preds, labels = pickle.loads((tmp_path / "preds.pkl").read_bytes())
    assert torch.equal(preds, torch.tensor(SCORES) * factor)
    assert torch.equal(labels, torch.tensor(LABEL))


def problems(tmp_path, name, **keys):
    cfg = get_cfg()
    cfg.merge_from_list(["OUTPUT_DIR", str(tmp_path), "TEST.SAVE_RESULTS_PATH", name])
    for key, value in keys.items():
        cfg.TEST[key] = value
    return [str(problem) for problem in check_save_results(cfg)]


def test_a_file_that_cannot_be_written_is_found_before_the_test(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    for name in ("", "x.npz", "x.csv", "x.pkl", "a/b.pickle", str(tmp_path / "X.NPZ")):
        assert problems(tmp_path, name) == []
    assert "suffix '.np' is no known format" in problems(tmp_path, "x.np")[0]
    assert "Did you mean '.npz'" in problems(tmp_path, "x.np")[0]
    assert "suffix '' is no known format" in problems(tmp_path, "results")[0]
    assert "is a folder" in problems(tmp_path, "folder.npz")[0]
    (tmp_path / "file").touch()
    assert "file is a file; expected a folder" in problems(tmp_path, "file/a/x.npz")[0]
    (problem,) = problems(tmp_path, "x.npz", PROTOCOLS=["knn"])
    assert "does not have 'classification'" in problem
    assert problems(tmp_path, "results", ENABLE=False) == []


def test_class_names_of_a_file(tmp_path):
    file = tmp_path / "names.json"
    file.write_text(json.dumps({"run": 1, "jump": 0}), encoding="utf-8")
    assert read_class_names(str(file)) == ["jump", "run"]
    file.write_text('["x", "y"]', encoding="utf-8")
    assert read_class_names(str(file)) == ["x", "y"]
    assert read_class_names(str(write(tmp_path / "names.txt", "u", "v"))) == ["u", "v"]
    assert read_class_names("") == []
    for text in ('{"run": 1, "jump": 2}', '{"run": "a"}', "7", '{"run": 0, "jump": 0}'):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"CLASS_NAMES_PATH: .*expected an object"):
            read_class_names(str(file))
    file.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="not valid json"):
        read_class_names(str(file))
    with pytest.raises(UserError, match="no such file"):
        read_class_names(str(tmp_path / "none.json"))


def test_whose_class_names_count(caplog):
    assert choose_class_names(["f"], ["c"], []) == ["f"]
    assert choose_class_names([], ["c"], []) == ["c"]
    assert choose_class_names([], [], ["d"]) == ["d"]
    assert choose_class_names([], ["c", "d"], ["c", "d"]) == ["c", "d"]
    assert not caplog.text
    assert choose_class_names([], ["c", "d"], ["c", "e"]) == ["c", "d"]
    assert "class 1 is 'd' there, 'e' here" in caplog.text
