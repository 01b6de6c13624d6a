"""A step that is not finite on one of two processes is skipped by both."""

import json

import pytest
import torch
from helpers.broken_steps import broken, differing
from helpers.synthetic import synthetic_cfg

from slowfast.engine.trainer import Trainer
from slowfast.utils import distributed
from slowfast.utils.checkpoint import unwrap_model
from slowfast.utils.logging import read_stats

pytestmark = pytest.mark.distributed


MOCO = (
    "PROJECTS ['contrastive'] MODEL.MODEL_NAME MoCo MODEL.LOSS_FUNC moco MOCO.QUEUE_LEN 5 "
    "DATA.TRAIN_CROP_NUM_SPATIAL 2 MODEL.POOLING avg SOLVER.BASE_LR 0.01"
).split()


def train(folder, words, steps):
    """Break the second step in the second process; return the state of both."""
    folder.mkdir(exist_ok=True)
    words = (*words, "NUM_CPU_PROCESSES", 2, "TRAIN.MAX_STEPS", steps)
    torch.manual_seed(0)
    with broken({1: torch.nan}, is_here=lambda: distributed.rank() == 1):
        trainer = Trainer(synthetic_cfg(folder, *words), torch.device("cpu"))
        trainer.train()
    states = distributed.gather_objects(unwrap_model(trainer.model).state_dict())
    local = ("running_mean", "running_var")  # DDP takes those of the first process
    replicated = [{k: v for k, v in s.items() if not k.endswith(local)} for s in states]
    assert differing(*replicated) == []
    assert all(value.isfinite().all() for state in states for value in state.values())
    return states


def check(folder, words):
    before, after = train(folder / "one", words, 1), train(folder / "two", words, 2)
    assert differing(before[0], after[0]) == differing(before[1], after[1]) == []
    whole = train(folder / "whole", words, 3)
    resumed = train(folder / "two", words, 3)  # after the skipped step
    assert differing(whole[0], resumed[0]) == []
    assert "queue.rows" in differing(after[0], whole[0]) or "MoCo" not in words


@pytest.mark.parametrize("words", [("LOG_PERIOD", 1), MOCO], ids=["classifier", "moco"])
def test_one_process_breaks_and_both_skip(two_ranks, tmp_path, words):
    """The rows of the first process are finite, but no queue takes them."""
    two_ranks.run(check, tmp_path, words)
    for name in ("whole", "two"):
        log = tmp_path / name / "skipped_steps.log"
        (line,) = log.read_text(encoding="utf-8").splitlines()
        assert json.loads(line)["step"] == 2
        assert len(json.loads(line)["rows"]) in (4, 8)  # of both processes
        records = read_stats(tmp_path / name)
        assert [r["step"] for r in records if r["_type"] == "train_iter"] == [1, 2, 3]
