"""What a sweep's YAML says, as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CFG", "RUN_AXIS", "Axis", "Overrides", "Stage", "Sweep", "cell_name"]

CFG = "cfg"
"""Stands among the overrides of an axis whose values differ in the run config itself, and names the
axis that several configs make."""

RUN_AXIS = "run"
"""Name of the axis that ``runs`` makes."""

Overrides = dict[str, Any]
"""Dotted key -> plain value or list."""


@dataclass(frozen=True)
class Stage:
    """One command of the several that a cell may consist of.

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
    """Something that varies between cells.

    Attributes:
        name: A key, a name of the user's, "run" or "cfg".
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
        axes: Their product is the cells; none: one cell.
        metrics: Names or patterns of the metrics to print; empty: all.
        compare: Axis -> label that cells are compared with; empty: no comparison.
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


def cell_name(cell: Mapping[str, str]) -> str:
    """Name a cell.

    Args:
        cell: Axis -> label.

    Returns:
        Such as ``pooling=avg,crops=on``. Runs and configs, which name themselves, stand alone.
    """
    return ",".join(v if k in (RUN_AXIS, CFG) else f"{k}={v}" for k, v in cell.items())
