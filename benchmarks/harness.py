"""What the benchmarks have in common: interleaved timing, the machine, rows, result files.

A result file is ``results/NAME.json``::

    {"environment": {...}, "setting": {...}, "rows": [...], ...}

``rows`` holds what others may cite; ``make_tables.py`` writes the rows of all result files into
``README.md``. Everything else in the file belongs to its benchmark.
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
QUIET_LOAD = 0.5  # runnable processes besides this one, on average over the last minute
PACKAGES = ("torch", "numpy", "av", "opencv-python-headless", "torchcodec", "decord2", "faiss-cpu")
COMPARISONS = {">=": operator.ge, "<=": operator.le}

Row = dict[str, Any]
Call = Callable[[], object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every benchmark has."""
    parser.add_argument("--tiny", action="store_true", help="smallest setting, for tests; seconds")
    parser.add_argument(
        "--out", type=Path, help="the JSON to write (default: in results/; with --tiny: none)"
    )


def describe_machine() -> dict[str, Any]:
    """Describe the machine, how busy it is, and the versions of the libraries."""
    load = os.getloadavg()[0]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "load_average": round(load, 2),
        "quiet": load < QUIET_LOAD,
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := package_version(name))},
    }


def package_version(name: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def row(
    what: str,
    ours: float | None,
    *,
    unit: str,
    peer: float | None = None,
    peer_name: str = "",
    target: str = "",
    why: str = "",
) -> Row:
    """Make a row of the table of all results.

    Args:
        what: What was measured, and on what.
        ours: This project's number, less is better; None: not measured here, ``why`` says why.
        unit: Its unit, e.g. "CPU ms".
        peer: The same work done by the peer, in the same run and the same unit.
        peer_name: What the peer is.
        target: ">= NUMBER" for the ratio peer / ours, or, without a peer, "<= NUMBER" for ours.
        why: One sentence; needed where the target is missed.

    Returns:
        The row, with ``ratio`` (times faster or smaller than the peer) and ``met`` (None without a
        target or a number).

    Raises:
        ValueError: If a target is missed without a reason.
    """
    ratio = None if peer is None or not ours else peer / ours
    value, met = ours if ratio is None else ratio, None
    if target and value is not None:
        sign, _, number = target.partition(" ")
        met = bool(COMPARISONS[sign](value, float(number)))
    if not why and (met is False or ours is None):
        raise ValueError(f"row {what!r}: got {value}, target {target!r}; expected `why`.")
    return {
        "what": what,
        "ours": _round(ours),
        "peer": _round(peer),
        "unit": unit,
        "peer_name": peer_name,
        "ratio": _round(ratio),
        "target": target,
        "met": met,
        "why": why,
    }


def _round(value: float | None) -> float | None:
    """Round to four significant digits."""
    return None if value is None else float(f"{value:.4g}")


def write_result(
    path: Path | None, setting: Mapping[str, Any], rows: Sequence[Row], **details: Any
) -> dict[str, Any]:
    """Write a result file, at once or not at all, and print its rows.

    Args:
        path: The JSON; None: nothing is written.
        setting: What was run: sizes, repeats, threads.
        rows: Made by ``row``.
        details: Further entries of the file; ``environment`` where what was measured is older.

    Returns:
        What was written.
    """
    content = {
        "environment": describe_machine(),
        "setting": dict(setting),
        "rows": list(rows),
        **details,
    }
    for entry in rows:
        print(describe_row(entry))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    return content


def replace_rows(path: Path | None, rows: Sequence[Row]) -> list[Row]:
    """Put new rows in the place of those of a result file, of which a part was measured again.

    Args:
        path: The JSON; None or missing: there is nothing to keep.
        rows: The new rows.

    Returns:
        All rows; those with the same ``what`` and peer as a new one are left out.
    """
    old = json.loads(path.read_text(encoding="utf-8"))["rows"] if path and path.exists() else []
    new = {(row["what"], row["peer_name"]): row for row in rows}
    kept = [new.pop((row["what"], row["peer_name"]), row) for row in old]
    return [*kept, *new.values()]


def describe_row(entry: Row) -> str:
    """Put a row into one line of text."""
    text = f"{entry['what']}: {entry['ours']} {entry['unit']}"
    if entry["peer"] is not None:
        text += f", {entry['peer_name']} {entry['peer']}: x{entry['ratio']}"
    if entry["target"]:
        verdict = {True: "met", False: "missed", None: "not measured"}[entry["met"]]
        text += f" (target {entry['target']}: {verdict})"
    return f"{text} {entry['why']}".rstrip()


def interleave(calls: Mapping[str, Call], repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Time calls in turn, every other round backwards, so that the machine's drift hits all alike.

    Args:
        calls: By name.
        repeats: Rounds that count.
        warm_up: Rounds before, which do not.

    Returns:
        CPU milliseconds of this process, one per round; by name.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-warm_up, repeats):
        names = list(calls) if number % 2 == 0 else list(calls)[::-1]
        for name in names:
            cpu, _ = measure(calls[name])
            if number >= 0:
                times[name].append(cpu)
    return times


def measure(call: Call) -> tuple[float, float]:
    """Return CPU and wall time of a call in milliseconds, with those of child processes it ends."""
    _settle()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    call()
    return 1000 * (_cpu_seconds() - cpu), 1000 * (time.perf_counter() - wall)


def _settle() -> None:
    """Wait until this process is idle: threads of the call before may still spin."""
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.01)
        if time.process_time() - before < 0.002:
            return


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def medians(times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each list."""
    return {name: statistics.median(values) for name, values in times.items()}
