"""Plots the settings of a sweep from ``sweep.json``: a dot and an interval each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slowfast.config.renamed import translate_sweep

__all__ = ["plot_sweep"]

_COLUMNS = 3
_MIN_SPAN = 10.0
_MAX_PANELS = 30
_COLOR, _COLOR_BASE, _COLOR_CHANCE = "#1f5fa8", "#c4621a", "#888888"

Result = dict[str, Any]


def plot_sweep(output_dir: Path) -> Path | None:
    """Plot a panel for each stage and metric, with a row for each setting.

    A dot is the mean, a bar its 95 % interval, small dots are single runs. The setting that others
    are compared with has another color; a dashed line is the chance level.

    Returns:
        ``sweep.png`` in it, or None if there is nothing to plot. At most 30 panels; ``metrics``
        in the sweep's YAML selects them.

    Raises:
        ImportError: If matplotlib is not installed; the message says how to get it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "sweep.png needs matplotlib: pip install 'slowfast-stica[report]'"
        ) from error
    text = (output_dir / "sweep.json").read_text(encoding="utf-8")
    content = translate_sweep(json.loads(text))
    panels = list(_panels(content).items())[:_MAX_PANELS]
    if not panels:
        return None
    columns = 2 if len(panels) == 4 else min(_COLUMNS, len(panels))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [0.75 + 0.27 * max(len(results) for _, results in row) for row in rows]
    longest = max(len(label) for _, results in panels for label in _labels(results))
    width = columns * 2.8 + 0.09 * longest * min(2, columns)
    figure = Figure(figsize=(width, sum(heights) + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights).ravel()
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for number, (axis, ((stage, metric), results)) in enumerate(zip(axes, panels, strict=False)):
        _plot(axis, results, content)
        if number % columns and _labels(results) == _labels(panels[number - 1][1]):
            axis.tick_params(labelleft=False)  # already at the left
        axis.set_title(f"{stage}: {metric}" if stage else metric, loc="left", fontsize=9.5)
    figure.supxlabel(_explain(content, panels), fontsize=8, color="#555555")
    path = output_dir / "sweep.png"
    figure.savefig(path, dpi=130)
    return path


def _explain(content: dict[str, Any], panels: list[tuple[Any, list[Result]]]) -> str:
    results = [result for _, some in panels for result in some]
    words = ["dot: mean"]
    if any(result["low"] is not None for result in results):
        words = ["dot and bar: mean and 95 % interval", "small dots: single runs"]
    if any(result["chance"] is not None for result in results):
        words.append("dashed: chance level")
    if any(result["difference"] for result in results):
        base = ", ".join(content["compare"].values())
        words.append(f"orange: {base}")
    return ";  ".join(words)


def _panels(content: dict[str, Any]) -> dict[tuple[str, str], list[Result]]:
    found: dict[tuple[str, str], list[Result]] = {}
    for result in content["results"]:
        if result["shown"]:
            found.setdefault((result["stage"], result["metric"]), []).append(result)
    return found


def _labels(results: list[Result]) -> list[str]:
    return [", ".join(result["variant"].values()) or "all runs" for result in results]


def _plot(axis: Any, results: list[Result], content: dict[str, Any]) -> None:
    for row, result in enumerate(results):
        compare, labels = content["compare"], result["variant"]
        is_base = compare.keys() & labels and all(compare.get(k, v) == v for k, v in labels.items())
        color = _COLOR_BASE if is_base else _COLOR
        singles = _singles(content, result)
        if len(singles) > 1:
            below = [row + 0.24] * len(singles)
            axis.plot(singles, below, "o", color=color, alpha=0.45, markersize=3, markeredgewidth=0)
        if result["low"] is not None:
            ends = [100 * result["low"], 100 * result["high"]]
            axis.plot(ends, [row, row], color=color, linewidth=2, solid_capstyle="butt")
        axis.plot([100 * result["mean"]], [row], "o", color=color, markersize=7)
    for chance in {result["chance"] for result in results} - {None}:
        axis.axvline(100 * chance, color=_COLOR_CHANCE, linestyle="--", linewidth=1, zorder=0)
    axis.set_yticks(range(len(results)), _labels(results))
    axis.set_ylim(len(results) - 0.4, -0.6)
    axis.set_xlim(*_limits(axis.dataLim.intervalx))
    axis.locator_params(axis="x", nbins=6)
    axis.xaxis.set_major_formatter("{x:g} %")
    axis.tick_params(labelsize=8, length=0)
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _limits(interval: tuple[float, float]) -> tuple[float, float]:
    """Add margins, show at least a few percentage points, and stay within 0 to 100.

    An interval over two seeds may exceed this range; it is then cut off.
    """
    low, high = interval
    room = max(0.06 * (high - low), (_MIN_SPAN - (high - low)) / 2, 1.0)
    inside = low >= 0 and high <= 100
    low, high = low - room, high + room
    return (low, high) if inside else (max(low, -2.0), min(high, 102.0))


def _singles(content: dict[str, Any], result: Result) -> list[float]:
    """Collect the values of the single runs of a setting, in percent."""
    return [
        100 * run["metrics"][result["metric"]]["value"]
        for run in content["runs"]
        if run["stage"] == result["stage"]
        and run["variant"] == result["variant"]
        and result["metric"] in run["metrics"]
    ]
