"""Learning curves of the demo in float32 and in bfloat16, three seeds each.

Runs configs/StiCA/sweeps/demo_precision.yaml, six trainings of about three minutes; the same
command resumes after an interruption. Then compares the losses of all steps and the metrics of the
test, paired by seed, and writes ``results/precision.json``, ``.md`` and ``.png``. The dtype is
forced, so a CPU without AVX512_BF16 or AMX takes hours.

    python benchmarks/precision_curves.py [--runs FOLDER] [--jobs 1] [--report-only]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import harness
from harness import Row

from slowfast.cli import sweep_net
from slowfast.utils.logging import read_stats
from slowfast.utils.statistics import mean_interval

OUT = harness.RESULTS / "precision.json"
SWEEP = "configs/StiCA/sweeps/demo_precision.yaml"
RUNS = Path("output/sweeps/demo_precision")
PRECISIONS = ("float32", "bfloat16")
TINY = (
    "--only */seed_1 TRAIN.MAX_STEPS 3 LOG_PERIOD 1 RESNET.WIDTH_PER_GROUP 2 AUDIO.WIDTH 2 "
    "REPORT.ENABLE False TRAIN.EVAL_BEFORE False"
).split()
LAST_SHARE = 0.1  # of the steps, whose mean loss counts as the final one


class Run(NamedTuple):
    """A finished run.

    Attributes:
        precision: Name of the variant.
        seed: Its seed.
        loss: (step, total loss), as logged.
        metrics: Results of the test after training.
    """

    precision: str
    seed: int
    loss: list[tuple[int, float]]
    metrics: dict[str, float]


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Train what is missing, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    harness.add_arguments(parser)
    parser.add_argument("--runs", type=Path, default=RUNS, help="where the runs are")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    args = parser.parse_args(words)
    if not args.report_only:
        sweep = Path(__file__).parents[1] / SWEEP
        options = ["--sweep", str(sweep), "--output_dir", str(args.runs), "--jobs", str(args.jobs)]
        status = sweep_net.main([*options, "--local", *(TINY if args.tiny else [])])
        if status:
            raise SystemExit(status)
    runs = [read_run(file.parent) for file in sorted(args.runs.glob("*/seed_*/results.json"))]
    rows = compare(runs)
    out = args.out or (None if args.tiny else OUT)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".md").write_text(table(runs), encoding="utf-8")
        plot(runs, out.with_suffix(".png"))
    setting = {"sweep": SWEEP, "seeds": sorted({run.seed for run in runs})}
    return harness.write_result(out, setting, rows, runs=[run._asdict() for run in runs])


def read_run(folder: Path) -> Run:
    """Read the losses and the metrics of a run."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    stats = [one for one in read_stats(folder) if one["_type"] == "train_iter"]
    metrics = {
        name: value["after"]
        for name, value in results.items()
        if isinstance(value, Mapping) and isinstance(value.get("after"), float)
    }
    return Run(
        folder.parent.name,
        int(folder.name.removeprefix("seed_")),
        [(one["step"], one["loss"]) for one in stats],
        metrics,
    )


def pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Pair the runs of a seed: float32 first.

    Raises:
        SystemExit: If no seed is finished in both.
    """
    of = {(run.precision, run.seed): run for run in runs}
    seeds = sorted({run.seed for run in runs})
    found = [
        (of["float32", seed], of["bfloat16", seed])
        for seed in seeds
        if all((name, seed) in of for name in PRECISIONS)
    ]
    if not found:
        raise SystemExit("no seed is finished in float32 and bfloat16: run without --report-only.")
    return found


def final_loss(run: Run) -> float:
    """Average the loss over the last steps."""
    values = [loss for _, loss in run.loss]
    return statistics.mean(values[-max(1, round(LAST_SHARE * len(values))) :])


def describe_difference(differences: Sequence[float]) -> str:
    """Format the mean and the 95 % interval of differences, bfloat16 minus float32."""
    if len(differences) < 2:
        return f"{differences[0]:+.4f} (one seed)"
    found = mean_interval(differences)
    return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def compare(runs: Sequence[Run]) -> list[Row]:
    """Make the rows: differences of the final loss and of the first metric, of means over seeds."""
    both = pairs(runs)
    losses = [(final_loss(one), final_loss(other)) for one, other in both]
    shift = statistics.mean(b - a for a, b in losses) / statistics.mean(a for a, _ in losses)
    rows = [
        harness.row(
            "demo, final loss in bfloat16 against float32, relative difference",
            100 * abs(shift),
            unit="%",
            target="<= 2",
            why=f"bfloat16 minus float32 {describe_difference([b - a for a, b in losses])}, "
            f"{len(both)} seeds",
        )
    ]
    name = "class_retrieval_r1"
    changes = [other.metrics[name] - one.metrics[name] for one, other in both]
    spread = [one.metrics[name] for one, _ in both]
    rows.append(
        harness.row(
            "demo, class retrieval R@1 in bfloat16 against float32, difference",
            100 * abs(statistics.mean(changes)),
            unit="points",
            target="<= 3",
            why=f"bfloat16 minus float32 {describe_difference(changes)}; seeds in float32 are from "
            f"{min(spread):.3f} to {max(spread):.3f}",
        )
    )
    return rows


def table(runs: Sequence[Run]) -> str:
    """Put all metrics into a Markdown table: means, and paired differences."""
    both = pairs(runs)
    lines = [
        "| metric | float32 | bfloat16 | difference, 95 % interval |",
        "|---|--:|--:|---|",
    ]
    values = {"final loss": [(final_loss(a), final_loss(b)) for a, b in both]}
    names = sorted(set.intersection(*(set(run.metrics) for pair in both for run in pair)))
    values |= {name: [(a.metrics[name], b.metrics[name]) for a, b in both] for name in names}
    for name, found in values.items():
        one, other = (statistics.mean(column) for column in zip(*found, strict=True))
        difference = describe_difference([b - a for a, b in found])
        lines.append(f"| {name} | {one:.4f} | {other:.4f} | {difference} |")
    return "\n".join(lines) + "\n"


def plot(runs: Sequence[Run], file: Path) -> None:
    """Draw the loss of every run over its steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colors = dict(zip(PRECISIONS, ("tab:blue", "tab:orange"), strict=True))
    named = set()
    for run in runs:
        steps, losses = zip(*run.loss, strict=True)
        label = None if run.precision in named else run.precision
        named.add(run.precision)
        axes.plot(steps, losses, color=colors[run.precision], alpha=0.6, lw=1, label=label)
    axes.set(xlabel="step", ylabel="loss", title="StiCA on the demo set, one line per seed")
    axes.legend()
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
