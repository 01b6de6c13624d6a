"""Configuration checks of MULTIGRID."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from slowfast.config import CfgNode, ConfigValueError, Problem, register_check
from slowfast.config.values import is_positive
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.views.sample_views import build_views
from slowfast.utils.multigrid import BatchShape, MultigridSchedule, at_shape

__all__ = ["check_multigrid"]

_SET_BY_RUNS = ("DEFAULT_B", "DEFAULT_T", "DEFAULT_S", "LONG_CYCLE_SAMPLING_RATE")


@register_check
def check_multigrid(cfg: CfgNode) -> list[Problem]:
    """Find invalid values of MULTIGRID, and settings that a cycle cannot follow.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems; none if the job does not train.
    """
    if not cfg.TRAIN.ENABLE:
        return []
    multigrid = cfg.MULTIGRID
    problems = [
        Problem(
            f"MULTIGRID.{name}",
            f"got {multigrid[name]}, expected 0: a run sets it itself. Start from the run's "
            "config.yaml, not from the configuration in a checkpoint.",
        )
        for name in _SET_BY_RUNS
        if multigrid[name]
    ]
    if not (multigrid.LONG_CYCLE or multigrid.SHORT_CYCLE):
        return problems
    problems += [Problem(key, message) for key, message in _wrong_values(cfg)]
    return problems or [Problem(key, message) for key, message in _wrong_schedule(cfg)]


def _wrong_values(cfg: CfgNode) -> Iterator[tuple[str, str]]:
    """Find values that are out of range, as (key, message)."""
    multigrid, solver = cfg.MULTIGRID, cfg.SOLVER
    for name in ("BN_BASE_SIZE", "EVAL_FREQ"):
        if multigrid[name] < 1:
            yield f"MULTIGRID.{name}", f"got {multigrid[name]}, expected at least 1."
    if not is_positive(multigrid.EPOCH_FACTOR):
        yield "MULTIGRID.EPOCH_FACTOR", f"got {multigrid.EPOCH_FACTOR}, expected more than 0."
    short = multigrid.SHORT_CYCLE_FACTORS
    if multigrid.SHORT_CYCLE and not (_is_list(short) and all(map(is_positive, short))):
        message = f"got {short}, expected factors on DATA.TRAIN_CROP_SIZE above 0, such as [0.5]."
        yield "MULTIGRID.SHORT_CYCLE_FACTORS", message
    if not multigrid.LONG_CYCLE:
        return
    factors = multigrid.LONG_CYCLE_FACTORS
    if not (_is_list(factors) and all(map(_is_pair, factors))):
        message = (
            f"got {factors}, expected pairs of factors on DATA.NUM_FRAMES and "
            "DATA.TRAIN_CROP_SIZE above 0, such as [[0.5, 0.5], [1, 1]]."
        )
        yield "MULTIGRID.LONG_CYCLE_FACTORS", message
    if not is_positive(solver.GAMMA):
        yield "SOLVER.GAMMA", f"got {solver.GAMMA}, expected more than 0."
    if solver.LR_POLICY != "steps_with_relative_lrs":
        message = (
            f"got {solver.LR_POLICY!r}, but MULTIGRID.LONG_CYCLE scales the learning rate of each "
            "stage with its batch; use 'steps_with_relative_lrs'."
        )
        yield "SOLVER.LR_POLICY", message
    steps = list(solver.STEPS)
    ascending = all(first < last for first, last in pairwise([*steps, solver.MAX_EPOCH]))
    if len(steps) < 2 or steps[0] != 0 or not ascending:
        message = (
            f"got {steps} with SOLVER.MAX_EPOCH {solver.MAX_EPOCH}; MULTIGRID.LONG_CYCLE needs at "
            "least two ascending epochs, the first 0, the last below SOLVER.MAX_EPOCH."
        )
        yield "SOLVER.STEPS", message


def _wrong_schedule(cfg: CfgNode) -> Iterator[tuple[str, str]]:
    """Find what makes the schedule, or one of its shapes, impossible, as (key, message)."""
    cycle = f"MULTIGRID.{'LONG' if cfg.MULTIGRID.LONG_CYCLE else 'SHORT'}_CYCLE"
    name = cfg.TRAIN.DATASET.lower()
    if name in DATASET_REGISTRY and DATASET_REGISTRY.capability(name, "audio_only"):
        yield cycle, f"got True, but the dataset {name} is audio-only and has no frames; use False."
        return
    schedule = MultigridSchedule.from_cfg(cfg)
    for factors in schedule.long_factors or [(1, 1)]:
        scale, clip = schedule.base_shape(*factors)
        shapes = {
            "LONG_CYCLE_FACTORS": [BatchShape(scale, clip)],
            "SHORT_CYCLE_FACTORS": schedule.short_cycle(scale, clip),
        }
        for key, of_key in shapes.items():
            for samples, (frames, side) in ((shape.scale, shape.clip or clip) for shape in of_key):
                if min(samples, frames, side) < 1:
                    message = (
                        f"got {cfg.MULTIGRID[key]}, which asks for {samples} times the batch in "
                        f"clips of {frames} frames and {side} pixels; all must be 1 or more."
                    )
                    yield f"MULTIGRID.{key}", message
                    return
    solver = schedule.resolve(cfg).SOLVER
    if solver.MAX_EPOCH < 1 or solver.WARMUP_EPOCHS >= solver.MAX_EPOCH:
        message = (
            f"got {cfg.MULTIGRID.EPOCH_FACTOR}, which leaves {solver.MAX_EPOCH} epochs; expected "
            f"more than SOLVER.WARMUP_EPOCHS ({solver.WARMUP_EPOCHS:g})."
        )
        yield "MULTIGRID.EPOCH_FACTOR", message
    yield from _wrong_views(cfg, cycle, schedule)


def _wrong_views(
    cfg: CfgNode, cycle: str, schedule: MultigridSchedule
) -> Iterator[tuple[str, str]]:
    """Find a shape for which the views cannot be built; at most one."""
    for clip in sorted(schedule.clip_shapes()):
        frames, side = clip
        of = f"{cycle} has clips of {frames} frames and {side} pixels"
        try:
            views = build_views(at_shape(cfg, clip)).shapes(frames)
        except ConfigValueError as error:
            yield error.problem.key, f"{of}: {error.problem.message}"
            return
        except (KeyError, ValueError):
            return  # reported by check_train_views
        if views["video"][1:] != clip:
            message = (
                f"got {cfg.DATA.TRAIN_VIEWS!r}, whose views do not follow DATA.NUM_FRAMES and "
                f"DATA.TRAIN_CROP_SIZE, but {of}; use 'clips'."
            )
            yield "DATA.TRAIN_VIEWS", message
            return


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0


def _is_pair(value: Any) -> bool:
    return _is_list(value) and len(value) == 2 and all(map(is_positive, value))
