#!/usr/bin/env python3
r"""Compare the methods on sets of videos: accuracy before and after training, and memory.

    python projects/contrastive/report.py --set "demo set" output/sweeps/contrastive \
        --set "spoken words" output/sweeps/contrastive_words --out docs/evidence/contrastive

Writes OUT.json, OUT.md and OUT.png. OUT.json of another machine may be given next to a folder, or
instead: what it has of the set is taken. Gains are paired: the same network with its random
weights. A method has the seeds that it has finished. For what a step costs, see
benchmarks/bench_methods.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.utils.exit_codes import exit_with
from slowfast.utils.logging import read_stats
from slowfast.utils.report_files import write_report
from slowfast.utils.statistics import mean_interval

METRICS = {"class_retrieval_r1": "class retrieval R@1", "linear_probe_top1": "linear probe"}
NOTE = (
    "Percent, means over the seeds; in parentheses the 95 % interval, with several seeds. "
    "Memory is that of the GPU, or on a CPU that of the training process."
)


Runs = list[dict[str, Any]]


def main() -> int:
    """Run the command; returns the exit status."""
    return exit_with(run)


def run() -> int:
    """Read all finished runs of the sweeps, tabulate and plot them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--set", dest="sets", nargs="+", action="append", required=True,
        metavar=("TITLE", "RESULTS"),
        help="a set of videos: its title, then folders of sweeps, or OUT.json of other reports",
    )  # fmt: skip
    parser.add_argument(
        "--against", default="", metavar="METHOD",
        help="also tabulate how much better this method is than each other, over the same seeds",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.json, .md, .png")
    args = parser.parse_args()
    measured: dict[str, Runs] = {}
    for title, *places in args.sets:
        try:
            runs = read_runs(title, [Path(place) for place in places])
        except ValueError as error:
            parser.error(str(error))
        if not runs:
            named = ", ".join(places) or "no folder is named"
            parser.error(
                f"--set {title!r}: {named}: there is no finished run; run tools/sweep_net.py first."
            )
        measured[title] = runs
    try:
        text = "\n".join(
            f"**{title}**\n\n{tabulate(runs)}{against(runs, args.against)}"
            for title, runs in measured.items()
        )
    except ValueError as error:
        parser.error(str(error))
    text += f"\n{NOTE}\n"
    write_report(args.out, text, content=measured, plot=lambda path: plot(measured, path))
    return 0


def read_runs(title: str, places: Sequence[Path]) -> Runs:
    """Read the finished runs of folders and files, by method and seed.

    Args:
        title: Of the set of videos; of a file those runs are read.
        places: Folders of sweeps, or files that this script has written.

    Raises:
        ValueError: If there is no such place, or a run is in two of them.
    """
    runs: dict[tuple[str, int], dict[str, Any]] = {}
    for place in places:
        try:
            found = _read_place(title, place)
        except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{place}: expected the folder of a sweep, or a file that this script has written "
                f"({type(error).__name__}: {error})."
            ) from error
        for key, run in found:
            if key in runs:
                raise ValueError(f"{place}: {key[0]}, seed {key[1]} is in two of the results.")
            runs[key] = run
    return [runs[key] for key in sorted(runs)]


def _read_place(title: str, place: Path) -> list[tuple[tuple[str, int], dict[str, Any]]]:
    if place.is_dir():
        found = [read_run(file.parent) for file in place.glob("*/seed_*/results.json")]
    elif place.is_file():
        found = json.loads(place.read_text(encoding="utf-8")).get(title, [])
    else:
        raise ValueError(f"{place}: there is no such folder or file; run tools/sweep_net.py.")
    # A run that is not finished has only the metrics of random weights.
    finished = [run for run in found if all("after" in run[name] for name in METRICS)]
    return [((run["method"], run["seed"]), run) for run in finished]


def read_run(folder: Path) -> dict[str, Any]:
    """Read the metrics of a run, its steps and its memory."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    steps = [stats for stats in read_stats(folder) if stats["_type"] == "train_iter"]
    return {
        "method": folder.parent.name,
        "seed": int(folder.name.removeprefix("seed_")),
        "steps": max(stats["step"] for stats in steps),
        "peak_memory_gib": _peak_memory(steps),
        **{name: results[name] for name in METRICS},
    }


def _peak_memory(steps: Sequence[dict[str, Any]]) -> float | None:
    """Return the peak memory of a run in GiB: of the GPU, else of the process; None if unknown."""
    for name in ("gpu_mem", "RAM_peak"):
        peak = max(
            (float(stats[name].removesuffix("G")) for stats in steps if name in stats), default=0.0
        )
        if peak > 0:
            return peak
    return None


def tabulate(runs: Runs) -> str:
    """Tabulate means over seeds, in percent, in Markdown, the best retrieval first."""
    heads = [f"{title} | gain over random weights" for title in METRICS.values()]
    lines = [
        f"| method | seeds | {' | '.join(heads)} | peak memory, GiB |",
        "|---|" + "--:|" * (2 * len(METRICS) + 2),
    ]
    for method in ranked(runs):
        own = [run for run in runs if run["method"] == method]
        texts = [method, ", ".join(str(run["seed"]) for run in own)]
        for name in METRICS:
            after = [100 * run[name]["after"] for run in own]
            gains = [100 * (run[name]["after"] - run[name]["before"]) for run in own]
            texts += [f"{statistics.mean(after):.1f}", interval(gains)]
        peaks = [run["peak_memory_gib"] for run in own if run["peak_memory_gib"] is not None]
        texts.append(f"{max(peaks):.2f}" if peaks else "")
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def against(runs: Runs, base: str) -> str:
    """Tabulate how much better one method is than each other, paired by seed, in Markdown.

    Args:
        runs: Of a set of videos.
        base: The method; "": no table.

    Raises:
        ValueError: If there is no such method.
    """
    if not base:
        return ""
    by_method: dict[str, dict[int, Any]] = {method: {} for method in ranked(runs)}
    for run in runs:
        by_method[run["method"]][run["seed"]] = run
    if base not in by_method:
        raise ValueError(f"--against {base}: expected one of {', '.join(by_method)}.")
    own = by_method.pop(base)
    lines = [f"\n| {base}, against | seeds | {' | '.join(METRICS.values())} |", "|---|--:|--:|--:|"]
    for method, other in by_method.items():
        seeds = sorted(own.keys() & other.keys())
        if seeds:
            texts = [
                interval([100 * (own[s][name]["after"] - other[s][name]["after"]) for s in seeds])
                for name in METRICS
            ]
            lines.append(f"| {method} | {len(seeds)} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


def ranked(runs: Runs) -> list[str]:
    """List the methods, the highest first metric first."""
    first = next(iter(METRICS))

    def score(method: str) -> float:
        return statistics.mean(run[first]["after"] for run in runs if run["method"] == method)

    return sorted({run["method"] for run in runs}, key=score, reverse=True)


def interval(values: Sequence[float]) -> str:
    """Format a mean and its interval, Student's t; the mean alone for one seed."""
    mean = statistics.mean(values)
    if len(values) == 1:
        return f"{mean:+.1f}"
    found = mean_interval(values)
    return f"{mean:+.1f} ({found.low:+.1f} to {found.high:+.1f})"


def plot(measured: Mapping[str, Runs], path: Path) -> None:
    """Draw a point per seed and a bar per mean, before and after training, a panel per metric.

    Methods are in the order of the first set.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    found = [method for runs in measured.values() for method in ranked(runs)]
    methods = list(dict.fromkeys(found))[::-1]
    panels = [(title, runs, name) for title, runs in measured.items() for name in METRICS]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(1.5 + 2.9 * len(panels), 0.38 * len(methods) + 1.2), sharey=True
    )
    for axis, (title, runs, name) in zip(axes, panels, strict=True):
        for place, method in enumerate(methods):
            own = [run[name] for run in runs if run["method"] == method]
            if not own:
                continue
            before, after = ([100 * run[when] for run in own] for when in ("before", "after"))
            axis.barh(place, statistics.mean(after), height=0.6, color="#a9c4e0")
            axis.plot([statistics.mean(before)] * 2, [place - 0.3, place + 0.3], color="#d62728")
            axis.plot(after, [place] * len(after), "o", color="#1b2a41", markersize=3.5)
        axis.axvline(100 * runs[0][name]["chance"], color="0.5", linestyle=":", linewidth=1)
        axis.set_title(f"{title}:\n{METRICS[name]}", fontsize=10)
        axis.set_xlabel("%")
        axis.set_xlim(0, 103)  # points at 100 are not cut
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(methods)), methods)
    figure.text(
        0.99,
        0.01,
        "bar: mean; point: a seed; red: random weights; dotted: chance",
        ha="right",
        fontsize=8,
        color="0.3",
    )
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    sys.exit(main())
