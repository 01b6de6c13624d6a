"""The result of ``slowfast benchmark`` in words, from its JSON alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slowfast.visualization.pages.render import format_duration, format_percent

__all__ = ["describe_benchmark"]

_MIB, _GIB = 2**20, 2**30
_BUSY = 0.25
"""Load per core before the benchmark from which on a machine counts as busy."""
_NOTES = {
    "wait": "for the data loader",
    "copy": "to the device; normalize, spectrograms, mixup",
    "forward": "model and loss",
    "optimizer": "clip gradients, step",
    "other": "hooks of the method, learning rate",
    "decode": "open, seek, decode, resize",
    "augment": "crops, colors, all views",
    "rest": "labels, random numbers",
    "collate": "stack to a batch",
}


def describe_benchmark(facts: Mapping[str, Any]) -> list[str]:
    """Put the measurements of a benchmark into words.

    Args:
        facts: The content of the JSON file.

    Returns:
        Lines of text.
    """
    lines = [*_setting(facts), "", *_step(facts)]
    if facts["sample"] is not None:
        lines += ["", *_data(facts)]
    lines += ["", *_costs(facts), "", facts["bottleneck"]["sentence"]]
    if changes := facts["bottleneck"]["changes"]:
        words = " ".join(f"{key} {value}" for key, value in changes.items())
        lines += [f"Try it: add {words} to the command."]
    return lines


def _setting(facts: Mapping[str, Any]) -> list[str]:
    processes, workers, environment = facts["processes"], facts["workers"], facts["environment"]
    lines = [
        f"{facts['config']}: {facts['samples_per_step']} samples a step; {facts['device']}, "
        f"{facts['step']['precision']}, {processes} process{'es' if processes > 1 else ''} with "
        f"{workers} data worker{'' if workers == 1 else 's'}, {facts['threads']} thread"
        f"{'' if facts['threads'] == 1 else 's'}"
    ]
    if facts["is_demo"]:
        lines.append("on the built-in demo set: DATA.PATH_TO_DATA_DIR is not set")
    if environment["load"] > _BUSY * environment["cores"]:
        lines.append(
            f"The machine was busy before (load {environment['load']:.1f} on "
            f"{environment['cores']} cores): times are too long, CPU times less so."
        )
    return lines


def _step(facts: Mapping[str, Any]) -> list[str]:
    step = facts["step"]
    speed = facts["samples_per_step"] / step["step_sec"]
    title = f"a step: {_time(step['step_sec'])}, {speed:.3g} samples/s (medians of {step['steps']})"
    lines = [title, *_table(step["parts_sec"])]
    if facts["device"] != "cpu":
        lines.append("  (parts: of steps that wait for the GPU after each part)")
    return lines


def _data(facts: Mapping[str, Any]) -> list[str]:
    sample, loader, processes = facts["sample"], facts["loader"], facts["processes"]
    parts = {
        "decode": sample["decode_sec"],
        "augment": sample["augment_sec"],
        "rest": sample["other_sec"],
        "collate": sample["collate_sec"],
    }
    title = (
        f"a sample in one thread: {_time(sum(parts.values()))}, {_time(sample['cpu_sec'])} of CPU "
        f"time (mean of {sample['samples']})"
    )
    model = facts["samples_per_step"] / facts["compute_sec"] if facts["compute_sec"] else 0.0
    return [
        title,
        *_table(parts),
        f"  the loader alone: {loader['samples_per_sec'] * processes:.3g} samples/s; the model "
        f"alone: {model:.3g} samples/s, for which {facts['needed_workers']} data worker"
        f"{'' if facts['needed_workers'] == 1 else 's'} of a process would be enough",
    ]


def _costs(facts: Mapping[str, Any]) -> list[str]:
    """Describe memory, CPU time, and how long a training would take."""
    step, memory = facts["step"], facts["memory"]
    cpu = f"{_time(step['cpu_sec'])} in a training process"
    if facts["sample"] is not None:
        loading = facts["sample"]["cpu_sec"] * facts["samples_per_step"] / facts["processes"]
        cpu += f", {_time(loading)} for its data"
    where = "the GPU" if facts["device"] != "cpu" else "the process"
    peak = f"{memory['peak_bytes'] / _GIB:.2f} GiB of {where}"
    if memory["worker_bytes"]:
        peak += f"; largest data worker {memory['worker_bytes'] / _MIB:.0f} MiB"
    lines = [f"CPU time of a step: {cpu}", f"peak memory: {peak}"]
    if facts["epoch_sec"]:
        epochs = facts["epochs"]
        total = format_duration(epochs * facts["epoch_sec"])
        lines.append(
            f"an epoch of this data: {format_duration(facts['epoch_sec'])}; all {epochs}: {total} "
            "(without tests)"
        )
    return lines


def _table(parts: Mapping[str, float]) -> list[str]:
    total, width = sum(parts.values()) or 1.0, max(map(len, parts))
    return [
        f"  {name.ljust(width)} {_time(sec):>9} {format_percent(sec / total, 0):>6}  "
        f"{_NOTES.get(name, '')}".rstrip()
        for name, sec in parts.items()
    ]


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else format_duration(seconds)
