"""Curves: losses, learning rate, gradient norm, validation, memory."""

from __future__ import annotations

from typing import Any

from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section, make_section

__all__ = ["Chart", "training"]

Chart = dict[str, Any]

_MEMORY = {"gpu_mem": "GPU (peak)", "RAM_peak": "training process (peak)"}


def training(run: Run) -> Section | None:
    """Show the curves of ``json_stats.log``.

    Args:
        run: The run.

    Returns:
        The section; None if nothing was trained.
    """
    steps, epochs = run.stats("train_iter"), run.stats("train_epoch")
    if not steps:
        return None
    names = run.loss_names("train_iter")
    losses = [name for name in names if not name.endswith("_err")]
    errors = [name for name in names if name.endswith("_err")]
    charts = [
        _chart("Losses (median of each logging interval)", steps, losses),
        _chart("Losses (mean of each epoch)", epochs, losses, marks=True),
        _chart("Training error in percent (mean of each epoch)", epochs, errors, marks=True),
        _validation(run),
        _chart("Learning rate", steps, ["lr"]),
        _chart("Gradient norm (before clipping)", steps, ["grad_norm"], log=True),
        _memory(steps),
    ]
    return make_section(
        "Training", "report/training.html", charts=[chart for chart in charts if chart["series"]]
    )


def _chart(title: str, stats: list[dict[str, Any]], names: list[str], **options: Any) -> Chart:
    series = [_curve(stats, name, wide=name == "loss" and len(names) > 1) for name in names]
    return {"title": title, "series": [s for s in series if s["x"]], "y_label": "", **options}


def _curve(stats: list[dict[str, Any]], name: str, **options: Any) -> dict[str, Any]:
    points = [(s["step"], s[name]) for s in stats if s.get(name) is not None]
    return {"label": name, "x": [p[0] for p in points], "y": [p[1] for p in points], **options}


def _validation(run: Run) -> Chart:
    names = [name for name in run.loss_names("val_epoch") if not name.endswith("_err")]
    return _chart("Validation (1 is 100 %)", run.stats("val_epoch"), names, marks=True)


def _memory(stats: list[dict[str, Any]]) -> Chart:
    """Chart the peak memory; a GPU that is not in use has none."""
    numbers = [
        {"step": s["step"]} | {label: _gib(s.get(key, "")) for key, label in _MEMORY.items()}
        for s in stats
    ]
    used = [label for label in _MEMORY.values() if any(s[label] for s in numbers)]
    return {**_chart("Memory", numbers, used), "y_label": "GiB"}


def _gib(text: str) -> float | None:
    try:
        return float(text.removesuffix("G"))
    except ValueError:
        return None
