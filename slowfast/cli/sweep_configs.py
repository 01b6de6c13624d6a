"""The complete configs of a sweep's runs, loaded and checked in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from slowfast.config.problems import ConfigError, Problem
from slowfast.engine.sweep.expand import SweepRun, to_words

__all__ = ["load_configs"]


def load_configs(runs: Sequence[SweepRun], source: str) -> dict[str, dict[str, Any]]:
    """Load the config of every run, before the first of them starts.

    Args:
        runs: The runs. Placeholders stay as they are: what they stand for need not exist yet.
        source: The sweep's YAML, for messages.

    Returns:
        Name of a run -> its complete configuration, dotted.

    Raises:
        ConfigError: With the problems of all runs, each but once.
        RuntimeError: If the checking process fails.
    """
    unique = {run.name: run for run in runs}
    questions = [
        [run.cfg, [*to_words(run.overrides), "OUTPUT_DIR", "{stage_dir}"]]
        for run in unique.values()
    ]
    done = subprocess.run(
        [sys.executable, "-m", "slowfast.cli.sweep_check"],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the configs could not be checked:\n{done.stderr}")
    answers = dict(zip(unique, json.loads(done.stdout), strict=True))
    problems: dict[tuple[str, str], list[str]] = {}
    for name, answer in answers.items():
        for key, message in answer.get("problems", []):
            problems.setdefault((key, message), []).append(name)
    if problems:
        raise ConfigError(
            [Problem(k, f"{text} ({_where(names)})") for (k, text), names in problems.items()],
            source,
        )
    return {name: answer["config"] for name, answer in answers.items()}


def _where(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"in {names[0]}{more}"
