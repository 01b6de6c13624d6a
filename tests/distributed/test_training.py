"""Whole runs on several gloo processes: the same as on one, and resumable."""

import json

import pytest
import torch
from helpers.synthetic import OVERRIDES, synthetic_cfg

from slowfast.cli.run_net import main
from slowfast.engine.trainer import Trainer
from slowfast.utils import distributed
from slowfast.utils.checkpoint import find_last_checkpoint, read_checkpoint_file, unwrap_model
from slowfast.utils.logging import read_stats

pytestmark = pytest.mark.distributed

COMMON = (
    "PROJECTS ['helpers.synthetic'] MODEL.DROPOUT_RATE 0.0 BN.NORM_TYPE sync_batchnorm "
    "TEST.PROTOCOLS ['classification','class_retrieval'] SOLVER.BASE_LR 0.001"
)


def run(tmp_path, name, processes, *words):
    config = tmp_path / "x.yaml"
    config.write_text("TASK: ''\n", encoding="utf-8")
    overrides = [*OVERRIDES.split(), *COMMON.split(), *[str(word) for word in words]]
    out = tmp_path / name
    overrides += ["OUTPUT_DIR", str(out), "NUM_CPU_PROCESSES", str(processes)]
    assert main(["--cfg", str(config), *overrides]) == 0
    return out


def losses(out):
    return [s["loss"] for s in read_stats(out) if s["_type"] == "train_iter"]


def results(out):
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def model_state(out):
    return read_checkpoint_file(find_last_checkpoint(out))["model_state"]


def test_two_processes_train_as_one(tmp_path):
    one, two = run(tmp_path, "one", 1), run(tmp_path, "two", 2)
    # Small steps: rounding grows from step to step, faster the larger they are.
    assert losses(two) == pytest.approx(losses(one), abs=2e-4)
    for name, value in model_state(one).items():
        torch.testing.assert_close(model_state(two)[name], value, atol=1e-3, rtol=1e-3)


def test_evaluation_does_not_depend_on_the_number_of_processes(tmp_path):
    """Seven videos on three processes: none is dropped, none counts twice."""
    trained = run(tmp_path, "trained", 1)
    path = find_last_checkpoint(trained)
    words = ("TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", path, "PROBE.FEW_SHOT_K", "[1,3]")
    protocols = ["classification", "class_retrieval", "knn", "linear_probe", "few_shot"]
    words += ("TEST.PROTOCOLS", str(protocols))
    assert results(run(tmp_path, "three", 3, *words)) == results(run(tmp_path, "one", 1, *words))


def test_a_stopped_run_of_two_processes_goes_on_bit_for_bit(tmp_path):
    # Each rank has its own random state, and mixes its own batches.
    words = ("MODEL.DROPOUT_RATE", 0.5, "MIXUP.ENABLE", True)
    straight = run(tmp_path, "straight", 2, *words)
    run(tmp_path, "resumed", 2, *words, "TRAIN.MAX_STEPS", 4)
    resumed = run(tmp_path, "resumed", 2, *words)
    assert losses(resumed) == losses(straight)
    for name, value in model_state(straight).items():
        assert torch.equal(value, model_state(resumed)[name]), name


def _buffers_to_validate_with(folder, words):
    words = (*words, "NUM_CPU_PROCESSES", 2, "TRAIN.EVAL_PERIOD", 1, "SOLVER.MAX_EPOCH", 1)
    trainer, seen = Trainer(synthetic_cfg(folder, *words), torch.device("cpu")), []

    def after_epoch(epoch):
        named = unwrap_model(trainer.model).named_buffers()
        seen.append({name: buffer.clone() for name, buffer in named})
        return {}

    trainer.train(after_epoch)
    return distributed.gather_objects(seen[-1])


@pytest.mark.parametrize("precise", [False, True])
def test_all_processes_validate_with_the_statistics_of_the_checkpoint(two_ranks, tmp_path, precise):
    """Else a validation that is done after a resumption differs."""
    words = ("BN.USE_PRECISE_STATS", precise, "BN.NUM_BATCHES_PRECISE", 2)
    of_ranks = two_ranks.run(_buffers_to_validate_with, tmp_path, words)[0]
    saved = model_state(tmp_path)
    names = [name for name in saved if name.endswith("running_mean")]
    assert names
    for name in names:
        assert torch.equal(of_ranks[0][name], saved[name]), name
        assert torch.equal(of_ranks[1][name], saved[name]), name


def test_a_users_mistake_on_several_processes_is_one_message(tmp_path, capsys):
    config = tmp_path / "x.yaml"
    config.write_text("TASK: ''\n", encoding="utf-8")
    words = [*OVERRIDES.split(), *COMMON.split(), "OUTPUT_DIR", str(tmp_path / "o")]
    words += ["NUM_CPU_PROCESSES", "2", "TRAIN.BATCH_SIZE", "3"]
    assert main(["--cfg", str(config), *words]) == 2
    error = capsys.readouterr().err
    assert "TRAIN.BATCH_SIZE: 3 is not divisible by the 2 processes" in error
    assert "use 2 or 4" in error


MULTIGRID = (
    "MULTIGRID.LONG_CYCLE True MULTIGRID.LONG_CYCLE_FACTORS [[0.5,1],[1,1]] MULTIGRID.SHORT_CYCLE "
    "True MULTIGRID.SHORT_CYCLE_FACTORS [0.75] SOLVER.LR_POLICY steps_with_relative_lrs "
    "SOLVER.STEPS [0,2] SOLVER.LRS [1,1] SOLVER.MAX_EPOCH 3 MULTIGRID.BN_BASE_SIZE 2 "
    "TRAIN.BATCH_SIZE 2 TRAIN.EVAL_PERIOD 0 TEST.ENABLE False"
).split()


def test_two_processes_train_as_one_with_multigrid(tmp_path):
    """Shapes agree, and so do the rows of batch norm: 2 of a rank, a split, or 1 of each rank."""
    words = (*MULTIGRID, "SOLVER.BASE_LR", 1e-5)  # steps that do not amplify rounding
    one, two = run(tmp_path, "one", 1, *words), run(tmp_path, "two", 2, *words)
    assert len(losses(one)) == 12
    assert losses(two) == pytest.approx(losses(one), abs=1e-4)


def test_multigrid_on_two_processes_resumes_bit_for_bit(tmp_path):
    straight = run(tmp_path, "straight", 2, *MULTIGRID)
    for stop in (1, 5):
        run(tmp_path, "resumed", 2, *MULTIGRID, "TRAIN.MAX_STEPS", stop)
    resumed = run(tmp_path, "resumed", 2, *MULTIGRID)
    assert losses(resumed) == losses(straight)
    for name, value in model_state(straight).items():
        assert torch.equal(value, model_state(resumed)[name]), name
