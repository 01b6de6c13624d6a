"""What there is to do: every run of a sweep with its state, before anything starts."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast.config.problems import UserError
from slowfast.engine.sweep.expand import SweepRun, make_words
from slowfast.engine.sweep.run_state import (
    FINISHED,
    RUNNING,
    RunState,
    find_changes,
    new_marker,
    read_marker,
)
from slowfast.utils.registry import nearest

__all__ = ["Task", "describe", "make_tasks", "refuse_changed", "select"]

_SHOWN = 5


@dataclass
class Task:
    """A run and where it stands.

    Attributes:
        run: The run.
        folder: Its OUTPUT_DIR.
        marker: As found in the folder where the run may go on, else that of a fresh run.
        changes: Why what the folder holds cannot be gone on with; empty: it can.
    """

    run: SweepRun
    folder: Path
    marker: RunState
    changes: list[str]

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run.name

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.marker.state == FINISHED


def make_tasks(
    runs: Sequence[SweepRun], configs: Mapping[str, Mapping[str, Any]], output_dir: Path
) -> list[Task]:
    """Compare the runs of a sweep with what their folders hold.

    Args:
        runs: In order; a run stands behind those it needs.
        configs: Name of a run -> its complete configuration, dotted.
        output_dir: The sweep's folder.

    Returns:
        A task for each command, in order.
    """
    tasks: dict[str, Task] = {}
    for run in runs:
        if run.name in tasks:
            continue
        needs = {name: tasks[name].marker.run_id for name in run.needs.values()}
        folder = output_dir / run.name
        wanted = new_marker(run, configs[run.name], needs)
        wanted.command = make_words(run, output_dir)
        changes = find_changes(folder, wanted)
        found = None if changes else read_marker(folder)
        if found is not None:
            found.command = wanted.command
        tasks[run.name] = Task(run, folder, found or wanted, changes)
    return list(tasks.values())


def select(tasks: Sequence[Task], pattern: str) -> list[Task]:
    """Choose runs by name, with the runs that they need.

    Args:
        tasks: All tasks, in order.
        pattern: A part of a name, or a pattern with * and ? for the whole name.

    Returns:
        The chosen ones, in order.

    Raises:
        UserError: If no name matches.
    """
    has_wildcard = any(sign in pattern for sign in "*?[")
    glob = pattern if has_wildcard else f"*{pattern}*"
    wanted = {task.name for task in tasks if fnmatch.fnmatchcase(task.name, glob)}
    if not wanted:
        names = [task.name for task in tasks]
        raise UserError(f"--only: no run matches '{pattern}'. {nearest(pattern, names)}")
    for task in reversed(tasks):
        if task.name in wanted:
            wanted |= set(task.run.needs.values())
    return [task for task in tasks if task.name in wanted]


def refuse_changed(tasks: Sequence[Task]) -> None:
    """Refuse to mix results of different configurations.

    Args:
        tasks: What is about to be run.

    Raises:
        UserError: If a folder holds a run that differs from the one that belongs there.
    """
    changed = [task for task in tasks if task.changes]
    if not changed:
        return
    blocks = ["\n    ".join([f"  {task.folder}", *task.changes]) for task in changed[:_SHOWN]]
    if len(changed) > _SHOWN:
        blocks.append(f"  ... and {len(changed) - _SHOWN} more (--dry-run shows them)")
    listed = "\n".join(blocks)
    raise UserError(
        f"{len(changed)} of {len(tasks)} runs differ from what their folders hold:\n{listed}\n"
        "Choose another output_dir, undo the change, or run them again with --force (the old "
        "folders are kept beside the new ones as NAME.replaced_1)."
    )


def describe(task: Task) -> str:
    """Say where a task stands.

    Args:
        task: The task.

    Returns:
        A few words.
    """
    if task.changes:
        return "changed"
    if task.marker.state == RUNNING:
        job = task.marker.slurm_job
        return f"submitted as SLURM job {job}" if job else "interrupted"
    return task.marker.state
