"""What test_launch starts: spawned processes import it by name."""

import os
from pathlib import Path

import torch

from slowfast.config.problems import ConfigError, Problem, UserError
from slowfast.utils import distributed


class UnpicklableError(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.callback = lambda: None


def write_rank(folder: str) -> None:
    ranks = distributed.gather_no_gradient(torch.tensor([distributed.rank()]))
    path = Path(folder) / f"{distributed.rank()}_of_{distributed.world_size()}"
    path.write_text(str(ranks.tolist()))


def end_rank_one(number: int) -> None:
    """Send a signal to rank 1, for which rank 0 waits."""
    distributed.barrier()
    if distributed.rank() == 1:
        os.kill(os.getpid(), number)
    distributed.barrier()


def fail_on_rank_one(kind: str) -> None:
    if distributed.rank() == 0:
        distributed.barrier()  # the other never comes
        return
    errors = {
        "user": UserError("DATA.PATH: no such folder"),
        "config": ConfigError([Problem("TRAIN.BATCH_SIZE", "got 0")]),
        "value": ValueError("shapes disagree"),
        "unpicklable": UnpicklableError("held by a lambda"),
    }
    raise errors[kind]
