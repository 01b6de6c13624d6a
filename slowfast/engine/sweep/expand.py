"""The runs of a sweep: one for each stage, variant, seed and fold, shared where all is equal."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from slowfast.config.problems import ConfigError, Problem
from slowfast.engine.sweep.schema import (
    CFG,
    PLACEHOLDERS,
    Axis,
    Overrides,
    Stage,
    Sweep,
    variant_name,
)
from slowfast.utils.registry import nearest

__all__ = ["SweepRun", "expand", "to_cli_args"]

_PARTS = ("checkpoint", "dir")
"""What can be asked of an earlier stage, as in ``{pretrain.checkpoint}``. Both are the folder of
its run: where a checkpoint is expected, a folder stands for the newest one in it."""

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[a-z]+)?)\}")


@dataclass(frozen=True)
class SweepRun:
    """One command: a stage at one variant, seed and fold.

    Attributes:
        name: Such as ``finetune/pooling=avg/seed_1/fold_2``; also its folder below ``output_dir``.
            Variants whose commands are the same share a name: it is run once.
        folder: Its OUTPUT_DIR.
        stage: Name of the stage.
        variant: Axis -> label, of the axes that make a difference to this stage.
        seed: RNG_SEED, or None where it is not varied.
        fold: DATA.FOLD, or None where it is not varied.
        cfg: The run config.
        overrides: Those of its command; placeholders of folders are not filled.
        argv: Arguments of ``run_net``, with all placeholders filled.
        needs: Stage -> name of the run of it whose results this one uses.
    """

    name: str
    folder: Path
    stage: str
    variant: Mapping[str, str]
    seed: int | None
    fold: int | None
    cfg: str
    overrides: Overrides
    argv: Sequence[str]
    needs: Mapping[str, str] = field(default_factory=dict)


class _Reach(NamedTuple):
    """Over what the runs of a stage vary."""

    axes: list[Axis]
    seeds: Sequence[int | None]
    folds: Sequence[int | None]

    def run_name(
        self, stage: str, variant: Mapping[str, str], seed: int | None, fold: int | None
    ) -> str:
        parts = [stage, variant_name({axis.name: variant[axis.name] for axis in self.axes})]
        parts.append("" if self.seeds == (None,) else f"seed_{seed}")
        parts.append("" if self.folds == (None,) else f"fold_{fold}")
        return "/".join(part for part in parts if part) or "run"


def expand(sweep: Sweep) -> list[SweepRun]:
    """List the runs of a sweep.

    A stage varies over the axes that set one of its keys, over its own seeds and folds, and over
    whatever the stages vary over whose results it uses. So a pre-training that knows nothing of
    folds is run once for all of them.

    Returns:
        The runs. What a run needs precedes it; the first seed of all stages and variants
        precedes the second, so that comparisons are complete early.

    Raises:
        ConfigError: If a placeholder is unknown, or stages do not fit together.
    """
    problems = list(dict.fromkeys(_check_placeholders(sweep)))
    reaches: dict[str, _Reach] = {}
    for stage in sweep.stages if not problems else ():
        reaches[stage.name] = _find_reach(sweep, stage, reaches, problems)
    if problems:
        raise ConfigError(problems, sweep.source)
    shared: dict[str, str] = {}
    runs = [run for stage in sweep.stages for run in _stage_runs(sweep, stage, reaches, shared)]
    # A run needs only runs of its own seed, or of no seed: sorting by seed keeps those before it.
    seeds = dict.fromkeys(run.seed for run in runs if run.seed is not None)
    order = {seed: number for number, seed in enumerate(seeds)}
    return sorted(runs, key=lambda run: 0 if run.seed is None else order[run.seed])


def _all_overrides(sweep: Sweep, stage: Stage) -> Iterator[Overrides]:
    yield stage.overrides
    for axis in sweep.axes:
        yield from (bundle.get(stage.name, {}) for bundle in axis.bundles.values())


def _referenced_stages(overrides: Overrides) -> list[str]:
    names = _PLACEHOLDER.findall(str(list(overrides.values())))
    return list(dict.fromkeys(name.partition(".")[0] for name in names if "." in name))


def _check_placeholders(sweep: Sweep) -> Iterator[Problem]:
    known = list(PLACEHOLDERS)
    for stage in sweep.stages:
        for overrides in _all_overrides(sweep, stage):
            for key, value in overrides.items():
                for name in _PLACEHOLDER.findall(str(value)):
                    if name not in known:
                        message = f"no placeholder '{{{name}}}' here. {nearest(name, known)}"
                        yield Problem(key, message)
        known += [f"{stage.name}.{part}" for part in _PARTS]


def _interpolate(value: Any, texts: Mapping[str, Any]) -> Any:
    """Fill the placeholders in all strings of a mapping or list; unknown ones stay."""
    if isinstance(value, dict):
        return {key: _interpolate(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolate(item, texts) for item in value]
    if not isinstance(value, str):
        return value
    return _PLACEHOLDER.sub(lambda match: str(texts.get(match[1], match[0])), value)


def _find_reach(
    sweep: Sweep, stage: Stage, reaches: Mapping[str, _Reach], problems: list[Problem]
) -> _Reach:
    referenced = [name for o in _all_overrides(sweep, stage) for name in _referenced_stages(o)]
    sources = {name: reaches[name] for name in referenced}
    inherited = [axis for source in sources.values() for axis in source.axes]
    axes = [axis for axis in sweep.axes if axis.keys(stage.name) or axis in inherited]
    numbers: dict[str, Sequence[int | None]] = {}
    for what in ("seeds", "folds"):
        numbers[what] = getattr(stage, what) or (None,)
        for name, source in sources.items():
            theirs = getattr(source, what)
            if theirs == (None,):
                continue
            if numbers[what] == (None,):
                numbers[what] = theirs
            missing = [n for n in numbers[what] if n not in theirs]
            if missing:
                message = f"uses {name}, which has no {what} {missing}."
                problems.append(Problem(f"stages.{stage.name}.{what}", message))
    return _Reach(axes, numbers["seeds"], numbers["folds"])


def _stage_runs(
    sweep: Sweep, stage: Stage, reaches: Mapping[str, _Reach], shared: dict[str, str]
) -> Iterator[SweepRun]:
    """Yield the runs of a stage; ``shared`` holds the names of equal commands, and grows."""
    reach = reaches[stage.name]
    labels = itertools.product(*(axis.bundles for axis in reach.axes))
    for seed, fold, chosen in itertools.product(reach.seeds, reach.folds, labels):
        variant = {axis.name: label for axis, label in zip(reach.axes, chosen, strict=True)}
        overrides = dict(stage.overrides)
        for axis in reach.axes:
            overrides |= axis.bundles[variant[axis.name]].get(stage.name, {})
        overrides |= {"RNG_SEED": seed} if stage.seeds else {}
        overrides |= {"DATA.FOLD": fold} if stage.folds else {}
        cfg = str(overrides.pop(CFG, stage.cfg))
        overrides = _interpolate(overrides, {"seed": seed, "fold": fold})
        sources = _referenced_stages(overrides)
        needs = {s: shared[reaches[s].run_name(s, variant, seed, fold)] for s in sources}
        # Seed and fold: equal commands of two seeds are measurements that repeat each other, and
        # must not turn into one that stands for both.
        own_name = reach.run_name(stage.name, variant, seed, fold)
        command = repr((stage.name, seed, fold, cfg, overrides, needs))
        name = shared[own_name] = shared.setdefault(command, own_name)
        folder = sweep.output_dir / name
        texts = {"output_dir": sweep.output_dir, "stage_dir": folder}
        texts |= {f"{s}.{p}": sweep.output_dir / need for s, need in needs.items() for p in _PARTS}
        filled = {**_interpolate(overrides, texts), "OUTPUT_DIR": folder}
        argv = ["--cfg", cfg, "--opts", *to_cli_args(filled)]
        yield SweepRun(name, folder, stage.name, variant, seed, fold, cfg, overrides, argv, needs)


def to_cli_args(overrides: Mapping[str, Any]) -> list[str]:
    """Spell overrides as arguments of a command.

    Returns:
        ``KEY VALUE KEY VALUE ...``.
    """
    return [word for key, value in overrides.items() for word in (key, _spell(value))]


def _spell(value: Any) -> str:
    # Double quotes within a list: easier to copy into a shell than Python's single ones.
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return json.dumps(value) if is_list else str(value)
