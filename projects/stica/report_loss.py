#!/usr/bin/env python3
r"""Did the models of a sweep leave their plateau? A term of the loss, mean over the last epoch.

    python projects/stica/report_loss.py output/sweeps/grid_ablation --out docs/evidence/grid_loss

A contrastive term that tells nothing apart is the logarithm of the number of clips in a batch.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import yaml

from slowfast.visualization.curves import read_stats


def main() -> None:
    """Read all finished runs of a sweep, and tabulate them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="folder of a sweep of trainings")
    parser.add_argument("--term", default="loss_cross", help="default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.json and OUT.md")
    args = parser.parse_args()
    record = args.sweep / "sweep.json"
    if not record.is_file():
        parser.error(f"{record}: there is no such file; tools/sweep_net.py ends with it.")
    runs = [run for run in json.loads(record.read_text())["runs"] if run["state"] == "finished"]
    measured = []
    for run in runs:
        folder = args.sweep / run["name"]
        batch = yaml.safe_load((folder / "config.yaml").read_text())["TRAIN"]["BATCH_SIZE"]
        cell = ", ".join(f"{axis} {value}" for axis, value in run["cell"].items())
        epochs = [stats for stats in read_stats(folder) if stats["_type"] == "train_epoch"]
        value, plateau = epochs[-1][args.term], math.log(batch)
        measured.append({"cell": cell, "seed": run["seed"], args.term: value, "plateau": plateau})
    args.out.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(tabulate(measured, args.term))
    sys.stdout.write(tabulate(measured, args.term))


def tabulate(measured: list[dict[str, Any]], term: str) -> str:
    """Tabulate one value per seed, in Markdown.

    Args:
        measured: Cell, seed, value and plateau of each run.
        term: Of the loss.

    Returns:
        The table.
    """
    seeds = sorted({run["seed"] for run in measured})
    plateau = measured[0]["plateau"]
    heads = " | ".join(f"seed {seed}" for seed in seeds)
    lines = [f"| `{term}`, plateau {plateau:.2f} | {heads} |", "|---|" + "--:|" * len(seeds)]
    for cell in dict.fromkeys(run["cell"] for run in measured):
        values = {run["seed"]: run[term] for run in measured if run["cell"] == cell}
        texts = [f"{values[seed]:.2f}" if seed in values else "" for seed in seeds]
        lines.append(f"| {cell} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
