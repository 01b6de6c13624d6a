"""What a training loop of one's own calls around its steps, under PySlowFast's names."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.config import CfgNode
from slowfast.utils.multigrid import MultigridSchedule

__all__ = [
    "EpochTimer",
    "check_nan_losses",
    "get_grad_norm_",
    "init_distributed_training",
    "is_checkpoint_epoch",
    "is_eval_epoch",
]


def is_eval_epoch(cfg: CfgNode, cur_epoch: int, multigrid_schedule: Any = None) -> bool:
    """Return whether to evaluate after an epoch, as the trainer does.

    Args:
        cfg: Read: TRAIN.EVAL_PERIOD, SOLVER.MAX_EPOCH, MULTIGRID.
        cur_epoch: The epoch, from 0.
        multigrid_schedule: Not needed: the schedule is that of ``cfg``.

    Returns:
        True after each period, and after the last epoch.
    """
    return _is_due(cfg, cur_epoch, cfg.TRAIN.EVAL_PERIOD)


def is_checkpoint_epoch(cfg: CfgNode, cur_epoch: int, multigrid_schedule: Any = None) -> bool:
    """Return whether to save after an epoch: ``is_eval_epoch`` with TRAIN.CHECKPOINT_PERIOD."""
    return _is_due(cfg, cur_epoch, cfg.TRAIN.CHECKPOINT_PERIOD)


def _is_due(cfg: CfgNode, cur_epoch: int, period: int) -> bool:
    if cur_epoch + 1 == int(cfg.SOLVER.MAX_EPOCH):
        return True
    return MultigridSchedule.from_cfg(cfg).is_due(cur_epoch + 1, period)


def check_nan_losses(loss: float | Tensor) -> None:
    """Stop at a loss that is not a number.

    Args:
        loss: A scalar.

    Raises:
        RuntimeError: If it is NaN.
    """
    if math.isnan(float(loss)):
        raise RuntimeError("the loss is NaN: lower SOLVER.BASE_LR, or clip gradients.")


def get_grad_norm_(parameters: Tensor | Iterable[Tensor], norm_type: float = 2.0) -> Tensor:
    """Return the norm of the gradients of parameters together; 0 if there is none.

    Args:
        parameters: A tensor, or several.
        norm_type: The order of the norm; infinity for the largest absolute value.

    Returns:
        A scalar.
    """
    several = [parameters] if isinstance(parameters, Tensor) else parameters
    gradients = [p.grad for p in several if p.grad is not None]
    return nn.utils.get_total_norm(gradients, norm_type) if gradients else torch.tensor(0.0)


def init_distributed_training(cfg: CfgNode) -> None:
    """Do nothing: ``launch_job`` has initialized the processes when it calls a script's function.

    Args:
        cfg: Not read.
    """


class EpochTimer:
    """Measures the wall-clock time of epochs, in seconds."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all epochs."""
        self.epoch_times: list[float] = []
        self._start = time.perf_counter()

    def epoch_tic(self) -> None:
        """Start an epoch."""
        self._start = time.perf_counter()

    def epoch_toc(self) -> None:
        """End the epoch."""
        self.epoch_times.append(time.perf_counter() - self._start)

    def last_epoch_time(self) -> float:
        """Return the time of the last epoch."""
        return self.epoch_times[-1]

    def avg_epoch_time(self) -> float:
        """Return the mean time of the epochs."""
        return statistics.mean(self.epoch_times)

    def median_epoch_time(self) -> float:
        """Return the median time of the epochs."""
        return statistics.median(self.epoch_times)
