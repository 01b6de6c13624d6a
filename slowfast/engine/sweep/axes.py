"""What varies between the cells of a sweep: configs, named runs, a grid."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.config.problems import Problem
from slowfast.engine.sweep.fields import read_overrides, read_strings, slug, split_by_stage
from slowfast.engine.sweep.records import CFG, RUN_AXIS, Axis, Overrides, cell_name
from slowfast.utils.registry import nearest

__all__ = ["check_axes", "read_axes", "read_compare"]

_LABEL = re.compile(r"[A-Za-z0-9][\w.+=-]*", re.ASCII)
_MAX_NAME = 150


def read_axes(
    content: Mapping[str, Any], stages: Sequence[str]
) -> tuple[tuple[Axis, ...], list[Problem]]:
    """Read ``cfg`` where it is a list, ``runs`` and ``grid``.

    Args:
        content: The sweep's YAML.
        stages: Names of its stages.

    Returns:
        The axes, in this order, and what is wrong.
    """
    problems: list[Problem] = []
    axes: list[Axis] = []
    if stages == [""] and not isinstance(content.get(CFG, ""), str):
        axes += _cfg_axis(content[CFG], problems)
    if "runs" in content:
        axes.append(_named_axis("runs", RUN_AXIS, content["runs"], stages, problems))
    grid = content.get("grid") or {}
    if not isinstance(grid, Mapping):
        message = f"got {grid!r}, expected KEY: [value, value] lines."
        return tuple(axes), [*problems, Problem("grid", message)]
    for name, values in grid.items():
        if isinstance(values, Mapping):
            axes.append(_named_axis(f"grid.{name}", name, values, stages, problems))
        else:
            axes.append(_key_axis(name, values, stages, problems))
    return tuple(axes), problems


def _cfg_axis(value: Any, problems: list[Problem]) -> Iterator[Axis]:
    files, found = read_strings(CFG, value)
    problems += found
    if not files:
        return
    bundles = {slug(Path(file).stem): {"": {CFG: file}} for file in files}
    if len(bundles) < len(files):
        message = "two configs have the same name; write runs: {NAME: {cfg: X.yaml}} instead."
        problems.append(Problem(CFG, message))
    yield Axis(CFG, bundles)


def _named_axis(
    where: str, name: str, values: Any, stages: Sequence[str], problems: list[Problem]
) -> Axis:
    """Read named bundles of overrides."""
    if not isinstance(values, Mapping) or not values:
        message = f"got {values!r}, expected NAME: {{KEY: value}} lines."
        problems.append(Problem(where, message))
        return Axis(name, {})
    for label in (name, *values):
        if not _LABEL.fullmatch(label):
            message = f"'{label}': a name is letters, digits and . _ + - =, without blanks."
            problems.append(Problem(where, message))
    return Axis(name, {k: _bundle(f"{where}.{k}", v, stages, problems) for k, v in values.items()})


def _key_axis(key: str, values: Any, stages: Sequence[str], problems: list[Problem]) -> Axis:
    """Read a list of values of one key."""
    where = f"grid.{key}"
    if not isinstance(values, list) or not values:
        expected = "a list of values, or named bundles such as {small: {KEY: 1}}"
        problems.append(Problem(where, f"got {values!r}, expected {expected}."))
        return Axis(key, {})
    bundles = {slug(value): _bundle("grid", {key: value}, stages, problems) for value in values}
    if len(bundles) < len(values) or "" in bundles:
        message = (
            f"the values {values} do not give names that differ: write them as "
            "AXIS: {NAME: {KEY: value}}."
        )
        problems.append(Problem(where, message))
    return Axis(key, bundles)


def _bundle(
    where: str, value: Any, stages: Sequence[str], problems: list[Problem]
) -> dict[str, Overrides]:
    overrides, found = read_overrides(where, value)
    by_stage, more = split_by_stage(where, overrides, stages)
    problems += [*found, *more]
    return by_stage


def check_axes(axes: Sequence[Axis], stages: Sequence[str]) -> list[Problem]:
    """See that axes do not contradict each other, and that their names make a folder's name.

    Args:
        axes: The axes.
        stages: Names of the stages.

    Returns:
        The problems.
    """
    problems = []
    for first, second in itertools.combinations(axes, 2):
        shared = {key for stage in stages for key in first.keys(stage) & second.keys(stage)}
        message = f"is set by two axes, {first.name} and {second.name}."
        problems += [Problem(key, message) for key in sorted(shared)]
    longest = cell_name({axis.name: max(axis.bundles, key=len, default="") for axis in axes})
    if len(longest) > _MAX_NAME:
        message = f"'{longest}' is too long for a folder; name axes and values shorter."
        problems.append(Problem("grid", message))
    return problems


def read_compare(value: Any, axes: Sequence[Axis]) -> tuple[dict[str, str], list[Problem]]:
    """Read which cell the others are compared with.

    Args:
        value: The name of a cell, or axis -> value: then each cell is compared with the one that
            differs from it in these axes alone. None: nothing is compared.
        axes: The axes.

    Returns:
        Axis -> label, and what is wrong.
    """
    if value is None:
        return {}, []
    labels = {axis.name: list(axis.bundles) for axis in axes}
    if isinstance(value, Mapping):
        return _compare_axes(value, labels)
    cells = [dict(zip(labels, c, strict=True)) for c in itertools.product(*labels.values())]
    by_name = {cell_name(cell): cell for cell in cells if cell}
    known = list(by_name)
    if len(axes) == 1:
        by_name |= {slug(label): {axes[0].name: label} for label in axes[0].bundles}
    name = value if isinstance(value, str) and value in by_name else slug(value)
    if name in by_name:
        return by_name[name], []
    return {}, [Problem("compare", f"no cell '{value}'. {nearest(str(value), known)}")]


def _compare_axes(
    value: Mapping[str, Any], labels: Mapping[str, list[str]]
) -> tuple[dict[str, str], list[Problem]]:
    found, problems = {}, []
    for axis, wanted in value.items():
        if axis not in labels:
            problems.append(Problem("compare", f"no axis '{axis}'. {nearest(axis, labels)}"))
            continue
        label = wanted if wanted in labels[axis] else slug(wanted)
        if label not in labels[axis]:
            message = f"{axis} has no '{wanted}'. {nearest(str(wanted), labels[axis])}"
            problems.append(Problem("compare", message))
        found[axis] = label
    return found, problems
