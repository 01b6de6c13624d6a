"""A run and what its folder holds: new, to be resumed, finished, or of another configuration."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from slowfast.config.machine_keys import is_machine_key
from slowfast.config.problems import UserError
from slowfast.config.renamed import translate
from slowfast.config.values import differences
from slowfast.engine.sweep.expand import SweepRun, to_cli_args
from slowfast.utils.io import read_record, set_aside, write_json
from slowfast.utils.registry import nearest

__all__ = [
    "STATE_FILE",
    "RunState",
    "State",
    "load_states",
    "refuse_changed",
    "select",
]

STATE_FILE = "sweep_run.json"
_FORMAT = 1
_SAVED = ("state", "run_id", "config", "needs", "seconds", "status", "slurm_job")

_TRACES = ("checkpoints", "results.json", "config.yaml")
_MAX_CHANGES = 8
_MAX_RUNS = 5


class State(StrEnum):
    """How far a run is. ``RUNNING`` may also be left from a sweep that was killed."""

    NEW = "new"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass
class RunState:
    """A run and its state, kept between two calls of a sweep in ``sweep_run.json``.

    Attributes:
        run: The run.
        config: The complete configuration without what only says where it runs.
        needs: Name of a run whose results are used -> its ``run_id``.
        changes: Why the folder holds another run than this one; empty: it may be resumed.
        state: How far it is.
        run_id: A new one whenever the run is begun from nothing.
        seconds: Time spent so far, over all attempts.
        status: Exit status of the last attempt, or None.
        slurm_job: Number of its job where it was submitted to SLURM.
    """

    run: SweepRun
    config: dict[str, Any] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    state: State = State.NEW
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    seconds: float = 0.0
    status: int | None = None
    slurm_job: str | None = None

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run.name

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.state == State.FINISHED

    @property
    def config_hash(self) -> str:
        """SHA-256 of the configuration."""
        return hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()

    def save(self) -> None:
        """Write the state atomically into the run's folder."""
        content = {name: getattr(self, name) for name in (*_SAVED, "config_hash")}
        content |= {"overrides": to_cli_args(self.run.overrides), "command": self.run.argv}
        write_json(self.run.folder / STATE_FILE, {**content, "format": _FORMAT})

    def archive_previous(self) -> Path:
        """Move what the folder holds out of the way, losing nothing; return where it is now."""
        return set_aside(self.run.folder)

    def describe(self) -> str:
        """Say in a few words how far the run is."""
        if self.changes:
            return "changed"
        if self.state == State.RUNNING:
            job = self.slurm_job
            return f"submitted as SLURM job {job}" if job else State.INTERRUPTED
        return self.state


def load_states(
    runs: Sequence[SweepRun], configs: Mapping[str, Mapping[str, Any]] | None
) -> list[RunState]:
    """Compare the runs of a sweep with what their folders hold.

    Args:
        runs: In order; a run follows those it needs.
        configs: Name of a run -> its complete configuration, dotted. None: they were not loaded,
            and only the overrides are compared.

    Returns:
        A state for each command, in order.
    """
    states: dict[str, RunState] = {}
    for run in runs:
        if run.name not in states:
            needs = {name: states[name].run_id for name in run.needs.values()}
            states[run.name] = _load_state(run, configs and configs[run.name], needs)
    return list(states.values())


def _load_state(run: SweepRun, config: Mapping[str, Any] | None, needs: dict[str, str]) -> RunState:
    saved = read_record(run.folder / STATE_FILE)
    if saved.get("format") != _FORMAT:
        saved = {}
    wanted = {k: v for k, v in (config or {}).items() if not _says_where(k)}
    if config is None:
        is_other = bool(saved) and saved["overrides"] != to_cli_args(run.overrides)
        changes = ["other overrides"] if is_other else []
    elif saved:
        changes = _find_changes(saved, wanted, needs)
    else:
        found = [name for name in _TRACES if (run.folder / name).exists()]
        changes = [f"the folder holds {name} of something else" for name in found[:1]]
    if changes or not saved:
        return RunState(run, wanted, needs, changes)
    kept = {name: saved[name] for name in _SAVED}
    return RunState(run, **{**kept, "state": State(saved["state"])})


def _says_where(key: str) -> bool:
    """Say whether a run stays the same when the key changes: its machine and its folder."""
    return key == "OUTPUT_DIR" or is_machine_key(key)


def _find_changes(
    saved: Mapping[str, Any], config: Mapping[str, Any], needs: Mapping[str, str]
) -> list[str]:
    old, _ = translate(saved["config"])
    lines = list(differences(old, config).values())
    remade = [name for name, run_id in needs.items() if saved["needs"].get(name) != run_id]
    lines += [f"it used an earlier {name}" for name in remade]
    more = len(lines) - _MAX_CHANGES
    return lines if more <= 0 else [*lines[:_MAX_CHANGES], f"... {more} more"]


def select(states: Sequence[RunState], pattern: str) -> list[RunState]:
    """Choose runs by name, with the runs that they need.

    Args:
        states: All runs, in order.
        pattern: A part of a name, or a pattern with * and ? for the whole name; "": all.

    Returns:
        The chosen ones, in order.

    Raises:
        UserError: If no name matches.
    """
    glob = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    names = [state.name for state in states]
    wanted = {name for name in names if fnmatch.fnmatchcase(name, glob)}
    if not wanted:
        raise UserError(f"--only: no run matches '{pattern}'. {nearest(pattern, names)}")
    for state in reversed(states):
        if state.name in wanted:
            wanted |= set(state.run.needs.values())
    return [state for state in states if state.name in wanted]


def refuse_changed(states: Sequence[RunState]) -> None:
    """Refuse to mix results of different configurations.

    Raises:
        UserError: If a folder holds a run that differs from the one that belongs there.
    """
    changed = [state for state in states if state.changes]
    if not changed:
        return
    lines = ["\n    ".join([f"  {s.run.folder}", *s.changes]) for s in changed[:_MAX_RUNS]]
    if len(changed) > _MAX_RUNS:
        lines.append(f"  ... and {len(changed) - _MAX_RUNS} more (--dry-run shows them)")
    listed = "\n".join(lines)
    raise UserError(
        f"{len(changed)} of {len(states)} runs differ from what their folders hold:\n{listed}\n"
        "Choose another output_dir, undo the change, or run them again with --force (the old "
        "folders are kept next to the new ones as NAME.replaced_1)."
    )
