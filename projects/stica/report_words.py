#!/usr/bin/env python3
r"""What is pretraining worth on spoken words? Pretrained against random weights and against pixels.

    S=configs/StiCA/sweeps
    python tools/sweep_net.py --sweep $S/words.yaml --jobs 2 DATA.PATH_TO_DATA_DIR /data/words
    python tools/sweep_net.py --sweep $S/words_digits.yaml DATA.PATH_TO_DATA_DIR /data/digits
    python projects/stica/report_words.py output/sweeps/words*/sweep.json --out docs/evidence/words

Differences are over the same seeds, with 95 % Student t intervals. Pixel baselines are linear
classifiers on the same clips; a linear probe of the video features is compared with them. Test
clips are as they are, or shifted and scaled (TEST.SPATIAL_JITTER), so that a fixed pixel shows
something else in each clip. Runs of the same sweep may be in several files. Sweeps that have not
been run are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.engine.sweep.results import read_results
from slowfast.utils.exit_codes import exit_with
from slowfast.utils.report_files import write_report
from slowfast.utils.statistics import mean_interval

Values = Mapping[tuple[str, str, str, str], Mapping[int, float]]
"""(sweep, stage, weights, metric) -> seed -> share."""


class Side(NamedTuple):
    """One side of a comparison: a metric of a stage and its weights."""

    weights: str
    metric: str


class Row(NamedTuple):
    """One comparison.

    Attributes:
        sweep: Name of the sweep's file, without its ending.
        stage: Stage of the sweep.
        title: What is compared.
        ours: What should be larger.
        other: What it is compared with.
    """

    sweep: str
    stage: str
    title: str
    ours: Side
    other: Side

    @property
    def is_against_pixels(self) -> bool:
        """Whether a probe of features is compared with one of pixels, not with random weights."""
        return self.ours.metric != self.other.metric


PROBE = "linear_probe_top1"
STAGES = {
    ("words", "frozen_video"): "video",
    ("words", "frozen_jitter"): "video, shifted and scaled",
    ("words_digits", "frozen_video"): "video, digits alone",
    ("words_digits", "frozen_jitter"): "video, digits alone, shifted and scaled",
    ("words", "frozen_audio"): "audio",
    ("words", "finetune"): "fine-tuned video, all labels",
    ("words", "finetune_5"): "fine-tuned video, 5 labels per class",
}
METRICS = (
    PROBE, "class_retrieval_r1", "knn_top1", "few_shot_1", "few_shot_5", "video_to_audio_r1",
    "audio_to_video_r1", "av_sync", "top1_acc",
)  # fmt: skip
BASELINES = {
    "baseline_mean_color": "mean color of each frame",
    "baseline_frame_difference": "mean difference between frames",
    "baseline_gray_frames": "8 gray frames of 12 x 12 pixels",
}


def rows() -> list[Row]:
    """List all comparisons: with random weights, then with the baselines."""
    weights = [
        Row(sweep, stage, title, Side("pretrained", metric), Side("random", metric))
        for (sweep, stage), title in STAGES.items()
        for metric in METRICS
    ]
    pixels = [
        Row(sweep, stage, f"{title}: {name}", Side("pretrained", PROBE), Side("pretrained", metric))
        for (sweep, stage), title in STAGES.items()
        for metric, name in BASELINES.items()
        if title.startswith("video")
    ]
    return weights + pixels


def main() -> int:
    """Run the command; returns the exit status."""
    return exit_with(run)


def run() -> int:
    """Read, compute, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+", help="sweep.json of words*.yaml")
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.md and OUT.png")
    args = parser.parse_args()
    try:
        values = read_values(args.results)
    except ValueError as error:
        parser.error(str(error))
    measured = [found for row in rows() if (found := compare(values, row)) is not None]
    if not measured:
        parser.error(
            f"{', '.join(map(str, args.results))}: got no seed with both of two runs to compare, "
            "expected two seeds; let tools/sweep_net.py finish more runs."
        )
    text = tabulate(measured)
    write_report(args.out, text, plot=lambda path: plot(measured, path))
    return 0


def read_values(paths: Sequence[Path]) -> Values:
    """Read all metrics of the finished runs.

    Raises:
        ValueError: If a file is missing or not of a sweep.
    """
    values: dict[tuple[str, str, str, str], dict[int, float]] = defaultdict(dict)
    for path in paths:
        results = read_results(path)
        for run in results.runs:
            for metric, share in run.metrics.items():
                key = (results.sweep, run.stage, run.variant.get("weights", ""), metric)
                values[key][run.seed] = share
    return values


class Found(NamedTuple):
    """A row that was measured; values are shares, one per seed that both sides have."""

    row: Row
    ours: list[float]
    other: list[float]

    @property
    def interval(self) -> tuple[float, float, float]:
        """Mean difference, lower and upper end of its 95 % interval, in points."""
        differences = [100 * (a - b) for a, b in zip(self.ours, self.other, strict=True)]
        return mean_interval(differences)


def compare(values: Values, row: Row) -> Found | None:
    """Pair the runs of a row; None with fewer than two seeds, which have no interval."""
    ours, other = (values.get((row.sweep, row.stage, *side), {}) for side in (row.ours, row.other))
    seeds = sorted(ours.keys() & other.keys())
    if len(seeds) < 2:
        return None
    return Found(row, [ours[seed] for seed in seeds], [other[seed] for seed in seeds])


def tabulate(measured: Sequence[Found]) -> str:
    """Tabulate in Markdown: against random weights, then against pixels."""
    ends, rule = "difference (points) | 95 % interval | seeds |", "--:|--:|--:|--:|--:|"
    heads = {
        False: f"| what | metric | pretrained | random weights | {ends}\n|---|---|{rule}",
        True: f"| video: pixels | linear probe, pretrained | pixels | {ends}\n|---|{rule}",
    }
    parts = []
    for is_pixels, head in heads.items():
        lines = [head]
        for found in measured:
            if found.row.is_against_pixels == is_pixels:
                name = "" if is_pixels else f" `{found.row.ours.metric}` |"
                mean, low, high = found.interval
                lines.append(
                    f"| {found.row.title} |{name} {_mean(found.ours)} | {_mean(found.other)} "
                    f"| {mean:+.1f} | {low:+.1f} to {high:+.1f} | {len(found.ours)} |"
                )
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _mean(shares: Sequence[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.1f} %"


def _is_probe_of(row: Row, place: tuple[str, str]) -> bool:
    return (row.sweep, row.stage) == place and row.ours.metric == PROBE


def plot(measured: Sequence[Found], path: Path) -> None:
    """Plot both weights and the pixels, one panel for each set of test clips."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = {
        title: found
        for place, title in STAGES.items()
        if title.startswith("video")
        and (found := [f for f in measured if _is_probe_of(f.row, place)])
    }
    if not panels:
        return
    columns = min(len(panels), 2)
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.6 + 3.2 * columns, 2.4 * lines + 0.6), sharex=True, sharey=True,
        constrained_layout=True, squeeze=False,
    )  # fmt: skip
    for panel in axes.flat[len(panels) :]:
        panel.set_axis_off()
    for panel, (title, found) in zip(axes.flat, panels.items(), strict=False):
        bars = {}
        for each in found:
            bars["linear probe, pretrained"] = (each.ours, "#0072b2")
            if each.row.is_against_pixels:
                bars[f"pixels: {BASELINES[each.row.other.metric]}"] = (each.other, "#e69f00")
            else:
                bars["linear probe, random weights"] = (each.other, "#8c8c8c")
        for place, (shares, color) in enumerate(bars.values()):
            mean, low, high = mean_interval([100 * share for share in shares])
            low, high = max(low, 0.0), min(high, 100.0)
            panel.barh(place, mean, color=color)
            panel.errorbar(
                mean, place, xerr=[[mean - low], [high - mean]], color="black", capsize=3
            )
            panel.annotate(f"{mean:.1f}", (max(high, mean) + 1.5, place), va="center", fontsize=9)
        panel.set_yticks(range(len(bars)), bars)
        panel.set_ylim(len(bars) - 0.5, -0.5)
        panel.set_title(title, fontsize=10, loc="left")
        panel.set_xlim(0, 112)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="x", alpha=0.25)
    figure.supxlabel("spoken words: accuracy in %, mean over seeds with 95 % interval", fontsize=9)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    sys.exit(main())
