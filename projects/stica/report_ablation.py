#!/usr/bin/env python3
r"""What the ablation says: the paper's claims as paired differences, a table and a figure.

    python tools/sweep_net.py --sweep configs/StiCA/sweeps/demo_ablation.yaml
    python projects/stica/report_ablation.py output/sweeps/demo_ablation/sweep.json \
        --out docs/evidence/demo_ablation

Every claim is a contrast: a weighted sum of variants, taken for each seed, with its mean over seeds
and 95 % Student t interval. A claim is seen where the interval lies above zero. With the results of
demo_controls.yaml, demo_released.yaml and demo_r2plus1d.yaml next to those of the ablation, the
contrasts of their variants are reported, too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from slowfast.engine.sweep.results import read_results
from slowfast.utils.exit_codes import exit_with
from slowfast.utils.report_files import write_report
from slowfast.utils.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CROPS = {
    "": "cross-modal only",
    "+space": "+ space crops",
    "+time": "+ time crops",
    "+both": "+ both",
}
POOLINGS = {"avg": "average", "transformer": "transformer"}
SUMMARIES = {
    "transformer+both": "cls",
    "transformer_mean+both": "mean",
    "transformer_first+both": "first",
}
ABLATION = {pooling + crops for pooling in POOLINGS for crops in CROPS} | set(SUMMARIES)


class Contrast(NamedTuple):
    """A claim.

    Attributes:
        claim: What is claimed.
        weights: Variant -> weight.
    """

    claim: str
    weights: dict[str, float]


_FULL = "transformer+both"


def _main_effect(with_crops: str) -> dict[str, float]:
    return {
        variant: weight / 2
        for pooling in POOLINGS
        for variant, weight in ((pooling + with_crops, 1.0), (pooling, -1.0))
    }


CLAIMS = (
    Contrast("space crops help (both poolings)", _main_effect("+space")),
    Contrast("time crops help (both poolings)", _main_effect("+time")),
    Contrast("space and time crops help (both poolings)", _main_effect("+both")),
    Contrast(
        "the transformer helps (all four crop settings)",
        {p + c: (0.25 if p == "transformer" else -0.25) for p in POOLINGS for c in CROPS},
    ),
    Contrast("all of it helps", {_FULL: 1.0, "avg": -1.0}),
    Contrast(
        "gains add up: all of it, less the gains of crops and transformer alone",
        {_FULL: 1.0, "avg+both": -1.0, "transformer": -1.0, "avg": 1.0},
    ),
    Contrast("class token, not mean token", {_FULL: 1.0, "transformer_mean+both": -1.0}),
    Contrast("class token, not first token", {_FULL: 1.0, "transformer_first+both": -1.0}),
)
CONTROLS = (
    Contrast("some classes differ in order alone: transformer", {_FULL: 1.0, "avg+both": -1.0}),
    Contrast(
        "no classes differ in order alone: transformer",
        {"no_order-transformer+both": 1.0, "no_order-avg+both": -1.0},
    ),
    Contrast("events vary in space: space crops", {_FULL: 1.0, "transformer+time": -1.0}),
    Contrast(
        "nothing varies in space: space crops",
        {"no_space-transformer+both": 1.0, "no_space-transformer+time": -1.0},
    ),
    Contrast(
        "fixed positions, not learned", {_FULL: 1.0, "learned_positions-transformer+both": -1}
    ),
    Contrast("fixed positions, not none", {_FULL: 1.0, "no_positions-transformer+both": -1.0}),
    Contrast("twice the epochs: all of it", {"longer-transformer+both": 1.0, "longer-avg": -1.0}),
    Contrast(
        "R(2+1)D: space and time crops (average)", {"r2plus1d-avg+both": 1.0, "r2plus1d-avg": -1.0}
    ),
    Contrast(
        "R(2+1)D: transformer (with crops)",
        {"r2plus1d-transformer+both": 1.0, "r2plus1d-avg+both": -1.0},
    ),
    Contrast(
        "R(2+1)D: transformer (without crops)", {"r2plus1d-transformer": 1.0, "r2plus1d-avg": -1.0}
    ),
    Contrast("R(2+1)D: all of it", {"r2plus1d-transformer+both": 1.0, "r2plus1d-avg": -1.0}),
    Contrast(
        "R(2+1)D: fixed positions, not learned",
        {"r2plus1d-transformer+both": 1.0, "r2plus1d-transformer_learned+both": -1.0},
    ),
    Contrast(
        "R(2+1)D: a tenth of the learning rate for the transformer",
        {"r2plus1d-transformer+both": 1.0, "r2plus1d-transformer_full_lr+both": -1.0},
    ),
)
RELEASED = tuple(
    Contrast(decision, {_FULL: 1.0, f"released-{variant}": -1.0})
    for decision, variant in (
        ("crops at all positions, not all but the last", "bounds"),
        ("crops sampled for each sample, not once", "shared_draw"),
        ("pairs of the paper, not of the code", "pairing"),
        ("output token, positions, value projection, not the code's", "readout"),
        ("all four", "all_four"),
    )
)
GROUPS = {
    "claim": CLAIMS,
    "control": CONTROLS,
    "as described, not as released": RELEASED,
}
"""What is reported: title -> contrasts."""


def main() -> int:
    """Run the command; returns the exit status."""
    return exit_with(run)


def run() -> int:
    """Read, compute, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "results", type=Path, nargs="+", help="sweep.json of the ablation, and of its controls"
    )
    parser.add_argument(
        "--metric", nargs="+", default=["class_retrieval_r1", "linear_probe_top1"],
        help="default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.md and OUT.png")
    args = parser.parse_args()
    try:
        measured = {metric: read_values(args.results, metric) for metric in args.metric}
    except ValueError as error:
        parser.error(str(error))
    parts = []
    for metric, (values, chance) in measured.items():
        parts += [f"**`{metric}`**", variant_table(values, chance)]
        parts += [table for title in GROUPS if (table := contrast_table(values, title))]
    text = "\n\n".join(parts) + "\n"
    write_report(args.out, text, plot=lambda path: plot(measured, path))
    return 0


def read_values(paths: Sequence[Path], metric: str) -> tuple[dict[str, dict[int, float]], float]:
    """Read one metric of all finished runs.

    Raises:
        ValueError: If no run measured it, a file is missing, or two sweeps have a variant of
            the same name.
    """
    values: dict[str, dict[int, float]] = {}
    chance = None
    for path in paths:
        results = read_results(path)
        found = results.values(metric)
        for variant in sorted(found.keys() & values.keys()):
            raise ValueError(
                f"{path}: got another variant {variant!r}, expected each in one sweep only; name a "
                "sweep once."
            )
        values |= found
        chance = results.chance.get(metric) if chance is None else chance
    if chance is None:
        raise ValueError(
            f"--metric {metric}: no run of {', '.join(map(str, paths))} measured it; the sweep's "
            "table.md says what was measured (TEST.PROTOCOLS)."
        )
    return values, chance


def contrast(
    values: Mapping[str, Mapping[int, float]], weights: Mapping[str, float]
) -> list[float]:
    """Compute a contrast for each seed that all its variants have; 0 where the runs are equal."""
    seeds = set.intersection(*(set(values.get(variant, {})) for variant in weights))
    sums = (sum(w * values[name][seed] for name, w in weights.items()) for seed in sorted(seeds))
    return [round(found, 12) for found in sums]


def variant_table(values: dict[str, dict[int, float]], chance: float) -> str:
    """Tabulate mean and interval of the variants, in Markdown."""
    lines = [f"| (chance {chance:.1%}) | {' | '.join(CROPS.values())} |", "|---|--:|--:|--:|--:|"]
    for pooling, name in POOLINGS.items():
        texts = (show(values.get(pooling + crops, {}).values()) for crops in CROPS)
        lines.append(f"| {name} | {' | '.join(texts)} |")
    for variant, name in list(SUMMARIES.items())[1:]:
        lines.append(
            f"| transformer, {name} token |  |  |  | {show(values.get(variant, {}).values())} |"
        )
    return "\n".join(lines)


def contrast_table(values: dict[str, dict[int, float]], title: str) -> str:
    """Tabulate the contrasts of one group, in Markdown.

    Args:
        values: variant -> seed -> value.
        title: One of ``GROUPS``.

    Returns:
        The table; empty if no contrast has all its variants in two seeds.
    """
    lines = [
        f"| {title} | difference (points) | 95 % interval | seeds | seen |",
        "|---|--:|--:|--:|---|",
    ]
    for name, found in _measured_contrasts(values, title):
        mean, low, high = (100 * x for x in mean_interval(found))
        seen = "yes" if low > 0 else "the opposite" if high < 0 else "interval includes 0"
        lines.append(
            f"| {name} | {mean:+.1f} | {low:+.1f} to {high:+.1f} | {len(found)} | {seen} |"
        )
    return "\n".join(lines) if len(lines) > 2 else ""


def _measured_contrasts(
    values: dict[str, dict[int, float]], title: str
) -> list[tuple[str, list[float]]]:
    measured = [
        (name, found, set(weights) <= ABLATION)
        for name, weights in GROUPS[title]
        if len(found := contrast(values, weights)) > 1
    ]
    if title != "claim" and all(of_ablation for _, _, of_ablation in measured):
        return []  # the sweep of this group was not given
    return [(name, found) for name, found, _ in measured]


def plot(measured: dict[str, tuple[dict[str, dict[int, float]], float]], path: Path) -> None:
    """Plot, for each metric, variants with intervals and single runs, and their contrasts."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    values = next(iter(measured.values()))[0]
    rows = sum(len(_measured_contrasts(values, title)) for title in GROUPS)
    figure, axes = plt.subplots(
        len(measured), 2, figsize=(12.5, len(measured) * max(4.2, 0.36 * rows)),
        width_ratios=(1, 1.1), constrained_layout=True, squeeze=False,
    )  # fmt: skip
    for (left, right), (metric, (values, chance)) in zip(axes, measured.items(), strict=True):
        _plot_variants(left, values, chance)
        left.set_ylabel(f"{metric}, %")
        _plot_contrasts(right, values)
    axes[0][0].set_title("Variants: mean, 95 % interval, single seeds", fontsize=11)
    axes[0][1].set_title("Contrasts: mean and 95 % interval", fontsize=11)
    axes[0][0].legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 0.12))
    figure.savefig(path, dpi=130)


def _plot_variants(axes: Axes, values: dict[str, dict[int, float]], chance: float) -> None:
    colors = {"avg": "#8c8c8c", "transformer": "#0072b2"}
    for offset, (pooling, name) in zip((-0.13, 0.13), POOLINGS.items(), strict=True):
        for x, crops in enumerate(CROPS):
            runs = list(values.get(pooling + crops, {}).values())
            if len(runs) < 2:
                continue
            mean, low, high = share_interval(runs)
            axes.errorbar(
                x + offset, mean, [[mean - low], [high - mean]], fmt="o", color=colors[pooling],
                capsize=4, markersize=7, label=f"{name} over time" if x == 0 else None,
            )  # fmt: skip
            points = [100 * run for run in runs]
            axes.plot(
                [x + offset + 0.07] * len(runs), points, ".", color=colors[pooling], alpha=0.4
            )
    axes.axhline(100 * chance, color="black", linewidth=0.8, linestyle=":")
    axes.text(3.4, 100 * chance + 0.6, "chance", ha="right", fontsize=9)
    axes.set_xticks(range(len(CROPS)), list(CROPS.values()))
    axes.set_ylim(bottom=0)
    _tidy(axes, "y")


def _plot_contrasts(axes: Axes, values: dict[str, dict[int, float]]) -> None:
    shown = [
        (title, name, found)
        for title in GROUPS
        for name, found in _measured_contrasts(values, title)
    ]
    lines = {title: i for i, (title, _, _) in enumerate(shown)}  # the last of each group
    for i, (_, _, found) in enumerate(shown):
        mean, low, high = (100 * v for v in mean_interval(found))
        axes.errorbar(
            mean, i, xerr=[[mean - low], [high - mean]], fmt="o", capsize=4, markersize=6,
            color="#009e73" if low > 0 else "#d55e00" if high < 0 else "#8c8c8c",
        )  # fmt: skip
    first = 0
    for title, last in lines.items() if len(lines) > 1 else ():
        if last + 1 < len(shown):
            axes.axhline(last + 0.5, color="black", linewidth=0.6)
        axes.text(
            1.0, first - 0.45, title, fontsize=8, style="italic", ha="right", va="top",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        first = last + 1
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [_wrap(name) for _, name, _ in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("difference over the same seeds, points")
    _tidy(axes, "x")


def _tidy(axes: Axes, grid: Literal["x", "y"]) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, alpha=0.25)


def _wrap(claim: str) -> str:
    words, lines = claim.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 44:
            lines.append("")
        lines[-1] += f"{word} "
    return "\n".join(line.strip() for line in lines)


def share_interval(shares: Sequence[float]) -> tuple[float, float, float]:
    """Compute mean and 95 % Student t interval of shares; what lies beyond 0 and 1 is cut off.

    Args:
        shares: From 0 to 1, at least two.

    Returns:
        Mean, lower and upper end, in percent.
    """
    mean, low, high = mean_interval(shares)
    return 100 * mean, 100 * max(low, 0.0), 100 * min(high, 1.0)


def verdict(low: float, high: float) -> str:
    """Say what the interval of a difference shows."""
    return "helps" if low > 0 else "hurts" if high < 0 else "interval includes 0"


def show(values: Iterable[float]) -> str:
    """Format mean and interval of shares in percent; one alone has no interval."""
    values = list(values)
    if len(values) < 2:
        return f"{100 * values[0]:.1f}" if values else ""
    mean, low, high = share_interval(values)
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    sys.exit(main())
