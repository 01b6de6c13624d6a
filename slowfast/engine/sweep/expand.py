"""From a sweep to its runs: one for each stage, cell, seed and fold, shared where all is equal."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slowfast.config.problems import ConfigError, Problem
from slowfast.engine.sweep import placeholders
from slowfast.engine.sweep.records import CFG, Overrides, Stage, Sweep, cell_name

__all__ = ["SweepRun", "make_words", "plan_runs", "to_words"]


@dataclass(frozen=True)
class SweepRun:
    """One command: a stage at one cell, seed and fold.

    Attributes:
        name: Such as ``finetune/pooling=avg/seed_1/fold_2``; also its folder below ``output_dir``.
            Cells whose commands are the same share a name: it is run once.
        stage: Name of the stage.
        cell: Axis -> label, of the axes that make a difference to this stage.
        seed: RNG_SEED, or None where it is not varied.
        fold: DATA.FOLD, or None where it is not varied.
        cfg: The run config.
        overrides: Placeholders that point to folders still stand in the values.
        needs: Stage -> name of the run of it whose results this one uses.
    """

    name: str
    stage: str
    cell: Mapping[str, str]
    seed: int | None
    fold: int | None
    cfg: str
    overrides: Overrides = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reach:
    """Over what the runs of a stage vary."""

    axes: tuple[str, ...]
    seeds: tuple[int | None, ...]
    folds: tuple[int | None, ...]


class _Names:
    """Gives runs of the same command the name of the first of them."""

    def __init__(self) -> None:
        self.by_command: dict[str, str] = {}
        self.first: dict[str, str] = {}

    def share(self, run: SweepRun) -> SweepRun:
        """Rename a run, and what it needs; what it needs was shared before."""
        needs = {stage: self.first.get(name, name) for stage, name in run.needs.items()}
        # Seed and fold: equal commands of two seeds are measurements that repeat each other, and
        # must not turn into one that stands for both.
        command = repr((run.stage, run.seed, run.fold, run.cfg, run.overrides, needs))
        name = self.by_command.setdefault(command, run.name)
        self.first[run.name] = name
        return replace(run, name=name, needs=needs)


def plan_runs(sweep: Sweep) -> list[SweepRun]:
    """List the runs of a sweep.

    A stage varies over the axes that set one of its keys, over its own seeds and folds, and over
    whatever the stages vary over whose results it uses. So a pre-training that knows nothing of
    folds is run once for all of them.

    Args:
        sweep: The sweep.

    Returns:
        The runs. What a run needs stands before it; the first seed of all stages and cells stands
        before the second, so that comparisons are complete early.

    Raises:
        ConfigError: If a placeholder means nothing, or stages do not fit together.
    """
    problems = [p for n, stage in enumerate(sweep.stages) for p in _check(sweep, n, stage)]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)), sweep.source)
    reaches: dict[str, _Reach] = {}
    names = _Names()
    runs: list[tuple[tuple[int, ...], SweepRun]] = []
    for number, stage in enumerate(sweep.stages):
        reach = reaches[stage.name] = _find_reach(sweep, stage, reaches, problems)
        for count, run in enumerate(_runs_of(sweep, stage, reaches)):
            runs.append(((reach.seeds.index(run.seed), number, count), names.share(run)))
    if problems:
        raise ConfigError(problems, sweep.source)
    # A run with the n-th seed may need one that has no seed, never one with a later seed.
    return [run for _, run in sorted(runs, key=lambda item: item[0])]


def _all_overrides(sweep: Sweep, stage: Stage) -> Iterator[Overrides]:
    yield stage.overrides
    for axis in sweep.axes:
        yield from (bundle.get(stage.name, {}) for bundle in axis.bundles.values())


def _check(sweep: Sweep, number: int, stage: Stage) -> list[Problem]:
    earlier = [s.name for s in sweep.stages[:number]]
    found = (placeholders.find_problems(o, earlier) for o in _all_overrides(sweep, stage))
    return [problem for problems in found for problem in problems]


def _find_reach(
    sweep: Sweep, stage: Stage, reaches: Mapping[str, _Reach], problems: list[Problem]
) -> _Reach:
    mentioned = [placeholders.mentioned_stages(o) for o in _all_overrides(sweep, stage)]
    sources = {name: reaches[name] for names in mentioned for name in names}
    own = {axis.name for axis in sweep.axes if axis.keys(stage.name)}
    inherited = {name for source in sources.values() for name in source.axes}
    axes = tuple(axis.name for axis in sweep.axes if axis.name in own | inherited)
    numbers: dict[str, tuple[int | None, ...]] = {}
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


def _runs_of(sweep: Sweep, stage: Stage, reaches: Mapping[str, _Reach]) -> Iterator[SweepRun]:
    reach = reaches[stage.name]
    axes = [axis for axis in sweep.axes if axis.name in reach.axes]
    for seed, fold, labels in itertools.product(
        reach.seeds, reach.folds, itertools.product(*(axis.bundles for axis in axes))
    ):
        cell = dict(zip(reach.axes, labels, strict=True))
        overrides = dict(stage.overrides)
        for axis in axes:
            overrides |= axis.bundles[cell[axis.name]].get(stage.name, {})
        overrides |= {"RNG_SEED": seed} if stage.seeds else {}
        overrides |= {"DATA.FOLD": fold} if stage.folds else {}
        cfg = str(overrides.pop(CFG, stage.cfg))
        needs = {
            name: _run_name(name, reaches[name], cell, seed, fold)
            for name in placeholders.mentioned_stages(overrides)
        }
        yield SweepRun(
            _run_name(stage.name, reach, cell, seed, fold),
            stage.name,
            cell,
            seed,
            fold,
            cfg,
            {key: _fill_numbers(value, seed, fold) for key, value in overrides.items()},
            needs,
        )


def _run_name(
    stage: str, reach: _Reach, cell: Mapping[str, str], seed: int | None, fold: int | None
) -> str:
    parts = [stage, cell_name({axis: cell[axis] for axis in reach.axes})]
    parts.append("" if reach.seeds == (None,) else f"seed_{seed}")
    parts.append("" if reach.folds == (None,) else f"fold_{fold}")
    return "/".join(part for part in parts if part) or "run"


def _fill_numbers(value: Any, seed: int | None, fold: int | None) -> Any:
    numbers = {"seed": seed, "fold": fold}
    return placeholders.fill(value, lambda name: str(numbers[name]) if name in numbers else None)


def to_words(overrides: Mapping[str, Any]) -> list[str]:
    """Spell overrides as a command line.

    Args:
        overrides: Dotted key -> value.

    Returns:
        ``KEY VALUE KEY VALUE ...``.
    """
    return [word for key, value in overrides.items() for word in (key, _spell(value))]


def _spell(value: Any) -> str:
    # Double quotes within a list: easier to copy into a shell than Python's single ones.
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return json.dumps(value) if is_list else str(value)


def make_words(run: SweepRun, output_dir: Path) -> list[str]:
    """Spell a run's command line.

    Args:
        run: The run.
        output_dir: The sweep's folder.

    Returns:
        ``--cfg X.yaml --opts KEY VALUE ...``.
    """
    folders = {"output_dir": output_dir, "stage_dir": output_dir / run.name}
    for stage, name in run.needs.items():
        folders |= {f"{stage}.{part}": output_dir / name for part in placeholders.PARTS}
    texts = {name: str(folder) for name, folder in folders.items()}
    filled = {key: placeholders.fill(value, texts.get) for key, value in run.overrides.items()}
    filled["OUTPUT_DIR"] = texts["stage_dir"]
    return ["--cfg", run.cfg, "--opts", *to_words(filled)]
