"""The checkpoint with the best validation: kept in training, tested, kept over a resume."""

import json

import pytest
import torch
from helpers.synthetic import synthetic_cfg

from slowfast.cli import test_job, train_job
from slowfast.config import UserError
from slowfast.engine.best import BestCheckpoint
from slowfast.engine.checks import check_run
from slowfast.engine.records import Measurement, Result
from slowfast.models import script_checkpoints
from slowfast.utils.checkpoint import (
    best_checkpoint_path,
    find_last_checkpoint,
    read_checkpoint_file,
)

CPU = torch.device("cpu")


def best(tmp_path, metric="top1_acc"):
    return BestCheckpoint(tmp_path / "checkpoint_best.pyth", metric)


def test_only_an_improvement_counts(tmp_path):
    keeper = best(tmp_path)
    values = [0.2, None, 0.2, 0.5, 0.4, float("nan"), 0.5, 0.6]
    found = [keeper.improves({} if v is None else {"top1_acc": v, "x": 9.0}) for v in values]
    assert found == [True, False, False, True, False, False, False, True]
    assert keeper.describe() == {"metric": "top1_acc", "value": 0.6}
    assert not best(tmp_path).improves({"top1_acc": float("nan")})


def test_names_of_metrics(tmp_path):
    assert best(tmp_path, "top1_err").improves({"top1_acc": 0.0})
    assert best(tmp_path, "mAP").improves({"map": 0.1})
    with pytest.raises(UserError, match=r"BEST_METRIC: 'top2' is not measured .*: knn_top1, map"):
        best(tmp_path, "top2").improves({"map": 0.1, "knn_top1": 0.2})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("TEST.BEST_METRIC", "map"), "needs TEST.BEST_CHECKPOINT True"),
        (("TEST.BEST_CHECKPOINT", True, "TEST.CHECKPOINT_FILE_PATH", "x.pyth"), "one of the two"),
    ],
)
def test_settings_that_exclude_each_other(tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        synthetic_cfg(tmp_path, *words)
    assert check_run(synthetic_cfg(tmp_path, "TEST.BEST_CHECKPOINT", True)) == []


def scripted(monkeypatch, values):
    """Let validations give these values in turn."""
    remaining = list(values)

    def evaluate(evaluation, cfg, *, needs_model=None):
        result = Result(remaining.pop(0))
        fields = {"protocol": "classification", "split": "val", "manifest": None, "views": 1}
        return {"top1_acc": Measurement(result=result, uses_model=True, **fields)}

    monkeypatch.setattr(train_job, "evaluate", evaluate)


def run_cfg(tmp_path, *words):
    period = ("TRAIN.EVAL_PERIOD", 1, "TRAIN.CHECKPOINT_PERIOD", 1)
    return synthetic_cfg(tmp_path, "TEST.BEST_CHECKPOINT", True, *period, *words)


def test_the_best_epoch_is_kept_and_tested(tmp_path, monkeypatch):
    scripted(monkeypatch, [0.1, 0.9, 0.5])
    cfg = run_cfg(tmp_path, "SOLVER.MAX_EPOCH", 3)
    train_job.run_training(cfg, CPU)
    kept = read_checkpoint_file(best_checkpoint_path(tmp_path))
    assert kept["best"] == {"metric": "top1_acc", "value": 0.9}
    assert kept["epoch"] == 1
    assert find_last_checkpoint(tmp_path).name == "checkpoint_epoch_00003.pyth"
    second = read_checkpoint_file(tmp_path / "checkpoints" / "checkpoint_epoch_00002.pyth")
    for name, value in second["model_state"].items():
        assert torch.equal(kept["model_state"][name], value), name
    loaded = []
    real = script_checkpoints.load_weights
    monkeypatch.setattr(
        script_checkpoints,
        "load_weights",
        lambda model, path, **kw: loaded.append(path) or real(model, path, **kw),
    )
    test_job.run_test(cfg, CPU)
    assert loaded == [best_checkpoint_path(tmp_path)]
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["records"]


def test_a_resumed_run_keeps_the_best_so_far(tmp_path, monkeypatch):
    scripted(monkeypatch, [0.9])
    train_job.run_training(run_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1), CPU)
    scripted(monkeypatch, [0.5])
    train_job.run_training(run_cfg(tmp_path, "SOLVER.MAX_EPOCH", 2), CPU)
    assert read_checkpoint_file(best_checkpoint_path(tmp_path))["best"]["value"] == 0.9
    scripted(monkeypatch, [0.95])
    train_job.run_training(run_cfg(tmp_path, "SOLVER.MAX_EPOCH", 3), CPU)
    kept = read_checkpoint_file(best_checkpoint_path(tmp_path))
    assert (kept["best"]["value"], kept["epoch"]) == (0.95, 2)


def test_a_run_that_is_killed_in_a_validation_validates_again(tmp_path, monkeypatch):
    scripted(monkeypatch, [0.3])  # the second validation fails
    with pytest.raises(IndexError):
        train_job.run_training(run_cfg(tmp_path, "SOLVER.MAX_EPOCH", 3), CPU)
    assert find_last_checkpoint(tmp_path).name == "checkpoint_epoch_00001.pyth"
    scripted(monkeypatch, [0.9, 0.5])
    train_job.run_training(run_cfg(tmp_path, "SOLVER.MAX_EPOCH", 3), CPU)
    kept = read_checkpoint_file(best_checkpoint_path(tmp_path))
    assert (kept["best"]["value"], kept["epoch"]) == (0.9, 1)


def test_a_new_run_in_the_same_folder_starts_without_one(tmp_path, monkeypatch):
    scripted(monkeypatch, [0.9])
    train_job.run_training(run_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1), CPU)
    scripted(monkeypatch, [0.2])
    again = run_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1, "TRAIN.AUTO_RESUME", False)
    train_job.run_training(again, CPU)
    assert read_checkpoint_file(best_checkpoint_path(tmp_path))["best"]["value"] == 0.2


def test_another_metric_than_before_replaces_the_best(tmp_path, monkeypatch, caplog):
    scripted(monkeypatch, [0.9])
    train_job.run_training(run_cfg(tmp_path, "SOLVER.MAX_EPOCH", 1), CPU)
    keeper = BestCheckpoint(best_checkpoint_path(tmp_path), "map")
    keeper.resume()
    assert keeper.value is None
    assert "is the best by top1_acc, not by map" in caplog.text


def test_without_validation_or_a_best_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"BEST_CHECKPOINT: got True, but nothing is validated"):
        train_job.run_training(run_cfg(tmp_path, "TRAIN.EVAL_PERIOD", 0), CPU)
    with pytest.raises(UserError, match=r"BEST_CHECKPOINT: got True, but .*_best.pyth does not"):
        test_job.run_test(run_cfg(tmp_path), CPU)
