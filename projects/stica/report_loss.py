#!/usr/bin/env python3
r"""Did the models of a sweep leave their plateau? One of the losses, mean over the last epoch.

    python projects/stica/report_loss.py output/sweeps/grid_ablation --out docs/evidence/grid_loss

A contrastive loss that tells nothing apart is the logarithm of the number of clips in a batch.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import yaml

from slowfast.cli.options import OldName
from slowfast.engine.sweep.results import read_results
from slowfast.utils.logging import read_stats


def main() -> None:
    """Read all finished runs of a sweep, and tabulate them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="folder of a sweep of trainings")
    loss = parser.add_argument("--loss", default="loss_cross", help="default: %(default)s")
    parser.add_argument("--term", action=OldName, new=loss)
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.json and OUT.md")
    args = parser.parse_args()
    try:
        results = read_results(args.sweep / "sweep.json")
    except ValueError as error:
        parser.error(str(error))
    measured = []
    for run in results.runs:
        if not run.is_finished:
            continue
        folder = args.sweep / run.name
        batch = yaml.safe_load((folder / "config.yaml").read_text())["TRAIN"]["BATCH_SIZE"]
        variant = ", ".join(f"{axis} {value}" for axis, value in run.variant.items())
        epochs = [stats for stats in read_stats(folder) if stats["_type"] == "train_epoch"]
        values = {args.loss: epochs[-1][args.loss], "plateau": math.log(batch)}
        measured.append({"variant": variant, "seed": run.seed, **values})
    args.out.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(tabulate(measured, args.loss))
    sys.stdout.write(tabulate(measured, args.loss))


def tabulate(measured: list[dict[str, Any]], loss: str) -> str:
    """Tabulate one value per seed, in Markdown."""
    seeds = sorted({run["seed"] for run in measured})
    plateau = measured[0]["plateau"]
    heads = " | ".join(f"seed {seed}" for seed in seeds)
    lines = [f"| `{loss}`, plateau {plateau:.2f} | {heads} |", "|---|" + "--:|" * len(seeds)]
    for variant in dict.fromkeys(run["variant"] for run in measured):
        values = {run["seed"]: run[loss] for run in measured if run["variant"] == variant}
        texts = [f"{values[seed]:.2f}" if seed in values else "" for seed in seeds]
        lines.append(f"| {variant} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
