"""The learning rate as a pure function of the fractional epoch.

Epoch 3.5 is the middle of the fourth epoch. The learning rate is set before every iteration, so a
resumed run needs no scheduler state.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from fvcore.common.config import CfgNode

from slowfast.config.problems import ConfigValueError

__all__ = ["LR_POLICIES", "get_lr_at_epoch", "lr_scale"]


def _cosine(cfg: CfgNode, epoch: float) -> float:
    """Half a cosine from BASE_LR to COSINE_END_LR (Loshchilov and Hutter, 2017)."""
    solver = cfg.SOLVER
    start = solver.WARMUP_EPOCHS if solver.COSINE_AFTER_WARMUP else 0.0
    span = solver.MAX_EPOCH - start
    progress = min(1.0, (epoch - start) / span) if span > 0 else 1.0
    height = (solver.BASE_LR - solver.COSINE_END_LR) * 0.5
    return solver.COSINE_END_LR + height * (math.cos(math.pi * progress) + 1.0)


def _steps_with_relative_lrs(cfg: CfgNode, epoch: float) -> float:
    """BASE_LR times the entry of LRS for the current step."""
    steps, lrs = cfg.SOLVER.STEPS, cfg.SOLVER.LRS
    if not steps or len(steps) != len(lrs) or steps[0] != 0 or sorted(steps) != list(steps):
        raise ConfigValueError(
            "SOLVER.STEPS",
            f"got {list(steps)} with SOLVER.LRS {list(lrs)}; expected as many "
            "steps as learning rates, ascending epochs that begin with 0.",
        )
    reached = sum(step <= epoch for step in steps)
    return cfg.SOLVER.BASE_LR * lrs[max(reached, 1) - 1]


def _constant(cfg: CfgNode, epoch: float) -> float:
    """BASE_LR throughout."""
    return cfg.SOLVER.BASE_LR


LR_POLICIES: dict[str, Callable[[CfgNode, float], float]] = {
    "cosine": _cosine,
    "steps_with_relative_lrs": _steps_with_relative_lrs,
    "constant": _constant,
}


def lr_scale(cfg: CfgNode, global_batch: int | None) -> float:
    """Return the factor on every learning rate, from the linear scaling rule (Goyal et al., 2017).

    Args:
        cfg: Read: SOLVER.BASE_BATCH_SIZE, the global batch that BASE_LR is meant for; 0: off.
        global_batch: Samples per optimizer step: all processes, machines and accumulated steps.

    Returns:
        The true global batch over the one that BASE_LR is meant for; 1 when scaling is off.

    Raises:
        ValueError: If scaling is on and the global batch is not given.
    """
    base = cfg.SOLVER.BASE_BATCH_SIZE
    if not base:
        return 1.0
    if global_batch is None or base < 0:
        raise ConfigValueError(
            "SOLVER.BASE_BATCH_SIZE",
            f"got {base} and a global batch of {global_batch}; expected "
            "two positive numbers. Set it to 0 to use SOLVER.BASE_LR unscaled.",
        )
    return global_batch / base


def get_lr_at_epoch(cfg: CfgNode, epoch: float, global_batch: int | None = None) -> float:
    """Compute the learning rate (PySlowFast's name for it).

    In the first SOLVER.WARMUP_EPOCHS it rises linearly from WARMUP_START_LR to what the policy says
    at their end. The batch scales every learning rate: BASE_LR, WARMUP_START_LR and COSINE_END_LR.

    Args:
        cfg: Read: SOLVER.
        epoch: Epochs done, fractional, >= 0.
        global_batch: Samples per optimizer step; needed when SOLVER.BASE_BATCH_SIZE is set.

    Returns:
        The learning rate.

    Raises:
        ValueError: If the policy is unknown or its keys contradict each other.
    """
    solver = cfg.SOLVER
    if solver.LR_POLICY not in LR_POLICIES:
        raise ConfigValueError(
            "SOLVER.LR_POLICY",
            f"got '{solver.LR_POLICY}', expected one of {', '.join(LR_POLICIES)}.",
        )
    policy = LR_POLICIES[solver.LR_POLICY]
    if epoch < solver.WARMUP_EPOCHS:
        done = epoch / solver.WARMUP_EPOCHS
        target = policy(cfg, solver.WARMUP_EPOCHS)
        lr = solver.WARMUP_START_LR + done * (target - solver.WARMUP_START_LR)
    else:
        lr = policy(cfg, epoch)
    return lr * lr_scale(cfg, global_batch)
