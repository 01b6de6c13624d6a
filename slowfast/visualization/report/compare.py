"""Sections of the comparison of several runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from slowfast.config.machine_keys import is_path_key
from slowfast.visualization.report.run import Metric, Run
from slowfast.visualization.report.section import Section, make_section
from slowfast.visualization.report.sections.metrics import with_interval
from slowfast.visualization.report.sections.summary import main_metrics
from slowfast.visualization.report.sections.throughput import find_bottleneck

__all__ = ["COMPARISONS"]

_COLORS = 8


def _runs(runs: Sequence[Run], page: Path) -> Section:
    """List the runs with their main metric, throughput and bottleneck."""
    rows = []
    for run in runs:
        found, best = find_bottleneck(run), main_metrics(run)[:1]
        epochs, steps = run.stats("train_epoch"), run.stats("train_iter")
        report = run.folder / "report.html"
        link = ""
        if report.is_file() and report.resolve() != page.resolve():
            link = Path(os.path.relpath(report.resolve(), page.resolve().parent)).as_posix()
        rows.append(
            {
                "name": run.name,
                "link": link,
                "model": f"{run.config.get('MODEL.MODEL_NAME')} {run.config.get('MODEL.ARCH')}",
                "epochs": epochs[-1]["epoch"] if epochs else None,
                "steps": steps[-1]["step"] if steps else None,
                "loss": epochs[-1].get("loss") if epochs else None,
                "metric": best[0].name if best else None,
                "value": with_interval(best[0].after, best[0].interval) if best else None,
                "seconds": sum(run.seconds.values()) or None,
                "iteration": found[0].iteration if found else None,
                "samples": found[0].samples_per_sec if found else None,
                "sentence": found[1].sentence if found else "",
            }
        )
    return make_section("Runs", "report/compare_runs.html", rows=rows)


def _metrics(runs: Sequence[Run], page: Path) -> Section | None:
    """Compare the metrics: a row each, a column for each run."""
    tables: list[dict[str, Metric]] = [{m.name: m for m in run.metrics} for run in runs]
    names = list(dict.fromkeys(name for table in tables for name in table))
    if not names:
        return None
    rows = []
    for name in names:
        found = [table.get(name) for table in tables]
        chances = {m.chance for m in found if m is not None}
        chance = chances.pop() if len(chances) == 1 else None
        values = [with_interval(m.after, m.interval) if m else None for m in found]
        rows.append([name, *values, chance])
    return make_section(
        "Metrics", "report/compare_metrics.html", rows=rows, names=[run.name for run in runs]
    )


def _curves(runs: Sequence[Run], page: Path) -> Section | None:
    """Overlay the curves of all runs: losses, learning rate, validation, time per iteration."""
    charts = []
    for kind, title in (("train_epoch", "{} (mean of each epoch)"), ("val_epoch", "{}")):
        names = dict.fromkeys(name for run in runs for name in run.loss_names(kind))
        charts += [_chart(runs, kind, name, title.format(name)) for name in names]
    charts += [
        _chart(runs, "train_iter", "lr", "learning rate"),
        _chart(runs, "train_iter", "grad_norm", "gradient norm", log=True),
        _chart(runs, "train_iter", "dt", "seconds per iteration"),
    ]
    charts = [chart for chart in charts if chart["series"]]
    return make_section("Curves", "report/training.html", charts=charts) if charts else None


def _chart(runs: Sequence[Run], kind: str, name: str, title: str, **options: Any) -> dict[str, Any]:
    series = []
    for number, run in enumerate(runs):
        points = [(s["step"], s[name]) for s in run.stats(kind) if s.get(name) is not None]
        curve = {"x": [p[0] for p in points], "y": [p[1] for p in points]}
        style = {"color": number % _COLORS, "dash": number >= _COLORS}
        series += [{"label": run.name, **curve, **style}] if points else []
    return {"title": title, "series": series, "y_label": "", **options}


def _config(runs: Sequence[Run], page: Path) -> Section:
    """Show the keys whose values differ; paths, and sections that a run lacks, are left out."""
    shared = set.intersection(*(set(run.tree) for run in runs))
    sections = dict.fromkeys(name for run in runs for name in run.tree if name not in shared)
    keys = dict.fromkeys(
        key
        for run in runs
        for key in run.config
        if key.partition(".")[0] in shared and not is_path_key(key)
    )
    texts = {
        key: [repr(run.config[key]) if key in run.config else "–" for run in runs] for key in keys
    }
    rows = [[key, *values] for key, values in texts.items() if len(set(values)) > 1]
    return make_section(
        "Configuration",
        "report/compare_config.html",
        rows=rows,
        names=[run.name for run in runs],
        left_out=list(sections),
    )


COMPARISONS: list[Callable[[Sequence[Run], Path], Section | None]] = [
    _runs,
    _metrics,
    _curves,
    _config,
]
"""Functions ``(runs, page) -> Section | None``, in the order of the page."""
