#!/usr/bin/env python3
r"""Compare the methods of a sweep: accuracy before and after training, time per step and memory.

    python projects/contrastive/report.py output/sweeps/contrastive --out docs/evidence/contrastive
    python projects/contrastive/report.py output/sweeps/contrastive --cross-modal --out table

Writes OUT.json, OUT.md and OUT.png. Gains are paired: the same network with its random weights. All
methods have the same seeds, those that each of them has finished; with --cross-modal, which only
compares each method with its random weights, all of their seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode

from slowfast.utils.logging import read_stats
from slowfast.utils.statistics import mean_interval

METRICS = {"class_retrieval_r1": "class retrieval R@1", "linear_probe_top1": "linear probe"}


def main() -> None:
    """Read all finished runs of a sweep, tabulate and plot them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="folder of a sweep")
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.json, .md, .png")
    parser.add_argument(
        "--cross-modal",
        action="store_true",
        help="only methods that train with audio, with all of their seeds",
    )
    args = parser.parse_args()
    found = [read_run(file.parent) for file in sorted(args.sweep.glob("*/seed_*/results.json"))]
    # A run that is not finished has only the metrics of random weights.
    finished = [
        run
        for run in found
        if all("after" in run[name] for name in METRICS)
        and (run["has_audio"] or not args.cross_modal)
    ]
    if not finished:
        parser.error(f"{args.sweep}: there is no finished run; run tools/sweep_net.py first.")
    seeds = {run["seed"] for run in finished} if args.cross_modal else common_seeds(finished)
    if not seeds:
        parser.error(f"{args.sweep}: no seed is finished for all methods; run tools/sweep_net.py.")
    runs = [run for run in finished if run["seed"] in seeds]
    if len(runs) < len(finished):
        rest = ", ".join(
            f"{run['method']} {run['seed']}" for run in finished if run["seed"] not in seeds
        )
        sys.stderr.write(f"left out, since other methods have not finished these seeds: {rest}\n")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".json").write_text(json.dumps(runs, indent=1) + "\n")
    table = tabulate(runs)
    args.out.with_suffix(".md").write_text(table)
    plot(runs, args.out.with_suffix(".png"))
    sys.stdout.write(table)


def read_run(folder: Path) -> dict[str, Any]:
    """Read the metrics of a run, its median time per step, and its steps."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    cfg = CfgNode.load_cfg((folder / "config.yaml").read_text(encoding="utf-8"))
    steps = [stats for stats in read_stats(folder) if stats["_type"] == "train_iter"]
    return {
        "method": folder.parent.name,
        "seed": int(folder.name.removeprefix("seed_")),
        "sec_per_step": statistics.median(stats["dt_net"] for stats in steps),
        "steps": max(stats["step"] for stats in steps),
        "peak_memory_gib": _peak_memory(steps),
        "has_audio": cfg.AUDIO.ENABLE,
        **{name: results[name] for name in METRICS},
    }


def common_seeds(runs: Sequence[dict[str, Any]]) -> set[int]:
    """Return the seeds that all methods have."""
    of_methods: dict[str, set[int]] = {}
    for run in runs:
        of_methods.setdefault(run["method"], set()).add(run["seed"])
    return set.intersection(*of_methods.values())


def _peak_memory(steps: Sequence[dict[str, Any]]) -> float | None:
    """Return the peak memory of a run in GiB: of the GPU, else of the process; None if unknown."""
    for name in ("gpu_mem", "RAM_peak"):
        peak = max(
            (float(stats[name].removesuffix("G")) for stats in steps if name in stats), default=0.0
        )
        if peak > 0:
            return peak
    return None


def tabulate(runs: Sequence[dict[str, Any]]) -> str:
    """Tabulate means over seeds, in percent, in Markdown, the best retrieval first."""
    heads = [f"{title} | gain over random weights" for title in METRICS.values()]
    lines = [
        f"| method | seeds | {' | '.join(heads)} | seconds per step | peak memory, GiB |",
        "|---|" + "--:|" * (2 * len(METRICS) + 3),
    ]
    for method in ranked(runs):
        own = [run for run in runs if run["method"] == method]
        texts = [method, str(len(own))]
        for name in METRICS:
            after = [100 * run[name]["after"] for run in own]
            gains = [100 * (run[name]["after"] - run[name]["before"]) for run in own]
            texts += [f"{statistics.mean(after):.1f}", interval(gains)]
        # Other work on the machine only adds time.
        texts.append(f"{min(run['sec_per_step'] for run in own):.2f}")
        peaks = [run["peak_memory_gib"] for run in own if run["peak_memory_gib"] is not None]
        texts.append(f"{max(peaks):.2f}" if peaks else "")
        lines.append(f"| {' | '.join(texts)} |")
    seeds = sorted({run["seed"] for run in runs})
    named = ", ".join(map(str, seeds))
    note = (
        f"Percent; seeds {named}. In parentheses, with several seeds, the 95 % interval. Time is "
        "that of the fastest seed. Memory is that of the GPU, or on a CPU that of the training "
        "process."
    )
    return "\n".join([*lines, "", note]) + "\n"


def ranked(runs: Sequence[dict[str, Any]]) -> list[str]:
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


def plot(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw a point per seed and a bar per mean, before and after training."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    methods = ranked(runs)[::-1]
    figure, axes = plt.subplots(
        1, len(METRICS), figsize=(9, 0.42 * len(methods) + 1.2), sharey=True
    )
    for axis, (name, title) in zip(axes, METRICS.items(), strict=True):
        for place, method in enumerate(methods):
            own = [run[name] for run in runs if run["method"] == method]
            before, after = ([100 * run[when] for run in own] for when in ("before", "after"))
            axis.barh(place, statistics.mean(after), height=0.6, color="#4c78a8")
            axis.plot(after, [place] * len(after), "o", color="#1b2a41", markersize=3)
            axis.plot([statistics.mean(before)] * 2, [place - 0.3, place + 0.3], color="#e45756")
        axis.axvline(100 * runs[0][name]["chance"], color="0.5", linestyle=":", linewidth=1)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("%")
        axis.set_xlim(0, 100)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(methods)), methods)
    figure.text(
        0.99, 0.01, "red: random weights; dotted: chance", ha="right", fontsize=8, color="0.3"
    )
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
