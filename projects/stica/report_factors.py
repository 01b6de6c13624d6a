#!/usr/bin/env python3
r"""What the features of an ablation's models know of the clips' making.

    python tools/sweep_net.py --sweep configs/StiCA/sweeps/demo_ablation.yaml
    python projects/stica/report_factors.py output/sweeps/demo_ablation \
        --out docs/evidence/demo_factors

The demo set's generator knows where a clip's events are, how large and how fast. How much of that
can be read from frozen features of the video (R2 of a ridge regression, fitted on the training
clips, on the test clips), and which part of a class does the nearest training clip share: the
kinds of event, or their order, too?
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import CfgNode, load_config
from slowfast.config.projects import import_project
from slowfast.datasets.demo.generator import class_names, spec_from_cfg
from slowfast.datasets.demo.scene_spec import class_events, plan_clip
from slowfast.engine.evaluator import Evaluation
from slowfast.engine.features import FeatureTable
from slowfast.engine.precision import Precision
from slowfast.engine.sweep.results import read_results
from slowfast.models.build import build_model
from slowfast.models.weights import load_weights
from slowfast.utils.checkpoint import find_last_checkpoint
from slowfast.utils.exit_codes import exit_with
from slowfast.utils.report_files import write_report
from slowfast.utils.statistics import mean_interval

FACTORS = ("x", "y", "size", "tempo")
COLUMNS = {
    "kinds": "kinds of event right",
    "order": "order right, of pairs whose kinds are right",
    "x": "place, across",
    "y": "place, down",
    "size": "size",
    "tempo": "tempo",
}
"""What is measured -> the column's title."""
SHARES = ("kinds", "order")
RIDGE_PENALTIES = np.logspace(-1, 4, 11)

Array = NDArray[np.float64]


def main() -> int:
    """Run the command; returns the exit status."""
    return exit_with(lambda: report(__doc__, measure, COLUMNS, SHARES))


def report(
    description: str,
    measure: Callable[[Path], dict[str, float]],
    columns: Mapping[str, str],
    shares: Collection[str],
) -> int:
    """Be a command that measures all finished runs of a sweep, and tabulates them.

    Args:
        description: Of the command; the first line is shown.
        measure: OUTPUT_DIR of a run -> the value of each column.
        columns: What is measured -> the column's title.
        shares: See ``tabulate``.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="folder of a sweep")
    parser.add_argument("--variants", nargs="+", help="only these; default: all")
    parser.add_argument("--out", type=Path, required=True, help="written: OUT.json and OUT.md")
    args = parser.parse_args()
    try:
        finished = read_results(args.sweep / "sweep.json").finished()
    except ValueError as error:
        parser.error(str(error))
    variants = {next(iter(run.variant.values())) for run in finished}
    if unknown := set(args.variants or ()) - variants:
        parser.error(
            f"--variants {' '.join(sorted(unknown))}: expected some of {sorted(variants)}."
        )
    wanted = set(args.variants or variants)
    runs = [run for run in finished if wanted & set(run.variant.values())]
    measured = []
    for number, run in enumerate(runs, start=1):
        values = measure(args.sweep / run.name)
        variant = next(iter(run.variant.values()))
        measured.append({"variant": variant, "seed": run.seed, **values})
        told = " ".join(f"{name} {value:.2f}" for name, value in values.items())
        sys.stderr.write(f"{number} of {len(runs)}  {run.name}: {told}\n")
    write_report(args.out, tabulate(measured, columns, shares), content=measured)
    return 0


def load_run(folder: Path) -> tuple[CfgNode, nn.Module]:
    """Load the model that a finished run ended with.

    Raises:
        FileNotFoundError: If its checkpoint is gone.
    """
    cfg = load_config(folder / "config.yaml", ["NUM_GPUS", "0"]).cfg
    for name in cfg.PROJECTS:
        import_project(name)
    model = build_model(cfg)
    checkpoint = find_last_checkpoint(folder, cfg.TASK)
    if checkpoint is None:
        raise FileNotFoundError(f"{folder}: there is no checkpoint, although the run has finished.")
    load_weights(model, checkpoint, key="OUTPUT_DIR")
    return cfg, model


def measure(folder: Path) -> dict[str, float]:
    """Measure the model of one run on the demo set that it was trained on.

    Raises:
        FileNotFoundError: If its checkpoint is gone.
    """
    cfg, model = load_run(folder)
    evaluation = Evaluation(cfg, model, Precision.from_cfg(cfg, torch.device("cpu")))
    train, test = evaluation.features("gallery"), evaluation.features("test")
    spec = spec_from_cfg(cfg)
    names = class_names(spec)
    pairs = [frozenset(class_events(spec)[name]) for name in names]

    def planted(table: FeatureTable, split: str) -> Array:
        rows, seen = [], dict.fromkeys(range(len(names)), 0)
        for label in table.label.tolist():  # files of a class are numbered in the manifest's order
            event = plan_clip(spec, split, names[label], seen[label]).seen[0]
            rows.append((*event.center, event.size, event.tempo_hz))
            seen[label] += 1
        return np.array(rows)

    here, there = train.features["video"].double(), test.features["video"].double()
    cosine = (
        torch.nn.functional.normalize(there, dim=1) @ torch.nn.functional.normalize(here, dim=1).T
    )
    found = train.label[cosine.argmax(dim=1)].tolist()
    of_kinds = [
        (hit == label, len(pairs[label]) == 2)
        for hit, label in zip(found, test.label.tolist(), strict=True)
        if pairs[hit] == pairs[label]
    ]
    ordered = [right for right, has_order in of_kinds if has_order]
    known = r2(here.numpy(), planted(train, "train"), there.numpy(), planted(test, "test"))
    return {
        "kinds": len(of_kinds) / len(found),
        "order": sum(ordered) / len(ordered) if ordered else float("nan"),
        **dict(zip(FACTORS, known, strict=True)),
    }


def r2(train: Array, train_targets: Array, test: Array, test_targets: Array) -> list[float]:
    """Regress targets on features.

    Args:
        train: Features (N, C) to fit on.
        train_targets: (N, K).
        test: Features (M, C) to measure on.
        test_targets: (M, K).

    Returns:
        The explained share of each target's variance, K numbers of at most 1.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    told = []
    for k in range(train_targets.shape[1]):
        ridge = make_pipeline(StandardScaler(), RidgeCV(RIDGE_PENALTIES))
        ridge.fit(train, train_targets[:, k])
        told.append(float(r2_score(test_targets[:, k], ridge.predict(test))))
    return told


def tabulate(
    measured: list[dict[str, float]], columns: Mapping[str, str], shares: Collection[str]
) -> str:
    """Tabulate mean and 95 % Student t interval over seeds, in Markdown.

    Args:
        measured: Variant, seed and ``columns`` of each run.
        columns: What is measured -> the column's title.
        shares: Those of them that are told in percent; the others are R2.

    Returns:
        The table.
    """
    lines = [f"| | {' | '.join(columns.values())} |", "|---|" + "--:|" * len(columns)]
    for variant in dict.fromkeys(run["variant"] for run in measured):
        texts = []
        for column in columns:
            values = [run[column] for run in measured if run["variant"] == variant]
            scale, digits, unit = (100, 1, " %") if column in shares else (1, 2, "")
            if len(values) > 1:
                mean, low, high = (scale * x for x in mean_interval(values))
                high = min(high, scale)  # neither a share nor R2 is above 1
                texts.append(f"{mean:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})")
            else:
                texts.append(f"{scale * values[0]:.{digits}f}{unit}")
        lines.append(f"| {variant} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
