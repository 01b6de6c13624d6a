"""The learning rate as a pure function of the fractional epoch.

Epoch 3.5 is the middle of the fourth epoch. The learning rate is set before every iteration, so a
resumed run needs no scheduler state.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from fvcore.common.config import CfgNode

from slowfast.config.problems import ConfigValueError
from slowfast.utils.placement import num_machines

__all__ = ["LR_POLICIES", "describe_wrong_steps", "get_lr_at_epoch", "lr_scale"]


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
    message = describe_wrong_steps(cfg)
    if message:
        raise ConfigValueError("SOLVER.STEPS", message)
    reached = sum(step <= epoch for step in cfg.SOLVER.STEPS)
    lrs = cfg.SOLVER.LRS
    return cfg.SOLVER.BASE_LR * lrs[min(max(reached, 1), len(lrs)) - 1]


def describe_wrong_steps(cfg: CfgNode) -> str:
    """Say what is wrong with SOLVER.STEPS and SOLVER.LRS.

    As in PySlowFast, learning rates without a step are not used, and a step at MAX_EPOCH, which
    training does not reach, needs no learning rate.

    Args:
        cfg: Read: SOLVER.

    Returns:
        The message; "" if they can be used.
    """
    steps, lrs = list(cfg.SOLVER.STEPS), list(cfg.SOLVER.LRS)
    reached = [step for step in steps if step < cfg.SOLVER.MAX_EPOCH]
    if steps and steps[0] == 0 and sorted(steps) == steps and 0 < len(reached) <= len(lrs):
        return ""
    return (
        f"got {steps} with SOLVER.LRS {lrs}; expected ascending epochs that begin with 0, and a "
        "learning rate for each of them."
    )


def _constant(cfg: CfgNode, epoch: float) -> float:
    """BASE_LR throughout."""
    return cfg.SOLVER.BASE_LR


LR_POLICIES: dict[str, Callable[[CfgNode, float], float]] = {
    "cosine": _cosine,
    "steps_with_relative_lrs": _steps_with_relative_lrs,
    "constant": _constant,
}


def lr_scale(cfg: CfgNode, global_batch: int | None) -> float:
    """Return the factor on every learning rate.

    It follows the linear scaling rule (Goyal et al., 2017): over machines with
    BASE_LR_SCALE_NUM_SHARDS, as in PySlowFast, or over the true batch with BASE_BATCH_SIZE.

    Args:
        cfg: Read: NUM_SHARDS, SOLVER.BASE_LR_SCALE_NUM_SHARDS, and SOLVER.BASE_BATCH_SIZE, the
            global batch that BASE_LR is meant for; 0: off.
        global_batch: Samples per optimizer step: all processes, machines and accumulated steps.

    Returns:
        The number of machines, or the true global batch over the one that BASE_LR is meant for; 1
        when scaling is off.

    Raises:
        ValueError: If BASE_BATCH_SIZE is on and the global batch is not given.
    """
    machines = num_machines(cfg.NUM_SHARDS) if cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS else 1
    base = cfg.SOLVER.BASE_BATCH_SIZE
    if not base:
        return float(machines)
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
    at their end. ``lr_scale`` scales BASE_LR, WARMUP_START_LR and COSINE_END_LR alike.

    Args:
        cfg: Read: SOLVER, NUM_SHARDS.
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
