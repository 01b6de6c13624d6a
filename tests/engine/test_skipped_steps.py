"""Steps whose loss or gradient is not finite change nothing, and many of them end a run."""

import copy
import json

import pytest
import torch
from engine.test_trainer import CPU, assert_same_weights, run
from helpers.broken_steps import broken, differing
from helpers.synthetic import synthetic_cfg

from slowfast.config import UserError
from slowfast.engine.precision import clear_gradients_unless
from slowfast.engine.skipped_steps import RunningStatistics
from slowfast.engine.trainer import Trainer
from slowfast.utils import checkpoint as cu
from slowfast.utils.logging import read_stats

VALUES = [float("nan"), float("inf"), float("-inf")]


@pytest.fixture
def broken_steps():
    """Steps, from 0, whose frames are replaced by a value that is not finite."""
    steps = {}
    with broken(steps):
        yield steps


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("fused", [False, True])
def test_a_broken_step_changes_neither_weights_nor_statistics(
    tmp_path, broken_steps, caplog, value, fused
):
    words = ("SOLVER.FUSED", fused, "LOG_PERIOD", 1)
    before = run(tmp_path / "before", *words, until=2)
    broken_steps[2] = value
    after = run(tmp_path / "after", *words, until=3)
    assert any(name.endswith("running_mean") for name, _ in after.model.named_buffers())
    assert differing(before.model.state_dict(), after.model.state_dict()) == []
    assert "step 3 is skipped, as loss is nan, grad_norm is nan (1 in a row" in caplog.text
    (line,) = (tmp_path / "after" / "skipped_steps.log").read_text().splitlines()
    assert json.loads(line)["step"] == 3
    assert len(json.loads(line)["rows"]) == after.cfg.TRAIN.BATCH_SIZE
    assert any(stats.get("skipped_steps") == 1 for stats in read_stats(tmp_path / "after"))
    assert not (tmp_path / "before" / "skipped_steps.log").exists()


def test_training_continues_after_a_broken_step(tmp_path, broken_steps):
    broken_steps[1] = float("nan")
    trainer = run(tmp_path, "LOG_PERIOD", 1)
    assert trainer.is_finished
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    stats = read_stats(tmp_path)
    assert next(s for s in stats if "skipped_steps" in s)["step"] == 2
    assert None not in [s["loss"] for s in stats]  # written for what is not finite


def test_a_resumed_run_skips_the_same_step(tmp_path, broken_steps):
    broken_steps[3] = float("nan")
    whole = run(tmp_path / "whole")
    for steps in (2, 4):  # before and after the broken one
        run(tmp_path / "parts", until=steps)
    assert_same_weights(run(tmp_path / "parts", seed=999), whole)


def test_too_many_in_a_row_stop_the_run_and_its_checkpoints_stay_usable(tmp_path, broken_steps):
    words = ("LOG_PERIOD", 1, "TRAIN.MAX_SKIPPED_STEPS", 1, "TRAIN.CHECKPOINT_PERIOD_ITERS", 1)
    broken_steps.update({step: float("nan") for step in (3, 4, 5)})
    with pytest.raises(UserError, match=r"the loss is nan in epoch 2 .*: 2 step\(s\) in a row"):
        run(tmp_path, *words)
    state = cu.read_checkpoint_file(tmp_path / "skipped_steps_state.pyth")
    assert all(v.isfinite().all() for v in state["model_state"].values())
    assert "optimizer_state" in state
    broken_steps.clear()  # as if the advice had helped
    resumed = Trainer(synthetic_cfg(tmp_path, *words), CPU)
    assert resumed.steps_done >= 3
    resumed.train()
    assert resumed.is_finished


def test_an_epoch_without_a_finite_step_stops_the_run(tmp_path, broken_steps):
    broken_steps.update(dict.fromkeys(range(3), float("nan")))  # fewer than are allowed in a row
    with pytest.raises(UserError, match=r"the loss is nan in epoch 1 .*: 3 step\(s\) in a row"):
        run(tmp_path)


def test_statistics_are_restored_on_the_device_of_the_model():
    norms = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)).train()
    statistics = RunningStatistics(norms)
    for stepped in (True, False, torch.tensor(True), torch.tensor(False)):
        statistics.keep()
        before = copy.deepcopy(norms.state_dict())
        norms(torch.rand(4, 2) + 1)
        now = copy.deepcopy(norms.state_dict())
        statistics.restore_unless(stepped)
        assert differing(now if stepped else before, norms.state_dict()) == []
        assert len(differing(now, before)) == 6


@pytest.mark.parametrize("is_finite", [True, False])
def test_gradients_are_cleared_on_the_device(is_finite):
    layer = torch.nn.Linear(2, 1)
    value = 1.0 if is_finite else float("nan")
    layer.weight.grad = torch.full_like(layer.weight, value)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    clear_gradients_unless(torch.tensor(is_finite), optimizer)
    assert torch.equal(layer.weight.grad, torch.full_like(layer.weight, float(is_finite)))
    assert layer.bias.grad is None
