"""How far a sweep is, in words: durations, the time that is left, the end of a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from slowfast.engine.sweep.run_state import FAILED, INTERRUPTED
from slowfast.engine.sweep.tasks import Task

__all__ = ["format_seconds", "read_tail", "seconds_left"]

_TAIL_LINES = 15


def read_tail(path: Path, start: int = 0, count: int = _TAIL_LINES) -> list[str]:
    """Read the last lines of a log.

    Args:
        path: The log.
        start: Bytes at its beginning to leave out.
        count: Lines, at most.

    Returns:
        The lines that are not empty; of a progress bar its last state.
    """
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(start, path.stat().st_size - 64 * 1024))
        text = file.read().decode("utf-8", errors="replace")
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return [line for line in lines if line.strip()][-count:]


def format_seconds(seconds: float) -> str:
    """Format a duration for people.

    Args:
        seconds: The duration.

    Returns:
        Its two largest units, such as ``4 min 10 s``.
    """
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    rest = round(seconds)
    parts: list[str] = []
    for name, size in units:
        count, rest = divmod(rest, size)
        if count or parts or size == 1:
            parts.append(f"{count} {name}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 ") or len(parts) == 1)


def seconds_left(
    tasks: Sequence[Task],
    waiting: Sequence[Task],
    elapsed: Mapping[str, float],
    slots: int | None,
) -> float:
    """Estimate how long a sweep will take from now on.

    Args:
        tasks: All tasks; finished ones tell how long one takes, of the same stage if there are any.
        waiting: Those that are not started.
        elapsed: Name of a task that runs -> seconds since its start.
        slots: Runs at once; None: unknown.

    Returns:
        Seconds; 0 where nothing is known or nothing is left.
    """
    times: dict[str, list[float]] = {}
    for task in tasks:
        if task.is_finished and task.marker.seconds:
            times.setdefault(task.run.stage, []).append(task.marker.seconds)
    every = [seconds for some in times.values() for seconds in some]
    if not every or slots is None:
        return 0.0

    def expected(task: Task) -> float:
        known = times.get(task.run.stage, every)
        return sum(known) / len(known)

    left = [expected(task) for task in _startable(tasks, waiting)]
    for task in tasks:
        if task.name in elapsed:
            left.append(max(0.0, expected(task) - elapsed[task.name]))
    return sum(left) / max(1, min(slots, len(left)))


def _startable(tasks: Sequence[Task], waiting: Sequence[Task]) -> list[Task]:
    """List what waits and needs nothing that has failed; what failed earlier is tried again."""
    lost = {task.name for task in tasks if task.marker.state in (FAILED, INTERRUPTED)}
    lost -= {task.name for task in waiting}
    found = []
    for task in waiting:
        if lost.isdisjoint(task.run.needs.values()):
            found.append(task)
        else:
            lost.add(task.name)
    return found
