"""Collects the results of a sweep: every run's metrics, means, intervals, paired differences."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from slowfast.config.renamed import translate_results
from slowfast.engine.sweep.expand import SweepRun, to_words
from slowfast.engine.sweep.records import Sweep, cell_name
from slowfast.engine.sweep.run_state import FINISHED, NEW, RunState, read_marker
from slowfast.utils.io import read_json
from slowfast.utils.statistics import mean_interval

__all__ = ["SUMMARY_FORMAT", "Estimate", "collect", "estimate", "read_metrics"]

SUMMARY_FORMAT = 1

Values = Mapping[tuple[int | None, int | None], float]


class Estimate(NamedTuple):
    """A mean over seeds or folds.

    Attributes:
        mean: The mean.
        low: Lower end of its 95 % interval, or None where there is but one measurement.
        high: Upper end, or None.
        num: Measurements that entered.
        num_planned: Measurements that were planned.
        unit: What a measurement is: "seed", "fold" or "run".
    """

    mean: float
    low: float | None
    high: float | None
    num: int
    num_planned: int
    unit: str


def estimate(
    values: Values, seeds: Sequence[int | None], folds: Sequence[int | None]
) -> Estimate | None:
    """Summarize a metric over seeds and folds.

    The mean over the folds of a seed is one measurement, and the interval is over seeds: folds test
    on other videos, so how much they differ says nothing about how much training does. A seed some
    folds of which are missing does not count. With a single seed the folds are the measurements.

    Args:
        values: (seed, fold) -> value.
        seeds: Planned seeds; ``[None]`` where they are not varied.
        folds: Planned folds; ``[None]`` where they are not varied.

    Returns:
        Mean and 95 % Student t interval; None without a single measurement.
    """
    if len(seeds) == 1 and len(folds) > 1:
        found = [values[seeds[0], fold] for fold in folds if (seeds[0], fold) in values]
        total, unit = len(folds), "fold"
    else:
        complete = [s for s in seeds if all((s, fold) in values for fold in folds)]
        found = [fmean(values[seed, fold] for fold in folds) for seed in complete]
        total, unit = len(seeds), "run" if seeds == [None] else "seed"
    if not found:
        return None
    if len(found) == 1:
        return Estimate(found[0], None, None, 1, total, unit)
    return Estimate(*mean_interval(found), len(found), total, unit)


def read_metrics(folder: Path) -> dict[str, dict[str, float | None]]:
    """Read what a run measured.

    Args:
        folder: Its OUTPUT_DIR.

    Returns:
        Metric -> ``value`` (after training, where it depends on that) and ``chance``; empty when
        the run tested nothing.
    """
    found = {}
    for name, entry in translate_results(read_json(folder / "results.json")).items():
        if isinstance(entry, Mapping) and "chance" in entry:
            value = entry.get("after", entry.get("value"))
            if value is not None:
                found[name] = {"value": float(value), "chance": entry["chance"]}
    return found


def collect(
    sweep: Sweep, runs: Sequence[SweepRun], output_dir: Path, changed: Sequence[str] = ()
) -> dict[str, Any]:
    """Collect everything that is there.

    Args:
        sweep: The sweep.
        runs: Its plan.
        output_dir: Its folder.
        changed: Names of runs whose folders are known to hold something else.

    Returns:
        The content of ``sweep.json``: ``runs`` holds every run and metric, ``results`` every cell
        and metric, ``shown`` where the sweep's ``metrics`` ask for it. Only finished runs that are
        what the plan says count.
    """
    rows = [_describe_run(run, output_dir / run.name, run.name in changed) for run in runs]
    stages = [stage.name for stage in sweep.stages]
    return {
        "format": SUMMARY_FORMAT,
        "sweep": sweep.source,
        "compare": dict(sweep.compare),
        "runs": rows,
        "results": [result for stage in stages for result in _summarize(sweep, stage, rows)],
    }


def _describe_run(run: SweepRun, folder: Path, is_changed: bool) -> dict[str, Any]:
    marker = read_marker(folder)
    state = "changed" if is_changed else _state(run, marker)
    return {
        "name": run.name,
        "stage": run.stage,
        "cell": dict(run.cell),
        "seed": run.seed,
        "fold": run.fold,
        "cfg": run.cfg,
        "overrides": dict(run.overrides),
        "state": state,
        "seconds": None if marker is None else round(marker.seconds, 1),
        "config_hash": None if marker is None else marker.config_hash,
        "metrics": read_metrics(folder) if state == FINISHED else {},
    }


def _state(run: SweepRun, marker: RunState | None) -> str:
    if marker is None:
        return NEW
    return marker.state if marker.overrides == to_words(run.overrides) else "changed"


def _summarize(
    sweep: Sweep, stage: str, rows: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield a result for each metric and cell of a stage."""
    mine = [row for row in rows if row["stage"] == stage]
    seeds = list(dict.fromkeys(row["seed"] for row in mine))
    folds = list(dict.fromkeys(row["fold"] for row in mine))
    cells = {cell_name(row["cell"]): row["cell"] for row in mine}
    for metric in dict.fromkeys(name for row in mine for name in row["metrics"]):
        values = {name: _gather(mine, cell, metric, "value") for name, cell in cells.items()}
        for name, cell in cells.items():
            found = estimate(values[name], seeds, folds)
            if found is None:
                continue
            chances = _gather(mine, cell, metric, "chance").values()
            base = _base(cell, sweep.compare)
            pairs = {k: v - values[base][k] for k, v in values[name].items() if k in values[base]}
            yield {
                "stage": stage,
                "cell": cell,
                "metric": metric,
                **found._asdict(),
                "chance": fmean(chances) if chances else None,
                "shown": any(fnmatch.fnmatchcase(metric, p) for p in sweep.metrics or ("*",)),
                "difference": None if base == name else _difference(estimate(pairs, seeds, folds)),
            }


def _gather(
    rows: Sequence[dict[str, Any]], cell: Mapping[str, str], metric: str, what: str
) -> dict[tuple[int | None, int | None], float]:
    """Collect the values or chances of one cell and metric by seed and fold."""
    found = {
        (row["seed"], row["fold"]): row["metrics"][metric][what]
        for row in rows
        if row["cell"] == cell and metric in row["metrics"]
    }
    return {key: value for key, value in found.items() if value is not None}


def _base(cell: Mapping[str, str], compare: Mapping[str, str]) -> str:
    """Name the cell that a cell is compared with; itself where nothing is."""
    return cell_name({axis: compare.get(axis, label) for axis, label in cell.items()})


def _difference(found: Estimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    is_clear = None if found.low is None or found.high is None else not found.low <= 0 <= found.high
    return {**found._asdict(), "excludes_zero": is_clear}
