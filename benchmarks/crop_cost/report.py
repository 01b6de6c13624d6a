"""The measured costs as an image and as a table, from ``crop_cost.json`` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from crop_cost.shares import PARTS

__all__ = ["plot", "write_table"]

Row = dict[str, Any]
# Colors of Okabe and Ito, told apart by color-blind readers; markers differ too.
STYLES: dict[str, dict[str, Any]] = {
    "feature": {"color": "#0072B2", "marker": "o", "linewidth": 2.2},
    "small": {"color": "#E69F00", "marker": "s", "linewidth": 1.6},
    "full": {"color": "#555555", "marker": "^", "linewidth": 1.6},
}
QUANTITIES = {"time_ratio": "time of a step", "memory_ratio": "peak memory of a step"}


def plot(content: dict[str, Any], path: Path) -> None:
    """Plot time and memory, relative to no crops, against the number of crops.

    Args:
        content: What ``crop_cost.json`` holds.
        path: A PNG to write.
    """
    results = content["results"]
    figure = Figure(figsize=(9.2, 3.3 * len(results) + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(results), len(QUANTITIES), squeeze=False)
    for axes, result in zip(grid, results.values(), strict=True):
        for axis, (key, quantity) in zip(axes, QUANTITIES.items(), strict=True):
            _plot_panel(axis, result, key)
            axis.set_title(f"{_size(result)}: {quantity}", loc="left", fontsize=10)
            axis.set_ylabel("times the step without crops")
        axes[0].legend(frameon=False, fontsize=9, loc="upper left")
    for axis in grid[-1]:
        axis.set_xlabel("crops of each view")
    figure.savefig(path, dpi=130)


def _plot_panel(axis: Axes, result: dict[str, Any], key: str) -> None:
    ticks = sorted({row["crops"] for row in result["rows"]})
    axis.plot([0, ticks[-1]], [1, 1], color="#999999", linewidth=1, linestyle="--", zorder=0)
    highest = 1.0
    for name, rows in _series(result).items():
        numbers, values = [row["crops"] for row in rows], [row[key] for row in rows]
        label = _describe(name, rows)
        axis.plot([0, *numbers], [1, *values], label=label, markersize=5.5, **STYLES[name])
        axis.annotate(
            f"×{values[-1]:.2f}",
            (numbers[-1], values[-1]),
            xytext=(7, 0),
            textcoords="offset points",
            color="#222222",
            fontsize=9,
            va="center",
        )
        highest = max(highest, *values)
    axis.set_xticks(ticks)
    axis.set_xlim(-0.03 * ticks[-1], 1.16 * ticks[-1])
    axis.set_ylim(0, 1.12 * highest)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _size(result: dict[str, Any]) -> str:
    return f"{result['title']}, {result['frames']} frames of {result['side']} px"


def write_table(content: dict[str, Any], path: Path) -> None:
    """Write a table of all ratios and one of the shares, as Markdown.

    Args:
        content: What ``crop_cost.json`` holds.
        path: A file to write.
    """
    setting = content["setting"]
    lines = [
        "<!-- Written by benchmarks/bench_crop_cost.py; do not edit. -->",
        f"Forward and backward pass of {setting['batch']} clips in {setting['views']} views on "
        f'{_machine(content)}; "×" is relative to the step without crops. Memory: '
        f"{setting['memory']}.",
        "",
    ]
    for result in content["results"].values():
        lines += [*_cost_table(result), ""]
    lines += _share_table(content)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _machine(content: dict[str, Any]) -> str:
    setting = content["setting"]
    if setting["device"] == "cuda":
        return str(setting["gpu"])
    threads = setting["threads"]
    return f"{threads} CPU thread{'s' if threads > 1 else ''}"


def _cost_table(result: dict[str, Any]) -> list[str]:
    base, series = result["rows"][0], _series(result)
    columns = [(name, key) for key in QUANTITIES for name in series]
    heads = [f"{_describe(n, series[n])}, {k.removesuffix('_ratio')}" for n, k in columns]
    lines = [
        f"**{_size(result)}.** Without crops: {base['ms_median']:.0f} ms, "
        f"{base['memory_mib']:.0f} MiB.",
        "",
        f"| crops of each view | {' | '.join(heads)} |",
        f"|--:|{'--:|' * len(columns)}",
    ]
    for number in sorted({row["crops"] for row in result["rows"]} - {0}):
        found = {name: {row["crops"]: row for row in rows} for name, rows in series.items()}
        texts = [_field(found[name].get(number), key) for name, key in columns]
        lines.append(f"| {number} | {' | '.join(texts)} |")
    return lines


def _field(row: Row | None, key: str) -> str:
    return "" if row is None else f"×{row[key]:.2f}"


def _share_table(content: dict[str, Any]) -> list[str]:
    results = content["results"].values()
    titles = [f"{r['title']}, {r['shares']['crops_per_view']} crops" for r in results]
    lines = [f"| share of a step | {' | '.join(titles)} |", f"|---|{'--:|' * len(titles)}"]
    for name, title in PARTS.items():
        texts = [f"{100 * r['shares']['parts'][name]['share']:.1f} %" for r in results]
        lines.append(f"| {title} | {' | '.join(texts)} |")
    return lines


def _series(result: dict[str, Any]) -> dict[str, list[Row]]:
    """Sort the rows with crops into lines of the plot."""
    series: dict[str, list[Row]] = {name: [] for name in STYLES}
    for row in result["rows"]:
        if row["source"] == "feature":
            series["feature"].append(row)
        elif row["source"] == "input":
            series["full" if row["side"] == result["side"] else "small"].append(row)
    return series


def _describe(name: str, rows: list[Row]) -> str:
    if name == "feature":
        return "feature crops"
    return f"input crops of {rows[0]['side']} px" + (" (the clip's)" if name == "full" else "")
