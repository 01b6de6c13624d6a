"""A step that is not finite on one of two processes is skipped by both."""

import json

import pytest
import torch
from helpers.synthetic import synthetic_cfg

from slowfast.engine.trainer import Trainer
from slowfast.utils import distributed

pytestmark = pytest.mark.distributed


class BreaksOnce(Trainer):
    """Has frames that are not finite in its second step, in the second process."""

    def _forward_backward(self, batch, *, is_last):
        if self.steps_done == 1 and distributed.rank() == 1:
            batch = {**batch, "video": batch["video"] * torch.nan}
        return super()._forward_backward(batch, is_last=is_last)


def train(folder):
    words = ("LOG_PERIOD", 1, "SOLVER.MAX_EPOCH", 1, "NUM_CPU_PROCESSES", 2)
    trainer = BreaksOnce(synthetic_cfg(folder, *words), torch.device("cpu"))
    trainer.train()
    weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    assert weights.isfinite().all()
    one, other = distributed.gather_objects(weights)
    assert torch.equal(one, other)


def test_one_process_breaks_and_both_skip(two_ranks, tmp_path):
    two_ranks.run(train, tmp_path)
    (line,) = (tmp_path / "skipped_steps.log").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["step"] == 2
    assert len(json.loads(line)["rows"]) == 4  # of both processes
