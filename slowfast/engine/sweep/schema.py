"""A sweep's YAML as dataclasses; docs/sweeps.md describes the file for users.

A mistake is collected, not raised, so that all of them are reported at once.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slowfast.config.load import flatten
from slowfast.config.paths import find_config
from slowfast.config.problems import ConfigError, Problem
from slowfast.config.renamed import METRICS
from slowfast.engine.sweep.yaml_file import read_yaml
from slowfast.utils.registry import nearest

__all__ = [
    "CFG",
    "PLACEHOLDERS",
    "Axis",
    "Overrides",
    "Stage",
    "Sweep",
    "load_sweep",
    "variant_name",
]

logger = logging.getLogger(__name__)

CFG = "cfg"
"""Names the run config, also among overrides, and the axis that several run configs make."""

RUN_AXIS = "run"
"""Names the axis that ``runs`` makes."""

PLACEHOLDERS = ("output_dir", "stage_dir", "seed", "fold")
"""Placeholders that every sweep has: no stage may have one of these names."""

Overrides = dict[str, Any]
"""Dotted key -> plain value or list."""

_KEYS = "cfg stages output_dir overrides grid runs seeds folds metrics compare jobs slurm".split()
_SMALLEST = {"seeds": 0, "folds": 1}
_LABEL = re.compile(r"[A-Za-z0-9][\w.+=-]*", re.ASCII)
_MAX_NAME = 150
_NAMED = "NAME: {KEY: value} lines"


@dataclass(frozen=True)
class Stage:
    """One command of the several that a variant may consist of.

    Attributes:
        name: "" in a sweep without ``stages``.
        cfg: A run config, or "" where every value of an axis names one.
        overrides: Those of all its runs.
        seeds: RNG_SEED of its runs; empty: not varied.
        folds: DATA.FOLD of its runs; empty: not varied.
    """

    name: str
    cfg: str
    overrides: Overrides = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    folds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Axis:
    """An axis of the grid.

    Attributes:
        name: A config key, a name of the user's, "run" or "cfg".
        bundles: Label of a value -> stage -> overrides.
    """

    name: str
    bundles: dict[str, dict[str, Overrides]]

    def keys(self, stage: str) -> set[str]:
        """Return the keys that this axis sets in a stage."""
        return {key for bundle in self.bundles.values() for key in bundle.get(stage, {})}


@dataclass(frozen=True)
class Sweep:
    """A whole sweep.

    Attributes:
        source: Where it was read.
        output_dir: Folder of everything it writes.
        stages: In order; at least one.
        axes: Their product is the variants of the grid; none: one variant.
        metrics: Names or patterns of the metrics to print; empty: all.
        compare: Axis -> label that variants are compared with; empty: no comparison.
        jobs: Processes at once on this machine.
        slurm: Parameters for submitit, or None to run on this machine.
    """

    source: str
    output_dir: Path
    stages: tuple[Stage, ...]
    axes: tuple[Axis, ...] = ()
    metrics: tuple[str, ...] = ()
    compare: Mapping[str, str] = field(default_factory=dict)
    jobs: int = 1
    slurm: Mapping[str, Any] | None = None


def variant_name(variant: Mapping[str, str]) -> str:
    """Name a variant of the grid."""
    return ",".join(v if k in (RUN_AXIS, CFG) else f"{k}={v}" for k, v in variant.items())


def load_sweep(name: str, cli_args: Sequence[str] = ()) -> Sweep:
    """Read a sweep and check everything that can be checked without loading its configs.

    Args:
        name: A YAML file: a path, or the name of a shipped one.
        cli_args: ``KEY VALUE KEY VALUE ...``; they win over the YAML.

    Returns:
        The sweep.

    Raises:
        ConfigError: With every problem found.
        UserError: If the file is missing or is not YAML.
    """
    reader = _Reader(read_yaml(find_config(name, option="--sweep")))
    sweep = reader.read(name, cli_args)
    if reader.problems:
        raise ConfigError(list(dict.fromkeys(reader.problems)), name)
    return sweep


class _Reader:
    """Reads field after field. What is wrong is in ``problems``, and a default in its place."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.problems: list[Problem] = []
        self.stage_names: list[str] = []

    def read(self, source: str, cli_args: Sequence[str]) -> Sweep:
        self._check_keys("", self.content, _KEYS)
        output_dir, jobs = self.content.get("output_dir"), self.content.get("jobs", 1)
        is_path = isinstance(output_dir, str) and output_dir != ""
        self._expect(is_path, "output_dir", output_dir, "the folder to write to")
        is_count = type(jobs) is int and jobs >= 1
        self._expect(is_count, "jobs", jobs, "a number of processes, at least 1")
        slurm = self.content.get("slurm") or {}
        parameters = "submitit's parameters, NAME: value"
        self._expect(isinstance(slurm, Mapping), "slurm", slurm, parameters)
        stages = self._stage_fields()
        self.stage_names = list(stages)
        axes = self._axes()
        return Sweep(
            source=source,
            output_dir=Path(str(output_dir)),
            stages=self._stages(stages, axes, cli_args),
            axes=axes,
            metrics=self._metrics(source),
            compare=self._compare(self.content.get("compare"), axes),
            jobs=jobs,
            slurm=slurm if "slurm" in self.content else None,
        )

    def _report(self, key: str, message: str) -> None:
        self.problems.append(Problem(key, message))

    def _expect(self, is_good: bool, key: str, value: Any, expected: str) -> bool:
        if not is_good:
            self._report(key, f"got {value!r}, expected {expected}.")
        return is_good

    def _check_keys(self, where: str, content: Mapping[str, Any], known: Sequence[str]) -> None:
        for name in content:
            if name not in known:
                self._report(f"{where}{name}", f"unknown key. {nearest(name, known)}")

    def _numbers(self, key: str, value: Any) -> tuple[int, ...]:
        smallest = _SMALLEST[key.split(".")[-1]]
        numbers = [] if value is None else value
        is_good = isinstance(numbers, list) and all(
            type(n) is int and n >= smallest and numbers.count(n) == 1 for n in numbers
        )
        expected = f"a list of different whole numbers from {smallest}, such as [1, 2]"
        return tuple(numbers) if self._expect(is_good, key, value, expected) else ()

    def _metrics(self, source: str) -> tuple[str, ...]:
        metrics = self._strings("metrics", self.content.get("metrics"))
        for old in METRICS.keys() & set(metrics):
            logger.warning("%s: metrics %s is called %s now", source, old, METRICS[old])
        return tuple(METRICS.get(name, name) for name in metrics)

    def _strings(self, key: str, value: Any) -> tuple[str, ...]:
        texts = [value] if isinstance(value, str) else [] if value is None else value
        is_good = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        expected = "a string or a list of strings"
        return tuple(texts) if self._expect(is_good, key, value, expected) else ()

    def _overrides(self, where: str, value: Any) -> Overrides:
        value = {} if value is None else value
        expected = "KEY: value lines, such as SOLVER.BASE_LR: 0.1"
        if not self._expect(isinstance(value, Mapping), where.rstrip("."), value, expected):
            return {}
        overrides = flatten(value)
        for key, item in overrides.items():
            for leaf in _leaves(item):
                is_plain = isinstance(leaf, bool | int | float | str)
                self._expect(is_plain, where + key, leaf, "a number, a string or a list")
            if key.split(".")[-1] == "OUTPUT_DIR":
                self._report(where + key, "the sweep sets it, below output_dir; remove it.")
        return overrides

    def _by_stage(self, where: str, value: Any) -> dict[str, Overrides]:
        """Read overrides; a key that starts with a stage's name is for that stage alone."""
        general: Overrides = {}
        special: dict[str, Overrides] = {name: {} for name in self.stage_names}
        for key, item in self._overrides(where, value).items():
            first, _, rest = key.partition(".")
            if rest and first in special:
                special[first][rest] = item
                continue
            general[key] = item
            if rest and first.islower():
                known = [name for name in self.stage_names if name]
                self._report(where + key, f"no stage '{first}'. {nearest(first, known)}")
        return {name: {**general, **special[name]} for name in self.stage_names}

    def _axes(self) -> tuple[Axis, ...]:
        axes = []
        if self.stage_names == [""] and not isinstance(self.content.get(CFG, ""), str):
            files = list(self._strings(CFG, self.content[CFG]))
            axes += [self._axis(CFG, CFG, files, lambda file: Path(file).stem)] if files else []
        runs, grid = self.content.get("runs"), self.content.get("grid") or {}
        is_good = isinstance(runs, Mapping)
        if "runs" in self.content and self._expect(is_good, "runs", runs, _NAMED):
            axes.append(self._axis("runs", RUN_AXIS, runs))
        if self._expect(isinstance(grid, Mapping), "grid", grid, "KEY: [value, value] lines"):
            axes += [self._axis(f"grid.{name}", name, values) for name, values in grid.items()]
        self._check_axes(axes)
        return tuple(axes)

    def _axis(
        self, where: str, name: str, values: Any, label_of: Callable[[Any], Any] = lambda v: v
    ) -> Axis:
        """Read named overrides, or values of the key that is the axis's name."""
        bundles: dict[str, dict[str, Overrides]] = {}
        if isinstance(values, Mapping):
            bundles = {k: self._by_stage(f"{where}.{k}.", v) for k, v in values.items()}
            for label in (name, *values):
                if not _LABEL.fullmatch(label):
                    message = f"'{label}': a name is letters, digits and . _ + - =, without blanks."
                    self._report(where, message)
        elif isinstance(values, list):
            bundles = {
                _sanitize(label_of(value)): self._by_stage("grid.", {name: value})
                for value in values
            }
            if len(bundles) < len(values) or "" in bundles:
                remedy = f"grid: {{AXIS: {{NAME: {{{name}: value}}, ...}}}}"
                message = f"the values {values} have no distinct names; write {remedy} instead."
                self._report(where, message)
        self._expect(bool(bundles), where, values, f"a list of values, or {_NAMED}")
        return Axis(name, bundles)

    def _check_axes(self, axes: Sequence[Axis]) -> None:
        for first, second in itertools.combinations(axes, 2):
            keys = (first.keys(stage) & second.keys(stage) for stage in self.stage_names)
            for key in sorted(set().union(*keys)):
                self._report(key, f"is set by two axes, {first.name} and {second.name}.")
        longest = variant_name({axis.name: max(axis.bundles, key=len, default="") for axis in axes})
        if len(longest) > _MAX_NAME:
            message = f"'{longest}' is too long for a folder; name axes and values shorter."
            self._report("grid", message)

    def _compare(self, value: Any, axes: Sequence[Axis]) -> dict[str, str]:
        """Read which variant the others are compared with, as axis -> label.

        The name of a variant compares all with that one; a mapping compares each with the one
        that differs from it in these axes alone.
        """
        if value is None:
            return {}
        labels = {axis.name: list(axis.bundles) for axis in axes}
        if isinstance(value, Mapping):
            found = {k: v for k, v in value.items() if self._find("axis", k, labels)}
            return {k: self._find(f"value of {k}", label, labels[k]) for k, label in found.items()}
        variants = [dict(zip(labels, c, strict=True)) for c in itertools.product(*labels.values())]
        by_name = {variant_name(variant): variant for variant in variants if variant}
        if len(axes) == 1:
            by_name |= {next(iter(variant.values())): variant for variant in variants}
        return by_name.get(self._find("variant", value, by_name), {})

    def _find(self, what: str, value: Any, known: Collection[str]) -> str:
        """Find a name among those known; "" if it is none of them."""
        name = value if isinstance(value, str) and value in known else _sanitize(value)
        if name in known:
            return name
        self._report("compare", f"no {what} '{value}'. {nearest(str(value), known)}")
        return ""

    def _stage_fields(self) -> dict[str, Mapping[str, Any]]:
        """Read what each stage says of itself; a sweep without stages is one without a name."""
        cfg, stages = self.content.get(CFG), self.content.get("stages")
        if stages is None:
            return {"": {CFG: cfg} if isinstance(cfg, str) else {}}
        if cfg is not None:
            self._report(CFG, "is set besides stages; give each stage its own cfg instead.")
        is_good = isinstance(stages, Mapping) and bool(stages)
        if not self._expect(is_good, "stages", stages, "NAME: {cfg: X.yaml} lines"):
            return {}
        fields, reserved = {}, sorted((CFG, *PLACEHOLDERS))
        for name, value in stages.items():
            where = f"stages.{name}"
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in reserved:
                rule = "a name is lower-case letters, digits and _, and none of"
                self._report(where, f"{rule} {', '.join(reserved)}.")
            own = {CFG: value} if isinstance(value, str) else value
            is_good = isinstance(own, Mapping)
            self._expect(is_good, where, own, "cfg: X.yaml and what differs")
            fields[name] = own if is_good else {CFG: "unknown"}
            self._check_keys(f"{where}.", fields[name], [CFG, "overrides", "seeds", "folds"])
        return fields

    def _stages(
        self, fields: Mapping[str, Mapping[str, Any]], axes: Sequence[Axis], args: Sequence[str]
    ) -> tuple[Stage, ...]:
        """Complete the stages: their own keys win over those of all, the command line over both."""
        if len(args) % 2:
            self._report(args[-1], "has no value: overrides come in pairs KEY VALUE.")
        common = self._by_stage("overrides.", self.content.get("overrides"))
        last = self._by_stage("", dict(zip(args[::2], args[1::2], strict=False)))
        numbers = {key: self._numbers(key, self.content.get(key)) for key in _SMALLEST}
        stages = []
        for name, own in fields.items():
            where = f"stages.{name}." if name else ""
            overrides = self._overrides(f"{where}overrides.", own.get("overrides"))
            its_numbers = {k: self._numbers(f"{where}{k}", own[k]) for k in _SMALLEST if k in own}
            overrides = {**common[name], **overrides, **last[name]}
            stage = Stage(name, str(own.get(CFG) or ""), overrides, **{**numbers, **its_numbers})
            self._check_stage(f"{where}{CFG}", stage, axes, last[name])
            stages.append(stage)
        return tuple(stages)

    def _check_stage(
        self, cfg_key: str, stage: Stage, axes: Sequence[Axis], last: Overrides
    ) -> None:
        """See that a stage has a config, and that nothing sets what an axis, seed or fold sets."""
        complete = [all(CFG in b.get(stage.name, {}) for b in a.bundles.values()) for a in axes]
        if not stage.cfg and not any(complete):
            self._report(cfg_key, "is missing: name the run config, such as configs/X.yaml.")
        varied = {key for axis in axes for key in axis.keys(stage.name)}
        for key in sorted(varied & set(last)):
            self._report(key, "is given on the command line, but varies in this sweep.")
        for key, name in (("RNG_SEED", "seeds"), ("DATA.FOLD", "folds")):
            if getattr(stage, name) and key in varied | set(stage.overrides):
                self._report(key, f"is set besides {name}, which set it too; remove one of them.")


def _leaves(value: Any) -> Iterator[Any]:
    """Yield a value, or all that is in a list of lists."""
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _sanitize(value: Any) -> str:
    """Turn a value into a part of a folder's name: letters, digits and ``. _ + - =`` only."""
    text = "+".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"[^\w.+=-]+", "_", text, flags=re.ASCII).strip("_.")
