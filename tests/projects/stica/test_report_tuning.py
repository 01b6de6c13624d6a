"""report_tuning.py names the keys that differ, and the epoch of the tested checkpoint."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from slowfast.config import get_cfg

SCRIPT = Path(__file__).parents[3] / "projects/stica/report_tuning.py"


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("report_tuning", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_test(report, folder, epoch, value, **keys):
    """A test's folder with its results, and the checkpoint of a training with some keys."""
    folder.mkdir()
    cfg = get_cfg()
    cfg.SOLVER.MAX_EPOCH = 40
    for key, changed in keys.items():
        cfg.DATA[key] = changed
    checkpoint = folder / "checkpoint.pyth"
    torch.save({"cfg": cfg.dump(), "epoch": epoch - 1, "model_state": {}}, checkpoint)
    # The test's own augmentation does not count.
    (folder / "config.yaml").write_text(f"TEST:\n  CHECKPOINT_FILE_PATH: {checkpoint}\n")
    metrics = {name: {"after": value, "chance": 0.1} for name in report.METRICS}
    (folder / "results.json").write_text(json.dumps(metrics))
    return folder


def run(report, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["report", *map(str, words)])
    report.main()


def test_differences_epochs_and_metrics(report, tmp_path, monkeypatch, capsys):
    folders = [
        make_test(report, tmp_path / "a", 40, 0.5),
        make_test(report, tmp_path / "b", 20, 0.25, NUM_FRAMES=16),
        make_test(report, tmp_path / "c", 40, 0.75, PATH_TO_DATA_DIR="elsewhere"),
    ]
    run(report, monkeypatch, *folders, "--out", tmp_path / "out")
    printed = capsys.readouterr().out
    assert (tmp_path / "out.md").read_text() == printed
    lines = printed.splitlines()
    assert lines[2].startswith("| (as below) | 40 of 40 | 1 | 50.0 % |")
    assert lines[3].startswith("| `DATA.NUM_FRAMES 16` | 20 of 40 | 1 | 25.0 % |")
    assert lines[4].startswith("| (as below) | 40 of 40 | 1 | 75.0 % |")
    assert lines[-1] == "Where a key is not named: `DATA.NUM_FRAMES 8`."
    rows = json.loads((tmp_path / "out.json").read_text())
    assert rows[1]["keys"] == {"DATA.NUM_FRAMES": 16}
    assert rows[1]["metrics"]["linear_probe_top1"] == 0.25


def test_a_training_that_was_tested_at_its_end(report, tmp_path, monkeypatch, capsys):
    folder = make_test(report, tmp_path / "a", 40, 0.5)
    (folder / "config.yaml").write_text("TEST:\n  CHECKPOINT_FILE_PATH: ''\n")
    with pytest.raises(SystemExit):
        run(report, monkeypatch, folder, "--out", tmp_path / "out")
    assert "a holds no checkpoint, and its test names none" in capsys.readouterr().err

    (folder / "checkpoints").mkdir()
    (folder / "checkpoint.pyth").rename(folder / "checkpoints/checkpoint_epoch_00040.pyth")
    run(report, monkeypatch, folder, "--out", tmp_path / "out")
    assert "| (as below) | 40 of 40 | 1 | 50.0 % |" in capsys.readouterr().out


def test_a_folder_without_results_is_named(report, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(report, monkeypatch, tmp_path / "none", "--out", tmp_path / "out")
    assert "expected the folder of a test with results.json" in capsys.readouterr().err
