"""How time grows with batch, frames, crops, negatives, processes and the vectors of a search.

For each size the CPU time of one process is measured, and an exponent fitted: time ~ size^exponent.
The step is that of the small R(2+1)D-18 of the demo; a search is ``bench_search.py``'s, of 100
queries in vectors of 512 numbers in blocks, with what it adds to the peak memory. Writes
``results/growth.json``, ``.md`` and ``.png``; about 15 minutes and 2 GB of disk for a while.

    python benchmarks/bench_growth.py [--repeats 5] [--only batch crops] [--folder DIR]

Axes that are not run keep their results.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import bench_search
import harness
import torch
from bench_step import Steps, num_threads
from harness import Row
from stica.loss import cross_modal_loss
from torch import distributed, multiprocessing
from torch.nn import functional as F

from slowfast.models.data_parallel import distribute

OUT = harness.RESULTS / "growth.json"
Curve = list[tuple[int, float]]
MAX_SEARCH_MIB = 512.0
WITHOUT = " without"  # behind the name of an axis: its curve without what is blamed


class Axis(NamedTuple):
    """One thing that grows.

    Attributes:
        title: What it counts.
        sizes: Values.
        tiny: Values for tests.
        measure: (sizes, repeats) -> CPU ms of each.
        limit: Largest exponent that we accept.
        why: Of the exponent.
        without: The same without what ``why`` blames, whose exponent ends it; None: nothing.
    """

    title: str
    sizes: tuple[int, ...]
    tiny: tuple[int, ...]
    measure: Callable[[Sequence[int], int], Curve]
    limit: float
    why: str
    without: Callable[[Sequence[int], int], Curve] | None = None


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    harness.add_arguments(parser)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*AXES, "search"], default=[*AXES, "search"])
    parser.add_argument("--folder", help="where stores are written (default: temporary)")
    args = parser.parse_args(words)
    out = args.out or (None if args.tiny else OUT)
    old = json.loads(out.read_text()) if out is not None and out.exists() else {"curves": {}}
    curves: dict[str, Curve] = old["curves"]
    memory = [row for row in old.get("rows", []) if row["unit"] == "MiB"]
    for name in args.only:
        if name == "search":
            curves[name], row = measure_search(args.tiny, args.folder)
            memory = [row]
            continue
        axis = AXES[name]
        sizes, repeats = (axis.tiny, 1) if args.tiny else (axis.sizes, args.repeats)
        with num_threads(1):
            curves[name] = axis.measure(sizes, repeats)
            if axis.without:
                curves[name + WITHOUT] = axis.without(sizes, repeats)
    rows = [
        exponent_row(axis, curves[name], curves.get(name + WITHOUT))
        for name, axis in {**AXES, "search": SEARCH}.items()
        if name in curves
    ]
    if out is not None:
        out.with_suffix(".md").write_text(table(curves), encoding="utf-8")
        plot(curves, out.with_suffix(".png"))
    setting = {"repeats": args.repeats, "threads": 1}
    return harness.write_result(out, setting, [*rows, *memory], curves=curves)


def fit_exponent(curve: Curve) -> float:
    """Fit time = constant * size^exponent by least squares of the logarithms."""
    x, y = ([math.log(value) for value in values] for values in zip(*curve, strict=True))
    return statistics.linear_regression(x, y).slope


def exponent_row(axis: Axis, curve: Curve, without: Curve | None = None) -> Row:
    """Make the row of an exponent; ``without`` is the curve of ``Axis.without``."""
    low, high = curve[0], curve[-1]
    why = axis.why
    if without:
        why += f" {fit_exponent(without):.2f} ({_ends(without)})"
    return harness.row(
        f"growth with {axis.title}, {low[0]} to {high[0]}",
        fit_exponent(curve),
        unit="exponent",
        target=f"<= {axis.limit}",
        why=f"{why}; {_ends(curve)}",
    )


def _ends(curve: Curve) -> str:
    return f"{curve[0][1]:.4g} to {curve[-1][1]:.4g} CPU ms"


def time_steps(
    words: Callable[[int], tuple[str, ...]], sizes: Sequence[int], repeats: int
) -> Curve:
    """Time training steps of batch 8 with overrides for each size."""
    return _times({size: Steps(*words(size), batch=8) for size in sizes}, repeats)


def time_batches(sizes: Sequence[int], repeats: int) -> Curve:
    """Time training steps of growing batches."""
    return _times({size: Steps(batch=size) for size in sizes}, repeats)


def _times(steps: dict[int, Steps], repeats: int) -> Curve:
    calls = {str(size): one.take(one.ours) for size, one in steps.items()}
    times = harness.medians(harness.interleave(calls, repeats))
    return [(int(size), time) for size, time in times.items()]


def _frames(count: int) -> tuple[str, ...]:
    return ("DATA.NUM_FRAMES", str(count))


def _crops(count: int) -> tuple[str, ...]:
    """Use so many large crops in space, and as many small ones."""
    one = ("FEATURE_CROP.SPACE_LARGE.NUM", "2", "FEATURE_CROP.SPACE_SMALL.NUM", str(count - 2))
    return (*one, "FEATURE_CROP.TIME_LARGE.NUM", "0", "FEATURE_CROP.TIME_SMALL.NUM", "0")


def time_negatives(sizes: Sequence[int], repeats: int) -> Curve:
    """Time the cross-modal loss of a batch of 64 with a queue of past embeddings."""
    torch.manual_seed(0)
    dim = 256

    def rows(count: int) -> torch.Tensor:
        return F.normalize(torch.randn(count, dim), dim=-1)

    video, audio = rows(64)[None].requires_grad_(), rows(64).requires_grad_()

    def step(queue: torch.Tensor) -> None:
        cross_modal_loss(video, audio, 0.1, queues=(queue, queue)).backward()

    calls = {str(size): partial(step, rows(size)) for size in sizes}
    times = harness.medians(harness.interleave(calls, repeats))
    return [(int(size), time) for size, time in times.items()]


def time_ranks(sizes: Sequence[int], repeats: int, *, words: Sequence[str] = ()) -> Curve:
    """Time the steps of a process among others: its own samples against those of all."""
    curve = []
    for ranks in sizes:
        with tempfile.TemporaryDirectory() as folder:
            arguments = (ranks, repeats, folder, words)
            multiprocessing.spawn(_rank, arguments, nprocs=ranks)
            found = [float(file.read_text()) for file in Path(folder).glob("*.time")]
        curve.append((ranks, statistics.median(found)))
    return curve


def _rank(rank: int, ranks: int, repeats: int, folder: str, words: Sequence[str]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=ranks
    )
    steps = Steps(*words, batch=8, rows_seed=rank)
    steps.model = distribute(steps.model, torch.device("cpu"))
    step = steps.take(steps.ours)
    step()
    times = []
    for _ in range(repeats):
        cpu, _ = harness.measure(step)
        times.append(cpu)
    (Path(folder) / f"{rank}.time").write_text(str(statistics.median(times)))
    distributed.destroy_process_group()


def measure_search(tiny: bool, folder: str | None) -> tuple[Curve, Row]:
    """Time searches in growing stores, and find what the largest one adds to the peak memory."""
    found = [
        bench_search.measure_size(f"{size}x512", folder, queries=(100,), ways=("blocks",))[0]
        for size in (SEARCH.tiny if tiny else SEARCH.sizes)
    ]
    curve = [(row["vectors"], 1000 * row["blocks_cpu_seconds"]) for row in found]
    memory = harness.row(
        f"search in {found[-1]['vectors']} x 512, added peak memory",
        max(1.0, found[-1]["blocks_memory_mb"]),
        unit="MiB",
        target=f"<= {MAX_SEARCH_MIB:g}",
        why=f"vectors are read in blocks; all of them are "
        f"{found[-1]['vectors'] * 2 / 1024:.0f} MiB",
    )
    return curve, memory


AXES = {
    "batch": Axis("the batch", (4, 8, 16, 32, 64), (4, 8), time_batches, 1.2, "all is per sample"),
    "frames": Axis(
        "frames",
        (9, 17, 33, 65),
        (9, 17),
        partial(time_steps, _frames),
        1.3,
        "the backbone is linear in frames, attention over time steps is quadratic and small",
    ),
    "crops": Axis(
        "crops in space per view",
        (3, 6, 12, 24),
        (3, 6),
        partial(time_steps, _crops),
        0.5,
        "crops are cut from one feature map",
    ),
    "negatives": Axis(
        "negatives of the queue",
        (1024, 4096, 16384, 65536),
        (64, 128),
        time_negatives,
        1.2,
        "one matrix product",
    ),
    "ranks": Axis(
        "processes, per process",
        (1, 2, 4),
        (1, 2),
        time_ranks,
        0.3,
        "each layer of the synchronized batch norm exchanges statistics and is computed without "
        "torch's kernel; with those of each process",
        partial(time_ranks, words=("BN.NORM_TYPE", "batchnorm")),
    ),
}
SEARCH = Axis(
    "vectors of a search, 100 queries",
    (10**4, 10**5, 10**6),
    (500, 1000),
    lambda *_: [],
    1.2,
    "exact",
)


def table(curves: dict[str, Curve]) -> str:
    """Put the curves into a Markdown table."""
    lines = ["| growing | size: CPU ms | exponent |", "|---|---|--:|"]
    for name, curve in curves.items():
        axis = SEARCH if name == "search" else AXES[name.removesuffix(WITHOUT)]
        title = axis.title + (", batch norm of each process" if name.endswith(WITHOUT) else "")
        points = ", ".join(f"{size}: {time:.4g}" for size, time in curve)
        lines.append(f"| {title} | {points} | {fit_exponent(curve):.2f} |")
    return "\n".join(lines) + "\n"


def plot(curves: dict[str, Curve], file: Path) -> None:
    """Draw time over size, both relative to the smallest, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4.5))
    for name, curve in curves.items():
        first = curve[0]
        x = [size / first[0] for size, _ in curve]
        y = [time / first[1] for _, time in curve]
        axes.plot(x, y, marker="o", label=f"{name}: {fit_exponent(curve):.2f}")
    end = axes.get_xlim()[1]
    axes.plot([1, end], [1, end], color="gray", linestyle=":", label="linear: 1")
    axes.set(
        xscale="log", yscale="log", xlabel="size, smallest = 1", ylabel="CPU time, smallest = 1"
    )
    axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
