#!/usr/bin/env python3
"""Trainings that were tried while tuning: which keys differ, what their features are worth.

    python projects/stica/report_tuning.py TEST [TEST ...] --out docs/evidence/words_recipe

A TEST is the OUTPUT_DIR of a test of frozen features, or of a training that was tested at its end.
The keys are those of the training that wrote the tested checkpoint, which may be one of its middle.
Written are OUT.json and OUT.md. One run of each says little: these numbers chose a setting, and
prove nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.config import CfgNode, UserError
from slowfast.config.machine_keys import is_machine_key, is_path_key
from slowfast.config.values import flatten
from slowfast.utils.checkpoint import find_last_checkpoint, read_checkpoint_file
from slowfast.utils.exit_codes import exit_with
from slowfast.utils.report_files import write_report

METRICS = ("class_retrieval_r1", "linear_probe_top1", "video_to_audio_r1", "audio_to_video_r1")
OF_TESTS = ("TEST.", "PROBE.", "REPORT.", "TENSORBOARD.")
TOLD = ("RNG_SEED", "SOLVER.MAX_EPOCH")


def main() -> int:
    """Run the command; returns the exit status."""
    return exit_with(run)


def run() -> int:
    """Read, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", type=Path, nargs="+", help="OUTPUT_DIRs of tests")
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.json and OUT.md")
    args = parser.parse_args()
    runs = []
    for folder in args.tests:
        try:
            runs.append(read_run(folder))
        except (OSError, KeyError, TypeError, ValueError, UserError) as error:
            parser.error(
                f"{folder}: {error}: expected the folder of a test with results.json and "
                "config.yaml, and the checkpoint that it tested."
            )
    runs = describe(runs)
    write_report(args.out, tabulate(runs), content=runs)
    return 0


def read_run(folder: Path) -> dict[str, Any]:
    """Read the results of a test, and the training that its weights are from.

    Raises:
        OSError: If a file is missing.
        KeyError: If a metric was not measured.
    """
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    cfg = CfgNode.load_cfg((folder / "config.yaml").read_text(encoding="utf-8"))
    tested = cfg.TEST.CHECKPOINT_FILE_PATH or find_last_checkpoint(folder)
    if tested is None:
        raise FileNotFoundError(f"{folder} holds no checkpoint, and its test names none")
    checkpoint = read_checkpoint_file(Path(tested))
    training = flatten(CfgNode.load_cfg(checkpoint["cfg"]))
    return {
        "seed": training["RNG_SEED"],
        "epoch": checkpoint["epoch"] + 1,
        "epochs": training["SOLVER.MAX_EPOCH"],
        "keys": {
            key: value
            for key, value in training.items()
            if not (is_machine_key(key) or is_path_key(key) or key.startswith(OF_TESTS))
            and key not in TOLD
        },
        "metrics": {name: results[name]["after"] for name in METRICS},
    }


def describe(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave only those keys of which the runs have different values."""
    names = dict.fromkeys(name for run in runs for name in run["keys"])
    first = runs[0]["keys"]
    differ = [name for name in names if any(r["keys"].get(name) != first.get(name) for r in runs)]
    return [run | {"keys": {name: run["keys"].get(name) for name in differ}} for run in runs]


def tabulate(runs: Sequence[Mapping[str, Any]]) -> str:
    """Tabulate in Markdown what differs from most runs, and the metrics."""
    lines = [
        f"| keys | epoch | seed | {' | '.join(f'`{name}`' for name in METRICS)} |",
        "|---|---|--:|" + "--:|" * len(METRICS),
    ]
    usual = {}
    for name in runs[0]["keys"]:
        values = [json.dumps(run["keys"][name]) for run in runs]
        usual[name] = max(values, key=values.count)
    for run in runs:
        keys = {name: json.dumps(value) for name, value in run["keys"].items()}
        told = [f"`{name} {value}`" for name, value in keys.items() if value != usual[name]]
        shares = [f"{100 * run['metrics'][name]:.1f} %" for name in METRICS]
        epoch = f"{run['epoch']} of {run['epochs']}"
        lines.append(
            f"| {', '.join(told) or '(as below)'} | {epoch} | {run['seed']} "
            f"| {' | '.join(shares)} |"
        )
    common = ", ".join(f"`{name} {value}`" for name, value in usual.items())
    return "\n".join([*lines, "", f"Where a key is not named: {common}."]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
