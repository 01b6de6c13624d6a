"""Reads a sweep's YAML. docs/sweeps.md describes the file for users."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slowfast.config.paths import find_config
from slowfast.config.problems import ConfigError, Problem
from slowfast.config.renamed import METRICS
from slowfast.engine.sweep import placeholders
from slowfast.engine.sweep.axes import check_axes, read_axes, read_compare
from slowfast.engine.sweep.fields import (
    check_names,
    read_numbers,
    read_overrides,
    read_strings,
    read_yaml,
    split_by_stage,
)
from slowfast.engine.sweep.records import CFG, Axis, Overrides, Stage, Sweep

__all__ = ["load_sweep"]

logger = logging.getLogger(__name__)

_KEYS = "cfg stages output_dir overrides grid runs seeds folds metrics compare jobs slurm".split()
_STAGE_KEYS = [CFG, "overrides", "seeds", "folds"]
_RESERVED = {CFG, *placeholders.GENERAL}


def load_sweep(name: str, words: Sequence[str] = ()) -> Sweep:
    """Read a sweep and check everything that can be checked without loading its configs.

    Args:
        name: A YAML file: a path, or the name of a shipped one.
        words: ``KEY VALUE KEY VALUE ...`` of the command line; they win over the YAML.

    Returns:
        The sweep.

    Raises:
        ConfigError: With every problem found.
        UserError: If the file is missing or is not YAML.
    """
    reader = _Reader(read_yaml(find_config(name, option="--sweep")))
    sweep = reader.read(name, words)
    if reader.problems:
        raise ConfigError(list(dict.fromkeys(reader.problems)), name)
    return sweep


class _Reader:
    """Reads field after field, collecting problems.

    Args:
        content: The YAML.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.problems: list[Problem] = check_names("", list(content), _KEYS)
        self.names: list[str] = []

    def read(self, source: str, words: Sequence[str]) -> Sweep:
        """Read everything; what is wrong is in ``problems`` afterwards."""
        stages = self._stages()
        self.names = [stage.name for stage in stages]
        axes = self._take(read_axes(self.content, self.names))
        self.problems += check_axes(axes, self.names)
        return Sweep(
            source=source,
            output_dir=Path(self._output_dir()),
            stages=self._finish_stages(stages, axes, words),
            axes=axes,
            metrics=self._metrics(source),
            compare=self._take(read_compare(self.content.get("compare"), axes)),
            jobs=self._jobs(),
            slurm=self._slurm(),
        )

    def _take(self, result: tuple[Any, list[Problem]]) -> Any:
        self.problems += result[1]
        return result[0]

    def _report(self, key: str, message: str) -> None:
        self.problems.append(Problem(key, message))

    def _metrics(self, source: str) -> tuple[str, ...]:
        metrics = self._take(read_strings("metrics", self.content.get("metrics")))
        for old in METRICS.keys() & set(metrics):
            logger.warning("%s: metrics %s is called %s now", source, old, METRICS[old])
        return tuple(METRICS.get(name, name) for name in metrics)

    def _output_dir(self) -> str:
        value = self.content.get("output_dir")
        if isinstance(value, str) and value:
            return value
        self._report("output_dir", f"got {value!r}, expected the folder to write to.")
        return "."

    def _jobs(self) -> int:
        value = self.content.get("jobs", 1)
        if type(value) is int and value >= 1:
            return value
        self._report("jobs", f"got {value!r}, expected a number of processes, at least 1.")
        return 1

    def _slurm(self) -> dict[str, Any] | None:
        if "slurm" not in self.content:
            return None
        value = self.content["slurm"] or {}
        if isinstance(value, Mapping):
            return dict(value)
        self._report("slurm", f"got {value!r}, expected submitit's parameters, NAME: value.")
        return None

    def _stages(self) -> list[Stage]:
        """Read the stages with their own overrides only."""
        seeds = self._take(read_numbers("seeds", self.content.get("seeds"), 0))
        folds = self._take(read_numbers("folds", self.content.get("folds"), 1))
        cfg, stages = self.content.get(CFG), self.content.get("stages")
        default = Stage("", "", seeds=seeds, folds=folds)
        if stages is None:
            return [replace(default, cfg=cfg if isinstance(cfg, str) else "")]
        if cfg is not None:
            self._report(CFG, "stands beside stages; give each stage its own cfg instead.")
        if not isinstance(stages, Mapping) or not stages:
            self._report("stages", f"got {stages!r}, expected NAME: {{cfg: X.yaml}} lines.")
            return [default]
        return [self._stage(name, value, default) for name, value in stages.items()]

    def _stage(self, name: str, value: Any, default: Stage) -> Stage:
        where = f"stages.{name}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in _RESERVED:
            taken = ", ".join(sorted(_RESERVED))
            self._report(where, f"a name is lower-case letters, digits and _, and none of {taken}.")
        value = {CFG: value} if isinstance(value, str) else value
        if not isinstance(value, Mapping):
            self._report(where, f"got {value!r}, expected cfg: X.yaml and what differs.")
            return replace(default, name=name)
        self.problems += check_names(f"{where}.", list(value), _STAGE_KEYS)
        own = self._take(read_overrides(f"{where}.overrides", value.get("overrides")))
        stage = replace(default, name=name, cfg=str(value.get(CFG) or ""), overrides=own)
        for field, smallest in (("seeds", 0), ("folds", 1)):
            if field in value:
                numbers = self._take(read_numbers(f"{where}.{field}", value[field], smallest))
                stage = replace(stage, **{field: numbers})
        return stage

    def _finish_stages(
        self, stages: Sequence[Stage], axes: Sequence[Axis], words: Sequence[str]
    ) -> tuple[Stage, ...]:
        """Add what is said for all: a stage's own wins over it, the command line over both."""
        common = self._split("overrides", self.content.get("overrides"))
        last = self._split("the command line", self._pair_up(words))
        finished = []
        for stage in stages:
            self._check_stage(stage, axes, {**common[stage.name], **stage.overrides}, last)
            overrides = {**common[stage.name], **stage.overrides, **last[stage.name]}
            finished.append(replace(stage, overrides=overrides))
        return tuple(finished)

    def _split(self, where: str, value: Any) -> dict[str, Overrides]:
        flat = self._take(read_overrides(where, value))
        return self._take(split_by_stage(where, flat, self.names))

    def _pair_up(self, words: Sequence[str]) -> dict[str, str]:
        if len(words) % 2:
            message = "stands alone: overrides come in pairs KEY VALUE."
            self._report(words[-1], message)
        return dict(zip(words[::2], words[1::2], strict=False))

    def _check_stage(
        self,
        stage: Stage,
        axes: Sequence[Axis],
        overrides: Overrides,
        last: Mapping[str, Overrides],
    ) -> None:
        """See that a stage has a config, and that no key is set from two sides."""
        complete = [all(CFG in b.get(stage.name, {}) for b in a.bundles.values()) for a in axes]
        if not stage.cfg and not any(complete):
            where = f"stages.{stage.name}.{CFG}" if stage.name else CFG
            self._report(where, "is missing: name the run config, such as configs/X.yaml.")
        varied = {key for axis in axes for key in axis.keys(stage.name)}
        for key, field in (("RNG_SEED", "seeds"), ("DATA.FOLD", "folds")):
            if getattr(stage, field) and key in {*varied, *overrides, *last[stage.name]}:
                self._report(key, f"is set besides {field}, which set it too; remove one of them.")
        for key in sorted(varied & set(last[stage.name])):
            self._report(key, "is given on the command line, but varies in this sweep.")
