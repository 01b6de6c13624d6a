#!/usr/bin/env python3
"""When do crops and attention help? All paired differences measured, in one table and figure.

    python projects/stica/report_summary.py --out docs/evidence/summary

    python projects/stica/report_summary.py --evidence output/sweeps --out summary  # of one's own

Reads the results of the sweeps in docs/evidence/, or of a folder of sweeps. A row is a contrast: a
weighted sum of variants for each seed, with its mean over seeds and 95 % Student t interval. A row
whose sweep is missing or unfinished is left out, and listed.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from report_ablation import contrast, verdict

from slowfast.engine.sweep.results import read_results
from slowfast.utils.exit_codes import exit_with
from slowfast.utils.report_files import write_report
from slowfast.utils.statistics import MeanInterval, holm, mean_interval, student_t_p

EVIDENCE = Path(__file__).resolve().parents[2] / "docs" / "evidence"
CROPS = "Feature crops (in space and time), against none"
VIEWS = "Feature crops (space, time, both), against full views in the within-modal loss"
TIME = "Feature crops in time alone, against none"
WITHIN = "Within-modal loss (on full views or crops), against none"
FULL = "Within-modal loss on full views, against none"
INPUT = "Feature crops, against crops of the input at equal cost"
PATCH = "A crop of the input at that cost, against no within-modal loss"
COUNT = "Feature crops, against as many crops of the input, at several times the cost"
ATTENTION = "Transformer pooling, against average pooling"
POSITIONS = "Sinusoidal positions in the transformer, against learned ones"
READOUT = "The mean of the steps as the transformer's output, against a class token"
RATE = "A tenth of the learning rate for the transformer, against the same for all"


class Row(NamedTuple):
    """A difference.

    Attributes:
        question: What is compared.
        where: Data and setting.
        sweep: Stem of its file in docs/evidence, or name of its folder.
        metric: Of its results.
        gains: (variant with the component, variant without it); the mean over them counts.
        other: Stem of a second file that has some of the variants; "" if there is none.
    """

    question: str
    where: str
    sweep: str
    metric: str
    gains: tuple[tuple[str, str], ...]
    other: str = ""

    def differences(self, folder: Path) -> list[float]:
        """Compute the difference for each seed that all variants have; empty without results."""
        paths = [find_results(folder, name) for name in (self.sweep, self.other) if name]
        if None in paths:
            return []
        values: dict[str, dict[int, float]] = {}
        for path in filter(None, paths):
            values |= read_results(path).values(self.metric)
        weights: dict[str, float] = defaultdict(float)
        for pair in self.gains:
            for variant, sign in zip(pair, (1.0, -1.0), strict=True):
                weights[variant] += sign / len(self.gains)
        return contrast(values, weights)


def find_results(folder: Path, sweep: str) -> Path | None:
    """Find the results of a sweep: ``SWEEP.json``, else ``SWEEP/sweep.json``; None without them."""
    paths = (folder / f"{sweep}.json", folder / sweep / "sweep.json")
    return next(filter(Path.is_file, paths), None)


_KINDS = ("+space", "+time", "+both")
_CROPS, _TIME, _FULL = (
    tuple((p + c, p) for p in ("avg", "transformer")) for c in ("+both", "+time", "+view")
)
_WITHIN = tuple((p + c, p) for p in ("avg", "transformer") for c in ("+view", *_KINDS))
_VIEWS = tuple((p + c, f"{p}+view") for p in ("avg", "transformer") for c in _KINDS)
_ATTENTION = tuple((f"transformer{c}", f"avg{c}") for c in ("", *_KINDS))
_WITH_VIEWS = (*_ATTENTION, ("transformer+view", "avg+view"))
_INPUT, _COUNT = (
    tuple((f"{p}+both", f"{p}+input_{way}") for p in ("avg", "transformer"))
    for way in ("cost", "count")
)
_PATCH = tuple((f"{p}+input_cost", p) for p in ("avg", "transformer"))
_PROBE = "linear_probe_top1"
_ABLATION = "ablation demo set"
_SETS = {
    "when_neither": "demo set: neither kind of pair",
    "when_order": "demo set: pairs differ in order",
    "when_shared_audio": "demo set: pairs share audio",
    "when_both": "demo set: both kinds of pairs",
}
_ALL_SETS = {**_SETS, "when_words": "GRID words, 2D backbone, weight 0.5 from the start"}
_ALONE = "GRID words, 2D backbone, no within-modal loss"
_ATTENTIVE = "GRID words, 2D backbone with a transformer"
_WEIGHTS = {
    "weight_0.5_late": "weight 0.5 from epoch 4",
    "weight_0.1": "weight 0.1 from the start",
    "weight_0.1_late": "weight 0.1 from epoch 4",
}
ROWS = (
    Row(CROPS, _ABLATION, "demo_ablation", _PROBE, _CROPS),
    Row(
        CROPS, "ablation demo set, R(2+1)D", "demo_r2plus1d", _PROBE,
        tuple((f"r2plus1d-{p}+both", f"r2plus1d-{p}") for p in ("avg", "transformer")),
    ),
    *(Row(CROPS, where, sweep, _PROBE, _CROPS) for sweep, where in _ALL_SETS.items()),
    Row(
        CROPS, "GRID sentences: audio in sync", "grid_ablation", "av_sync",
        (("avg+both", "avg+none"), ("transformer+both", "transformer+none")),
    ),
    Row(
        CROPS, "GRID words, R(2+1)D, weight 0.5 from the start", "words_crops", _PROBE,
        (("weight_0.5", "cross_modal_only"),),
    ),
    Row(
        CROPS, "GRID words, R(2+1)D, weight 0.1 from epoch 8", "words_crops", _PROBE,
        (("weight_0.1_from_epoch_8", "cross_modal_only"),),
    ),
    Row(
        CROPS, f"{_ATTENTIVE}, weight 0.5 from the start", "when_words", _PROBE,
        (("transformer+both", "transformer"),),
    ),
    *(
        Row(CROPS, f"{_ATTENTIVE}, {how}", "when_words", _PROBE, ((arm, "transformer"),),
            "words_weights")
        for arm, how in _WEIGHTS.items()
    ),
    Row(TIME, _ABLATION, "demo_ablation", _PROBE, _TIME),
    *(Row(TIME, where, sweep, _PROBE, _TIME) for sweep, where in _ALL_SETS.items()),
    *(Row(WITHIN, where, sweep, _PROBE, _WITHIN) for sweep, where in _ALL_SETS.items()),
    *(Row(FULL, where, sweep, _PROBE, _FULL) for sweep, where in _ALL_SETS.items()),
    *(Row(VIEWS, where, sweep, _PROBE, _VIEWS) for sweep, where in _ALL_SETS.items()),
    *(Row(INPUT, where, name, _PROBE, _INPUT, f"{name}_input") for name, where in _SETS.items()),
    *(Row(PATCH, where, name, _PROBE, _PATCH, f"{name}_input") for name, where in _SETS.items()),
    *(
        Row(COUNT, where, name, _PROBE, _COUNT, f"{name}_input_count")
        for name, where in _SETS.items()
    ),
    Row(ATTENTION, _ABLATION, "demo_ablation", _PROBE, _ATTENTION),
    Row(
        ATTENTION, "ablation demo set, R(2+1)D", "demo_r2plus1d", _PROBE,
        tuple((f"r2plus1d-transformer{c}", f"r2plus1d-avg{c}") for c in ("", "+both")),
    ),
    Row(
        ATTENTION, "ablation demo set without order pairs, with crops", "demo_controls", _PROBE,
        (("no_order-transformer+both", "no_order-avg+both"),),
    ),
    *(Row(ATTENTION, where, sweep, _PROBE, _WITH_VIEWS) for sweep, where in _SETS.items()),
    Row(
        ATTENTION, "GRID words, 2D backbone, with and without the within-modal loss", "when_words",
        _PROBE, _WITH_VIEWS,
    ),
    Row(
        ATTENTION, f"{_ALONE} (chosen after the runs)", "when_words", _PROBE,
        (("transformer", "avg"),),
    ),
    Row(
        ATTENTION, "GRID sentences: audio in sync", "grid_ablation", "av_sync",
        (("transformer+none", "avg+none"), ("transformer+both", "avg+both")),
    ),
    Row(
        POSITIONS, f"{_ABLATION}, with crops", "demo_ablation", _PROBE,
        (("transformer+both", "learned_positions-transformer+both"),), "demo_controls",
    ),
    Row(
        POSITIONS, "ablation demo set, R(2+1)D, with crops", "demo_r2plus1d", _PROBE,
        (("r2plus1d-transformer+both", "r2plus1d-transformer_learned+both"),),
    ),
    Row(
        POSITIONS, _ALONE, "when_words", _PROBE, (("transformer", "learned"),), "words_positions",
    ),
    Row(
        RATE, "ablation demo set, R(2+1)D, with crops", "demo_r2plus1d", _PROBE,
        (("r2plus1d-transformer+both", "r2plus1d-transformer_full_lr+both"),),
    ),
    Row(RATE, _ALONE, "when_words", _PROBE, (("transformer", "one_rate"),), "words_positions"),
    Row(READOUT, _ALONE, "when_words", _PROBE, (("mean", "transformer"),), "words_positions"),
)  # fmt: skip


_HEAD = "| question | where | metric | difference (points) | 95 % interval | seeds | found |"
_R1 = "class_retrieval_r1"
ALSO = (
    Row(ATTENTION, _ALONE, "when_words", _R1, (("transformer", "avg"),)),
    *(
        Row(
            ATTENTION, "GRID words, 2D backbone, with the within-modal loss", "when_words", metric,
            _WITH_VIEWS[1:],
        )
        for metric in (_PROBE, _R1)
    ),
    *(
        Row(RATE, _ALONE, "when_words", metric, (("transformer", "one_rate"),), "words_positions")
        for metric in (_R1, "knn_top1", "video_to_audio_r1", "audio_to_video_r1")
    ),
    *(
        Row(CROPS, f"{_ATTENTIVE}, {how}", "when_words", metric, ((arm, "transformer"),),
            "words_weights")
        for arm, how in _WEIGHTS.items()
        for metric in (_R1, "knn_top1", "video_to_audio_r1", "audio_to_video_r1")
    ),
)  # fmt: skip
"""Contrasts that the text cites, chosen after the runs or of other metrics; not adjusted."""


def main() -> int:
    """Run the command; returns the exit status."""
    return exit_with(run)


def run() -> int:
    """Read, compute, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--evidence",
        type=Path,
        default=EVIDENCE,
        help="folder of NAME.json, or of NAME/sweep.json; default: %(default)s",
    )
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.md and OUT.png")
    args = parser.parse_args()
    measured = [(row, row.differences(args.evidence)) for row in ROWS]
    found = [(row, values) for row, values in measured if len(values) > 1]
    adjusted = holm([student_t_p(values) for _, values in found])
    shown = [
        Measured(row, mean_interval(values), len(values), p)
        for (row, values), p in zip(found, adjusted, strict=True)
    ]
    if not shown:
        parser.error(
            f"--evidence {args.evidence}: no results of "
            f"{', '.join(sorted({row.sweep for row in ROWS}))}; expected a folder of sweeps, or "
            "their sweep.json files, copied under these names."
        )
    left_out = sorted({row.other or row.sweep for row, values in measured if len(values) < 2})
    text = tabulate(shown) + tabulate_also(args.evidence)
    if left_out:
        text += f"\nNot measured: {', '.join(left_out)}.\n"
    write_report(args.out, text, plot=lambda path: plot(shown, path))
    return 0


class Measured(NamedTuple):
    """What a row says.

    Attributes:
        row: The row.
        interval: Mean, lower and upper end, as fractions.
        seeds: How many.
        p: That of Student's t test, adjusted for the number of rows (Holm).
    """

    row: Row
    interval: MeanInterval
    seeds: int
    p: float


def tabulate(shown: Sequence[Measured]) -> str:
    """Tabulate the differences, in Markdown."""
    lines = [f"{_HEAD} p, adjusted |", "|---|---|---|--:|--:|--:|---|--:|"]
    for row, interval, seeds, p in shown:
        adjusted = "< 0.001" if p < 0.001 else f"{p:.3f}"
        lines.append(f"{_line(row, interval, seeds)} {adjusted} |")
    alone = sum(verdict(*found.interval[1:]) != "interval includes 0" for found in shown)
    together = sum(found.p < 0.05 for found in shown)
    lines.append(
        f"\nIntervals, and what is found, are those of each row alone: {alone} of {len(shown)} "
        f"exclude 0. The last column adjusts for the number of rows (Holm): {together} are below "
        "0.05."
    )
    return "\n".join(lines) + "\n"


def tabulate_also(folder: Path) -> str:
    """Tabulate the contrasts of ``ALSO``, in Markdown; "" if there are none."""
    rows = [(row, row.differences(folder)) for row in ALSO]
    lines = [
        _line(row, mean_interval(values), len(values)) for row, values in rows if len(values) > 1
    ]
    if not lines:
        return ""
    title = "Also cited: other metrics, or chosen after the runs. Not counted above."
    return "\n".join(["", title, "", _HEAD, "|---|---|---|--:|--:|--:|---|", *lines]) + "\n"


def _line(row: Row, interval: MeanInterval, seeds: int) -> str:
    mean, low, high = (round(100 * value, 1) + 0.0 for value in interval)  # -0.0 becomes 0.0
    return (
        f"| {row.question} | {row.where} | `{row.metric}` | {mean:+.1f} "
        f"| {low:+.1f} to {high:+.1f} | {seeds} | {verdict(*interval[1:])} |"
    )


def plot(shown: Sequence[Measured], path: Path) -> None:
    """Plot the differences with their intervals, one panel for each question."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    colors = {"helps": "#009e73", "hurts": "#d55e00", "interval includes 0": "#8c8c8c"}
    questions = list(dict.fromkeys(found.row.question for found in shown))
    groups = [[f for f in shown if f.row.question == question] for question in questions]
    figure, axes = plt.subplots(
        len(questions), 1, figsize=(12.0, 0.5 * len(questions) + 0.24 * len(shown)), sharex=True,
        height_ratios=[len(group) + 0.5 for group in groups], squeeze=False,
        constrained_layout=True,
    )  # fmt: skip
    for panel, question, rows in zip(axes[:, 0], questions, groups, strict=True):
        for place, found in enumerate(rows):
            mean, low, high = (100 * value for value in found.interval)
            panel.errorbar(
                mean, place, xerr=[[mean - low], [high - mean]], fmt="o", capsize=3, markersize=5,
                color=colors[verdict(low, high)],
            )  # fmt: skip
        panel.axvline(0, color="black", linewidth=0.8)
        panel.set_yticks(
            range(len(rows)),
            [f"{row.where} ({seeds} seeds)" for row, _, seeds, _ in rows],
            fontsize=9,
        )
        panel.set_ylim(len(rows) - 0.5, -0.5)
        panel.set_title(question, fontsize=10, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="x", alpha=0.25)
    axes[-1, 0].set_xscale("symlog", linthresh=10)
    ticks = [-50, -20, -10, -5, 0, 5, 10, 20, 50]
    axes[-1, 0].set_xticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks])
    figure.supxlabel(
        f"difference over the same seeds in points of {_PROBE} (in sync: av_sync), 95 % interval; "
        "logarithmic beyond 10",
        fontsize=9,
    )
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    sys.exit(main())
