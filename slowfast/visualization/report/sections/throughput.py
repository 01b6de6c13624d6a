"""Throughput: where the time of an iteration goes, and the bottleneck."""

from __future__ import annotations

from slowfast.visualization.report.bottleneck import Bottleneck, Timing, explain, measure
from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section, make_section

__all__ = ["find_bottleneck", "throughput"]


def throughput(run: Run) -> Section | None:
    """Show where the time goes, and what to change.

    Args:
        run: The run.

    Returns:
        The section; None if nothing was trained.
    """
    found = find_bottleneck(run)
    if found is None:
        return None
    timing, bottleneck = found
    iteration = timing.iteration
    waiting = "waiting for data" if timing.copy is not None else "waiting for data and copying it"
    parts = [
        (waiting, iteration * timing.wait),
        ("copy to the device and preprocessing", iteration * (timing.copy or 0.0)),
        ("computation (forward, backward, optimizer)", iteration * timing.compute),
    ]
    stats = run.stats("train_iter")
    names = {"dt": "iteration", "dt_data": "data", "dt_net": "computation"}
    series = [
        {
            "label": label,
            "x": [s["step"] for s in stats if name in s],
            "y": [s[name] for s in stats if name in s],
        }
        for name, label in names.items()
    ]
    stages = {"train": "training", "test": "test"}
    return make_section(
        "Throughput",
        "report/throughput.html",
        timing=timing,
        bottleneck=bottleneck,
        parts=parts,
        series=series,
        stages=[(stages.get(stage, stage), seconds) for stage, seconds in run.seconds.items()],
    )


def find_bottleneck(run: Run) -> tuple[Timing, Bottleneck] | None:
    """Measure the timings of a run and name its bottleneck.

    Args:
        run: The run.

    Returns:
        Both; None if nothing was trained.
    """
    stats, config = run.stats("train_iter"), run.config
    timing = measure(stats, config)
    if timing is None:
        return None
    on_gpu = any(not str(s.get("gpu_mem", "0.00G")).startswith("0.00") for s in stats)
    processes = run.record.get("processes_per_machine", max(1, config.get("NUM_GPUS", 1)))
    cores = run.record.get("cores")
    return timing, explain(timing, config, on_gpu=on_gpu, cores=cores, processes=processes)
