"""The page of the results on a GPU, from ``gpu_*.json`` alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TITLES = {
    "check": "Equal numbers",
    "steps": "Training steps",
    "roofline": "Limits of the device, and how close each stage comes",
    "data": "Data",
    "train": "StiCA on real clips",
}


def write(folder: Path) -> Path:
    """Write ``gpu.md`` next to the results.

    Args:
        folder: Where ``gpu_*.json`` are.

    Returns:
        The page.
    """
    lines = ["<!-- Written by benchmarks/gpu/run.py; do not edit. -->", "# Measured on a GPU", ""]
    for name, title in TITLES.items():
        file = folder / f"gpu_{name}.json"
        if not file.exists():
            continue
        content = json.loads(file.read_text(encoding="utf-8"))
        lines += [f"## {title}", "", _where(content), "", *_body(content), ""]
    target = folder / "gpu.md"
    target.write_text("\n".join(lines), encoding="utf-8")
    return target


def _where(content: dict[str, Any]) -> str:
    environment, setting = content["environment"], content["setting"]
    text = f"{setting['device']}, torch {environment.get('torch', '?')}, {environment['date']}"
    if setting["tiny"]:
        text += ", in miniature: the numbers mean nothing"
    if not content["finished"]:
        text += "; **the stage did not end**, what follows is what it had"
    if skipped := content.get("skipped"):
        text += f"; not measured: {', '.join(skipped)}"
    return f"{text}."


def _body(content: dict[str, Any]) -> list[str]:
    lines = []
    if limits := content.get("limits"):
        texts = [f"{limit['name']} {limit['value']:.4g} {limit['unit']}" for limit in limits]
        lines += [f"Measured limits: {', '.join(texts)}.", ""]
    if rows := content["rows"]:
        lines += ["| what | measured | against | times less | memory | remark |"]
        lines += ["|---|--:|--:|--:|--:|---|", *map(_row, rows)]
    if metrics := content.get("metrics"):
        lines += ["", "| metric | before | after | chance |", "|---|--:|--:|--:|"]
        for name, values in metrics.items():
            texts = [_number(values.get(key)) for key in ("before", "after", "chance")]
            lines.append(f"| {name} | {' | '.join(texts)} |")
    return lines


def _row(row: dict[str, Any]) -> str:
    peer = "" if row["peer"] is None else f"{_number(row['peer'])} ({row['peer_name']})"
    memory = f"{row['peak_mib']} MiB" if "peak_mib" in row else ""
    ratio = "" if row["ratio"] is None else f"×{row['ratio']:.2f}"
    measured = "" if row["ours"] is None else f"{_number(row['ours'])} {row['unit']}"
    why = row["why"].replace("|", "\\|")
    return f"| {row['what']} | {measured} | {peer} | {ratio} | {memory} | {why} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
