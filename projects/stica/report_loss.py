#!/usr/bin/env python3
r"""Did the models of a sweep leave their plateau? One of the losses, mean over an epoch.

    python projects/stica/report_loss.py output/sweeps/grid_ablation --out docs/evidence/grid_loss

A contrastive loss that tells nothing apart is the logarithm of the number of clips in a batch.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import yaml

from slowfast.cli.options import OldName
from slowfast.engine.sweep.results import RunResult, read_results
from slowfast.utils.exit_codes import exit_with
from slowfast.utils.logging import read_stats
from slowfast.utils.report_files import write_report


def main() -> int:
    """Run the command; returns the exit status."""
    return exit_with(run)


def run() -> int:
    """Read all finished runs of a sweep, and tabulate them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="folder of a sweep of trainings")
    loss = parser.add_argument("--loss", default="loss_cross", help="default: %(default)s")
    parser.add_argument("--term", action=OldName, new=loss)
    parser.add_argument("--epoch", type=int, help="from 1; default: the last")
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.json and OUT.md")
    args = parser.parse_args()
    try:
        runs = read_results(args.sweep / "sweep.json").finished()
        measured = [read_run(args.sweep / run.name, run, args.loss, args.epoch) for run in runs]
    except ValueError as error:
        parser.error(str(error))
    write_report(args.out, tabulate(measured, args.loss), content=measured)
    return 0


def read_run(folder: Path, run: RunResult, loss: str, epoch: int | None = None) -> dict[str, Any]:
    """Read the mean of a loss over an epoch of a training, and the plateau of the loss.

    Args:
        folder: Of the training.
        run: Its results.
        loss: Name of the loss.
        epoch: From 1; None: the last.

    Returns:
        The variant, the seed, the loss and its plateau.

    Raises:
        ValueError: If the training did not log the loss in that epoch.
    """
    batch = yaml.safe_load((folder / "config.yaml").read_text())["TRAIN"]["BATCH_SIZE"]
    epochs = [stats for stats in read_stats(folder) if stats["_type"] == "train_epoch"]
    if epoch is not None and not 0 < epoch <= len(epochs):
        raise ValueError(f"--epoch {epoch}: {folder} logged the epochs 1 to {len(epochs)}.")
    last = epochs[epoch - 1 if epoch else -1] if epochs else {}
    if loss not in last:
        logged = ", ".join(name for name in last if name.startswith("loss")) or "none"
        raise ValueError(f"--loss {loss}: {folder} logged other losses: {logged}.")
    variant = ", ".join(f"{axis} {value}" for axis, value in run.variant.items())
    return {"variant": variant, "seed": run.seed, loss: last[loss], "plateau": math.log(batch)}


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
    sys.exit(main())
