"""What is known of a run between two calls of the sweep: ``sweep_run.json`` in its folder."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slowfast.config.machine_keys import is_machine_key
from slowfast.config.renamed import translate
from slowfast.engine.sweep.expand import SweepRun, to_words
from slowfast.utils.io import read_json, write_json

__all__ = [
    "FAILED",
    "FINISHED",
    "INTERRUPTED",
    "MARKER",
    "NEW",
    "RUNNING",
    "RunState",
    "archive_previous",
    "find_changes",
    "new_marker",
    "read_marker",
    "write_marker",
]

MARKER = "sweep_run.json"
MARKER_FORMAT = 1

NEW, RUNNING, FINISHED, FAILED, INTERRUPTED = "new", "running", "finished", "failed", "interrupted"

_TRACES = ("checkpoints", "results.json", "config.yaml")
_SHOWN = 8


@dataclass
class RunState:
    """The state of one run.

    Attributes:
        state: ``running``, ``finished``, ``failed`` or ``interrupted``; ``new`` before the start.
        run_id: Made again whenever the run is begun from nothing.
        overrides: As on the command line, placeholders unfilled.
        config: The complete configuration without what only says where it runs.
        config_hash: SHA-256 of ``config``.
        needs: Name of a run whose results are used -> its ``run_id``.
        command: The words after the program's name.
        seconds: Time spent so far, over all attempts.
        status: Exit status of the last attempt, or None.
        slurm_job: Where it was submitted to SLURM.
        format: Version of this file.
    """

    state: str
    run_id: str
    overrides: list[str]
    config: dict[str, Any]
    config_hash: str
    needs: dict[str, str]
    command: list[str] = field(default_factory=list)
    seconds: float = 0.0
    status: int | None = None
    slurm_job: str | None = None
    format: int = MARKER_FORMAT


def new_marker(run: SweepRun, config: Mapping[str, Any], needs: Mapping[str, str]) -> RunState:
    """Describe a run that is not begun.

    Args:
        run: The run.
        config: Dotted key -> value of its complete configuration.
        needs: Name of a run whose results are used -> its ``run_id``.

    Returns:
        The marker.
    """
    kept = {key: value for key, value in config.items() if not _is_place(key)}
    text = json.dumps(kept, sort_keys=True).encode()
    return RunState(
        state=NEW,
        run_id=uuid.uuid4().hex,
        overrides=to_words(run.overrides),
        config=kept,
        config_hash=hashlib.sha256(text).hexdigest(),
        needs=dict(needs),
    )


def _is_place(key: str) -> bool:
    """Say whether a run stays what it is when the key changes: of the paths, only its folder."""
    return key == "OUTPUT_DIR" or is_machine_key(key)


def read_marker(folder: Path) -> RunState | None:
    """Read a run's marker.

    Args:
        folder: OUTPUT_DIR of the run.

    Returns:
        The marker; None when there is none, or none that this version can read.
    """
    content = read_json(folder / MARKER)
    if content.get("format") != MARKER_FORMAT:
        return None
    return RunState(**content)


def write_marker(folder: Path, marker: RunState) -> None:
    """Write a run's marker atomically.

    Args:
        folder: OUTPUT_DIR of the run.
        marker: The marker.
    """
    write_json(folder / MARKER, asdict(marker))


def find_changes(folder: Path, wanted: RunState) -> list[str]:
    """Say why what a folder holds is not the run that is wanted, nor a beginning of it.

    Args:
        folder: OUTPUT_DIR of the run.
        wanted: The run as it should be.

    Returns:
        One line per difference; empty when the folder is fresh or the run may go on.
    """
    found = read_marker(folder)
    if found is None:
        traces = [name for name in _TRACES if (folder / name).exists()]
        return [f"the folder holds {traces[0]} of something else"] if traces else []
    before, _ = translate(found.config)
    lines = [
        f"{key}: {before[key]!r} -> {value!r}"
        for key, value in wanted.config.items()
        # A key that was not there came with a newer version, or with a project that is named.
        if key in before and before[key] != value
    ]
    lines += [
        f"it used an earlier {name}"
        for name, run_id in wanted.needs.items()
        if found.needs.get(name) != run_id
    ]
    return lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], f"... {len(lines) - _SHOWN} more"]


def archive_previous(folder: Path) -> Path:
    """Move a run's folder out of the way, losing nothing.

    Args:
        folder: An existing folder.

    Returns:
        Where it is now: beside its old place.
    """
    number = 1
    while (target := folder.with_name(f"{folder.name}.replaced_{number}")).exists():
        number += 1
    return folder.rename(target)
