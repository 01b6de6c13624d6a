#!/usr/bin/env python3
r"""What the ablation says: the paper's claims as paired differences, a table and a figure.

    python tools/sweep_net.py --sweep configs/StiCA/sweeps/demo_ablation.yaml
    python projects/stica/report_ablation.py output/sweeps/demo_ablation/sweep.json \
        --out docs/evidence/demo_ablation

Every claim is a contrast: a weighted sum of cells, taken for each seed, with its mean over seeds
and 95 % Student t interval. A claim is seen where the interval lies above zero.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from slowfast.utils.statistics import mean_interval

CROPS = {
    "": "cross-modal only",
    "+space": "+ space crops",
    "+time": "+ time crops",
    "+both": "+ both",
}
POOLINGS = {"avg": "average", "transformer": "transformer"}
READOUTS = {
    "transformer+both": "cls",
    "transformer_mean+both": "mean",
    "transformer_first+both": "first",
}


class Contrast(NamedTuple):
    """A claim.

    Attributes:
        claim: What is claimed.
        weights: Cell -> weight.
    """

    claim: str
    weights: dict[str, float]


def _main_effect(with_crops: str) -> dict[str, float]:
    return {
        cell: weight / 2
        for pooling in POOLINGS
        for cell, weight in ((pooling + with_crops, 1.0), (pooling, -1.0))
    }


CONTRASTS = (
    Contrast("space crops help (both poolings)", _main_effect("+space")),
    Contrast("time crops help (both poolings)", _main_effect("+time")),
    Contrast("space and time crops help (both poolings)", _main_effect("+both")),
    Contrast(
        "the transformer helps (all four crop settings)",
        {p + c: (0.25 if p == "transformer" else -0.25) for p in POOLINGS for c in CROPS},
    ),
    Contrast("all of it helps", {"transformer+both": 1.0, "avg": -1.0}),
    Contrast(
        "gains add up: all of it, less the gains of crops and transformer alone",
        {"transformer+both": 1.0, "avg+both": -1.0, "transformer": -1.0, "avg": 1.0},
    ),
    Contrast("read-out cls, not mean", {"transformer+both": 1.0, "transformer_mean+both": -1.0}),
    Contrast("read-out cls, not first", {"transformer+both": 1.0, "transformer_first+both": -1.0}),
)


def main() -> None:
    """Read, compute, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="sweep.json of the sweep")
    parser.add_argument("--metric", default="class_retrieval_r1")
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.md and OUT.png")
    args = parser.parse_args()
    values, chance = read_values(args.results, args.metric)
    text = "\n".join([cell_table(values, chance), "", claim_table(values)])
    args.out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    draw(values, chance, args.metric, args.out.with_suffix(".png"))
    sys.stdout.write(text + "\n")


def read_values(path: Path, metric: str) -> tuple[dict[str, dict[int, float]], float]:
    """Read one metric of all finished runs.

    Args:
        path: The sweep's JSON.
        metric: Its name.

    Returns:
        cell -> seed -> value, and the value of chance.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for run in content["runs"]:
        if metric in run["metrics"]:
            value = run["metrics"][metric]
            values[next(iter(run["cell"].values()))][run["seed"]] = (
                value["value"] if isinstance(value, dict) else value
            )
    chance = next(r["chance"] for r in content["results"] if r["metric"] == metric)
    return dict(values), chance


def contrast(values: dict[str, dict[int, float]], weights: dict[str, float]) -> list[float]:
    """Compute a contrast for each seed that all its cells have.

    Args:
        values: cell -> seed -> value.
        weights: cell -> weight.

    Returns:
        One number per seed.
    """
    seeds = set.intersection(*(set(values.get(cell, {})) for cell in weights))
    return [sum(w * values[cell][seed] for cell, w in weights.items()) for seed in sorted(seeds)]


def cell_table(values: dict[str, dict[int, float]], chance: float) -> str:
    """Tabulate mean and interval of the cells, in Markdown.

    Args:
        values: cell -> seed -> value.
        chance: Value of chance.

    Returns:
        The table.
    """
    lines = [f"| (chance {chance:.1%}) | {' | '.join(CROPS.values())} |", "|---|--:|--:|--:|--:|"]
    for pooling, name in POOLINGS.items():
        cells = (_show(values.get(pooling + crops, {}).values()) for crops in CROPS)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for cell, name in list(READOUTS.items())[1:]:
        lines.append(
            f"| transformer, read-out {name} |  |  |  | {_show(values.get(cell, {}).values())} |"
        )
    return "\n".join(lines)


def claim_table(values: dict[str, dict[int, float]]) -> str:
    """Tabulate the claims, in Markdown.

    Args:
        values: cell -> seed -> value.

    Returns:
        The table.
    """
    lines = [
        "| claim | difference (points) | 95 % interval | seeds | seen |",
        "|---|--:|--:|--:|---|",
    ]
    for claim, weights in CONTRASTS:
        found = contrast(values, weights)
        if len(found) < 2:
            continue
        mean, low, high = (100 * x for x in mean_interval(found))
        seen = "yes" if low > 0 else "the opposite" if high < 0 else "not shown"
        lines.append(
            f"| {claim} | {mean:+.1f} | {low:+.1f} to {high:+.1f} | {len(found)} | {seen} |"
        )
    return "\n".join(lines)


def draw(values: dict[str, dict[int, float]], chance: float, metric: str, path: Path) -> None:
    """Draw cells with intervals and single runs, and the claims beside them.

    Args:
        values: cell -> seed -> value.
        chance: Value of chance.
        metric: Name of the metric.
        path: Picture to write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    colours = {"avg": "#8c8c8c", "transformer": "#0072b2"}
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11.5, 4.2), width_ratios=(1, 1), constrained_layout=True
    )
    for offset, (pooling, name) in zip((-0.13, 0.13), POOLINGS.items(), strict=True):
        for x, crops in enumerate(CROPS):
            runs = [100 * v for v in values.get(pooling + crops, {}).values()]
            if len(runs) < 2:
                continue
            mean, low, high = mean_interval(runs)
            left.errorbar(
                x + offset, mean, [[mean - low], [high - mean]], fmt="o", color=colours[pooling],
                capsize=4, markersize=7, label=f"{name} over time" if x == 0 else None,
            )  # fmt: skip
            left.plot([x + offset + 0.07] * len(runs), runs, ".", color=colours[pooling], alpha=0.4)
    left.axhline(100 * chance, color="black", linewidth=0.8, linestyle=":")
    left.text(3.4, 100 * chance + 0.6, "chance", ha="right", fontsize=9)
    left.set_xticks(range(len(CROPS)), CROPS.values())
    left.set_ylabel(f"{metric}, %")
    left.set_title("Cells: mean, 95 % interval, single seeds", fontsize=11)
    left.legend(frameon=False, loc="upper left")
    shown = [(c.claim, contrast(values, c.weights)) for c in CONTRASTS]
    shown = [(claim, found) for claim, found in shown if len(found) > 1]
    for y, (_, found) in enumerate(reversed(shown)):
        mean, low, high = (100 * v for v in mean_interval(found))
        colour = "#009e73" if low > 0 else "#d55e00" if high < 0 else "#8c8c8c"
        right.errorbar(
            mean,
            y,
            xerr=[[mean - low], [high - mean]],
            fmt="o",
            color=colour,
            capsize=4,
            markersize=7,
        )
    right.axvline(0, color="black", linewidth=0.8)
    right.set_yticks(range(len(shown)), [_wrap(claim) for claim, _ in reversed(shown)], fontsize=9)
    right.set_xlabel("difference over the same seeds, points")
    right.set_title("Claims", fontsize=11)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y" if axes is left else "x", alpha=0.25)
    figure.savefig(path, dpi=130)


def _wrap(claim: str) -> str:
    words, lines = claim.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 34:
            lines.append("")
        lines[-1] += f"{word} "
    return "\n".join(line.strip() for line in lines)


def _show(values: Iterable[float]) -> str:
    values = list(values)
    if len(values) < 2:
        return f"{100 * values[0]:.1f}" if values else ""
    mean, low, high = (100 * x for x in mean_interval(values))
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
