"""Summary: what ran, where, how long, and how good it became."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slowfast.visualization.pages.render import format_duration, format_number, format_percent
from slowfast.visualization.report.run import Metric, Run
from slowfast.visualization.report.section import Section, make_section
from slowfast.visualization.report.sections.throughput import find_bottleneck

__all__ = ["main_metrics", "summary"]

_MOST_METRICS = 4
_FIRST = ("top1", "map", "r1", "accuracy", "auc", "knn")
"""Parts of the names of metrics that a summary shows first."""

Fact = tuple[str, str, str]


def summary(run: Run) -> Section:
    """Show what ran, where, how long, and the main metrics.

    Args:
        run: The run.

    Returns:
        The section.
    """
    found = find_bottleneck(run)
    return make_section(
        "Summary",
        "report/summary.html",
        facts=[*_what(run), *_where(run), *_progress(run)],
        metrics=[_fact(metric) for metric in main_metrics(run)],
        is_demo=run.is_demo,
        bottleneck=found[1].sentence if found else "",
        num_bad=len(run.rows("bad_media.csv")),
    )


def main_metrics(run: Run) -> list[Metric]:
    """Return the few metrics that say most: the first of each protocol, rank 1 before rank 5.

    Args:
        run: The run.

    Returns:
        At most four metrics that were measured after training.
    """
    measured = [
        metric
        for metric in run.metrics
        if metric.after is not None and not metric.name.startswith("baseline")
    ]
    measured.sort(key=lambda m: not any(part in m.name for part in _FIRST))
    first: dict[str, Metric] = {}
    for metric in measured:
        first.setdefault(metric.name.rpartition("_")[0] or metric.name, metric)
    return list(first.values())[:_MOST_METRICS]


def _fact(metric: Metric) -> Fact:
    notes = []
    if metric.interval is not None:
        low, high = metric.interval
        notes.append(f"95 % interval {100 * low:.1f} to {100 * high:.1f} %")
    if metric.before is not None:
        notes.append(f"before {format_percent(metric.before)}")
    if metric.chance is not None:
        notes.append(f"chance {format_percent(metric.chance)}")
    return metric.name, format_percent(metric.after), "; ".join(notes)


def _what(run: Run) -> list[Fact]:
    config: dict[str, Any] = run.config
    arch = str(config.get("MODEL.ARCH", ""))
    data = [str(config.get(f"{split}.DATASET", "")) for split in ("TRAIN", "TEST")]
    enabled = [bool(config.get(f"{split}.ENABLE")) for split in ("TRAIN", "TEST")]
    used = dict.fromkeys(name for name, on in zip(data, enabled, strict=True) if on)
    batch = f"{format_number(config.get('TRAIN.BATCH_SIZE'))} samples in a batch"
    facts = [
        ("model", str(config.get("MODEL.MODEL_NAME", "")), arch),
        ("data", ", ".join(used), batch if enabled[0] else ""),
    ]
    source = str(run.record.get("source", ""))
    source = Path(source).name if Path(source).is_absolute() else source
    return [("configuration", source, ""), *facts] if source else facts


def _where(run: Run) -> list[Fact]:
    record = run.record
    if not record:
        return []
    processes = record.get("processes", 1)
    note = f"{processes} process{'es' if processes != 1 else ''}, {record.get('cores', '?')} cores"
    versions = "; ".join(f"{name} {text}" for name, text in record.get("versions", {}).items())
    started = str(record.get("started", "")).replace("T", " ")
    facts = [("device", str(record.get("device", "")), note), ("last start", started, versions)]
    if run.seconds:
        each = ", ".join(f"{name} {format_duration(s)}" for name, s in run.seconds.items())
        facts.append(("time", format_duration(sum(run.seconds.values())), each))
    return facts


def _progress(run: Run) -> list[Fact]:
    steps = run.stats("train_iter")
    if not steps:
        return []
    epochs = run.stats("train_epoch")
    done = str(epochs[-1]["epoch"]).partition("/")[0] if epochs else "0"
    planned = str(steps[-1]["epoch"]).partition("/")[2]
    note = f"{format_number(steps[-1]['step'])} optimizer steps"
    facts = [("epochs", f"{done} of {planned}", note)]
    last = (epochs or steps)[-1]
    if last.get("loss") is not None:
        first = (epochs or steps)[0].get("loss")
        facts.append(("loss", format_number(last["loss"]), f"at first {format_number(first)}"))
    return facts
