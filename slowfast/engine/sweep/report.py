"""What a sweep measured: ``sweep.json``, and from it ``table.md`` and ``table.csv``."""

from __future__ import annotations

import fnmatch
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from slowfast.config.renamed import translate_results
from slowfast.engine.sweep.expand import SweepRun
from slowfast.engine.sweep.run_state import RunState, State
from slowfast.engine.sweep.schema import Sweep, variant_name
from slowfast.utils.io import atomic_path, read_json, write_csv_rows, write_json
from slowfast.utils.statistics import mean_interval

__all__ = ["collect", "estimate", "format_markdown", "write_report"]

_FORMAT = 1
_CHANGED = "changed"
_RUN = "name stage variant seed fold cfg overrides".split()
_ESTIMATE = "mean low high num num_planned unit chance".split()
_DIFFERENCE = "mean low high num excludes_zero".split()
_DIFFERENCE_COLUMNS = (
    "difference difference_low difference_high difference_num excludes_zero".split()
)

Numbers = Mapping[tuple[int | None, int | None], float]
"""(seed, fold) -> number."""

Row = dict[str, Any]


def estimate(
    values: Numbers, seeds: Sequence[int | None], folds: Sequence[int | None]
) -> Row | None:
    """Summarize a metric over seeds and folds.

    The mean over the folds of a seed is one measurement, and the interval is over seeds: folds test
    on other videos, so how much they differ says nothing about how much training does. A seed some
    folds of which are missing does not count. With a single seed the folds are the measurements.

    Args:
        values: (seed, fold) -> value.
        seeds: Planned seeds; ``[None]`` where they are not varied.
        folds: Planned folds; ``[None]`` where they are not varied.

    Returns:
        ``mean``; ``low`` and ``high``, its 95 % Student t interval, None of a single measurement;
        ``num`` and ``num_planned`` measurements; ``unit``, "seed", "fold" or "run". None without a
        single measurement.
    """
    if len(seeds) == 1 and len(folds) > 1:
        found = [values[seeds[0], fold] for fold in folds if (seeds[0], fold) in values]
        num_planned, unit = len(folds), "fold"
    else:
        complete = [s for s in seeds if all((s, fold) in values for fold in folds)]
        found = [fmean(values[seed, fold] for fold in folds) for seed in complete]
        num_planned, unit = len(seeds), "run" if seeds == [None] else "seed"
    if not found:
        return None
    mean, low, high = mean_interval(found) if len(found) > 1 else (found[0], None, None)
    numbers = {"mean": mean, "low": low, "high": high}
    return {**numbers, "num": len(found), "num_planned": num_planned, "unit": unit}


def _read_metrics(folder: Path) -> dict[str, dict[str, float | None]]:
    """Read metric -> ``value`` (after training, where it depends on that) and ``chance``."""
    found = {}
    for name, entry in translate_results(read_json(folder / "results.json")).items():
        if isinstance(entry, Mapping) and "chance" in entry:
            value = entry.get("after", entry.get("value"))
            if value is not None:
                found[name] = {"value": float(value), "chance": entry["chance"]}
    return found


def collect(sweep: Sweep, runs: Sequence[SweepRun], states: Sequence[RunState]) -> Row:
    """Collect everything that is there.

    Returns:
        The content of ``sweep.json``: ``runs`` holds every run and metric, ``results`` every
        variant and metric, ``shown`` where the sweep's ``metrics`` ask for it. Only finished runs
        that are what the sweep says count.
    """
    by_name = {state.name: state for state in states}
    rows = [_describe_run(run, by_name[run.name]) for run in runs]
    stages = [stage.name for stage in sweep.stages]
    return {
        "format": _FORMAT,
        "sweep": sweep.source,
        "compare": dict(sweep.compare),
        "runs": rows,
        "results": [result for stage in stages for result in _summarize(sweep, stage, rows)],
    }


def _describe_run(run: SweepRun, state: RunState) -> Row:
    name = _CHANGED if state.changes else state.state
    is_there = name not in (State.NEW, _CHANGED)
    return {
        **{what: getattr(run, what) for what in _RUN},
        "state": name,
        "seconds": round(state.seconds, 1) if is_there else None,
        "config_hash": state.config_hash if is_there else None,
        "metrics": _read_metrics(run.folder) if name == State.FINISHED else {},
    }


def _summarize(sweep: Sweep, stage: str, rows: Sequence[Row]) -> Iterator[Row]:
    """Yield a result for each metric and variant of a stage."""
    mine = [row for row in rows if row["stage"] == stage]
    seeds, folds = (list(dict.fromkeys(row[what] for row in mine)) for what in ("seed", "fold"))
    variants = {variant_name(row["variant"]): row["variant"] for row in mine}
    for metric in dict.fromkeys(name for row in mine for name in row["metrics"]):
        values = {name: _gather(mine, v, metric, "value") for name, v in variants.items()}
        for name, variant in variants.items():
            found = estimate(values[name], seeds, folds)
            if found is None:
                continue
            chances = _gather(mine, variant, metric, "chance").values()
            # The variant it is compared with is itself where nothing is.
            base = variant_name({axis: sweep.compare.get(axis, x) for axis, x in variant.items()})
            pairs = {k: v - values[base][k] for k, v in values[name].items() if k in values[base]}
            difference = estimate(pairs, seeds, folds) if base != name else None
            if difference:
                low, high = difference["low"], difference["high"]
                difference["excludes_zero"] = None if low is None else not low <= 0 <= high
            yield {
                "stage": stage,
                "variant": variant,
                "metric": metric,
                **found,
                "chance": fmean(chances) if chances else None,
                "shown": any(fnmatch.fnmatchcase(metric, p) for p in sweep.metrics or ("*",)),
                "difference": difference,
            }


def _gather(rows: Sequence[Row], variant: Mapping[str, str], metric: str, what: str) -> Numbers:
    """Collect the values or chance levels of one variant and metric by seed and fold."""
    found = {
        (row["seed"], row["fold"]): row["metrics"][metric][what]
        for row in rows
        if row["variant"] == variant and metric in row["metrics"]
    }
    return {key: value for key, value in found.items() if value is not None}


def write_report(output_dir: Path, content: Row) -> None:
    """Write ``sweep.json``, ``table.md`` and ``table.csv``."""
    write_json(output_dir / "sweep.json", content)
    states = {run["name"]: run["state"] for run in content["runs"]}
    count = f"{list(states.values()).count(State.FINISHED)} of {len(states)} runs are finished."
    title = f"# {content['sweep']}\n\n{count}\n\n"
    texts = {"table.md": title + format_markdown(content), "table.csv": _format_csv(content)}
    for name, text in texts.items():
        with atomic_path(output_dir / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def format_markdown(content: Row) -> str:
    """Format results as Markdown that also reads well as plain text.

    Returns:
        A table for each stage with a row for each metric and variant, in percent, differences in
        percentage points; empty when there are no results.
    """
    by_stage: dict[str, list[Row]] = {}
    for result in content["results"]:
        if result["shown"]:
            by_stage.setdefault(result["stage"], []).append(result)
    parts = [
        (f"## {stage}\n\n" if stage else "") + _table(results, content["compare"])
        for stage, results in by_stage.items()
    ]
    return "\n\n".join(parts) + "\n" if parts else ""


def _table(results: Sequence[Row], compare: Mapping[str, str]) -> str:
    axes = list(results[0]["variant"])
    header = ["metric", *axes, "mean", "95 % interval", "n", "chance"]
    if any(result["difference"] for result in results):
        base = ",".join(label for axis, label in compare.items() if axis in axes)
        header += [f"minus {base}", "95 % interval", "beyond 0"]
    rows, last = [], ""
    for result in results:
        chance, difference = result["chance"], result["difference"]
        row = ["" if result["metric"] == last else result["metric"], *result["variant"].values()]
        row += [f"{100 * result['mean']:.1f} %", _interval(result), _count(result)]
        row.append("-" if chance is None else f"{100 * chance:.1f} %")
        if difference:
            verdict = {True: "yes", False: "no", None: ""}[difference["excludes_zero"]]
            row += [f"{100 * difference['mean']:+.1f}", _interval(difference, "+"), verdict]
        rows.append(row + [""] * (len(header) - len(row)))
        last = result["metric"]
    return _align(header, rows, num_left=1 + len(axes))


def _interval(found: Row, sign: str = "") -> str:
    if found["low"] is None:
        return "-"
    return f"{100 * found['low']:{sign}.1f} to {100 * found['high']:{sign}.1f}"


def _count(found: Row) -> str:
    plural = "s" if found["num_planned"] != 1 else ""
    missing = f" of {found['num_planned']}" if found["num"] < found["num_planned"] else ""
    return f"{found['num']}{missing} {found['unit']}{plural}"


def _align(header: list[str], rows: list[list[str]], num_left: int) -> str:
    """Format a table whose first columns are aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * w if i < num_left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    lines = []
    for row in (header, rule, *rows):
        pairs = enumerate(zip(row, widths, strict=True))
        fields = [f"{text:<{w}}" if i < num_left else f"{text:>{w}}" for i, (text, w) in pairs]
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines)


def _format_csv(content: Row) -> str:
    """Format a line for each stage, metric and variant, numbers as fractions in full precision."""
    results = [result for result in content["results"] if result["shown"]]
    axes = list(dict.fromkeys(axis for result in results for axis in result["variant"]))
    rows = [["stage", "metric", *axes, *_ESTIMATE, *_DIFFERENCE_COLUMNS]]
    for result in results:
        difference = result["difference"] or {}
        labels = [result["variant"].get(axis, "") for axis in axes]
        numbers = [result[name] for name in _ESTIMATE] + [difference.get(n) for n in _DIFFERENCE]
        rows.append([result["stage"], result["metric"], *labels, *numbers])
    text = io.StringIO()
    write_csv_rows(text, rows, line_end="\n")
    return text.getvalue()
