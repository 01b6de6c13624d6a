"""``sweep.json`` as tables for people (``table.md``) and for programs (``table.csv``)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slowfast.utils.io import atomic_path, write_json

__all__ = ["format_csv", "format_markdown", "write_summary"]

SUMMARY_NAME = "sweep.json"

_CSV_HEADER = (
    "mean low high num num_planned unit chance difference difference_low difference_high "
    "difference_num excludes_zero"
).split()

Result = dict[str, Any]


def write_summary(output_dir: Path, content: dict[str, Any]) -> None:
    """Write ``sweep.json``, ``table.md`` and ``table.csv``.

    Args:
        output_dir: The sweep's folder.
        content: From ``collect``.
    """
    write_json(output_dir / SUMMARY_NAME, content)
    finished = {run["name"] for run in content["runs"] if run["state"] == "finished"}
    every = {run["name"] for run in content["runs"]}
    title = f"# {content['sweep']}\n\n{len(finished)} of {len(every)} runs are finished.\n\n"
    texts = {"table.md": title + format_markdown(content), "table.csv": format_csv(content)}
    for name, text in texts.items():
        with atomic_path(output_dir / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def format_markdown(content: dict[str, Any]) -> str:
    """Format results as Markdown that also reads well as plain text.

    Args:
        content: Of ``sweep.json``.

    Returns:
        A table for each stage with a row for each metric and cell, in percent, differences in
        percentage points; empty when there are no results.
    """
    results = [result for result in content["results"] if result["shown"]]
    parts = []
    for stage in dict.fromkeys(result["stage"] for result in results):
        mine = [result for result in results if result["stage"] == stage]
        title = [f"## {stage}"] if stage else []
        parts.append("\n\n".join([*title, _table(mine, content["compare"])]))
    return "\n\n".join(parts) + "\n" if parts else ""


def _table(results: Sequence[Result], compare: dict[str, str]) -> str:
    axes = list(results[0]["cell"])
    compared = any(result["difference"] for result in results)
    header = ["metric", *axes, "mean", "95 % interval", "n", "chance"]
    if compared:
        base = ",".join(label for axis, label in compare.items() if axis in axes)
        header += [f"minus {base}", "95 % interval", "beyond 0"]
    rows, last = [], ""
    for result in results:
        row = [
            "" if result["metric"] == last else result["metric"],
            *result["cell"].values(),
            _percent(result["mean"]),
            _interval(result, ""),
            _count(result),
            _percent(result["chance"]),
        ]
        rows.append(row + (_difference_cells(result["difference"]) if compared else []))
        last = result["metric"]
    return _align(header, rows, num_left=1 + len(axes))


def _difference_cells(difference: dict[str, Any] | None) -> list[str]:
    if difference is None:
        return ["", "", ""]
    verdict = {True: "yes", False: "no", None: ""}[difference["excludes_zero"]]
    return [f"{100 * difference['mean']:+.1f}", _interval(difference, "+"), verdict]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _interval(result: Result, sign: str) -> str:
    if result["low"] is None:
        return "-"
    return f"{100 * result['low']:{sign}.1f} to {100 * result['high']:{sign}.1f}"


def _count(result: Result) -> str:
    plural = "s" if result["num_planned"] != 1 else ""
    missing = f" of {result['num_planned']}" if result["num"] < result["num_planned"] else ""
    return f"{result['num']}{missing} {result['unit']}{plural}"


def _align(header: list[str], rows: list[list[str]], num_left: int) -> str:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if number < num_left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if i < num_left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def format_csv(content: dict[str, Any]) -> str:
    """Format results as csv, numbers as fractions in full precision.

    Args:
        content: Of ``sweep.json``.

    Returns:
        A line for each stage, metric and cell, with a column for each axis.
    """
    results = [result for result in content["results"] if result["shown"]]
    axes = list(dict.fromkeys(axis for result in results for axis in result["cell"]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stage", "metric", *axes, *_CSV_HEADER])
    for result in results:
        difference = result["difference"] or {}
        numbers = [result[name] for name in _CSV_HEADER[:7]]
        numbers += [difference.get(k) for k in ("mean", "low", "high", "num", "excludes_zero")]
        labels = [result["cell"].get(axis, "") for axis in axes]
        writer.writerow([result["stage"], result["metric"], *labels, *numbers])
    return text.getvalue()
