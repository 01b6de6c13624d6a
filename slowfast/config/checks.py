"""Registry of configuration checks and notes. Every layer and project registers its own.

A check refuses a value. A note accepts it and says, in the log of a run, that it has no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fvcore.common.config import CfgNode

from slowfast.config.machine_keys import is_training_key
from slowfast.config.problems import ConfigError, Problem
from slowfast.config.projects import inactive_project

__all__ = [
    "Findings",
    "assert_and_infer_cfg",
    "examine",
    "find_problems",
    "register_check",
    "register_note",
]

Check = Callable[[CfgNode], list[Problem]]
Note = Callable[[CfgNode], list[str]]

_CHECKS: dict[str, Check] = {}
_NOTES: dict[str, Note] = {}


class Findings(NamedTuple):
    """What checks and notes say about a configuration.

    Attributes:
        problems: Values that are refused, in the order of registration.
        notes: Sentences about values that are accepted but have no effect.
    """

    problems: list[Problem]
    notes: list[str]


def register_check(check: Check) -> Check:
    """Register a function that finds problems in a complete configuration.

    Args:
        check: Takes the merged configuration and returns its problems. It must not raise on values
            that another check reports, and must not change the configuration.

    Returns:
        The same function, so that this works as a decorator.
    """
    _CHECKS[f"{check.__module__}.{check.__qualname__}"] = check
    return check


def register_note(note: Note) -> Note:
    """Register a function that finds accepted values without effect.

    Args:
        note: Takes the merged configuration and returns sentences that name the keys and say why.

    Returns:
        The same function, so that this works as a decorator.
    """
    _NOTES[f"{note.__module__}.{note.__qualname__}"] = note
    return note


def examine(cfg: CfgNode) -> Findings:
    """Run every check and note of the framework and of the projects in use.

    A run that does not train is not refused for a key that only training reads.

    Args:
        cfg: A merged configuration.

    Returns:
        All problems and notes; empty lists when there are none.
    """
    problems = [problem for check in _active(_CHECKS, cfg) for problem in check(cfg)]
    notes = [sentence for note in _active(_NOTES, cfg) for sentence in note(cfg)]
    if not cfg.TRAIN.ENABLE:
        unused = dict.fromkeys(p.key for p in problems if is_training_key(p.key))
        problems = [problem for problem in problems if not is_training_key(problem.key)]
        if unused:
            named = ", ".join(unused)
            notes.append(f"no effect: {named} (TRAIN.ENABLE is False; not valid for training)")
    return Findings(problems, notes)


def find_problems(cfg: CfgNode) -> list[Problem]:
    """Run every check of the framework and of the projects in use.

    Args:
        cfg: A merged configuration.

    Returns:
        All problems, in the order of registration; empty when there are none.
    """
    return examine(cfg).problems


def _active(registered: dict[str, Any], cfg: CfgNode) -> list[Any]:
    # A copy: a check may import a project, which registers more checks.
    return [f for f in registered.values() if inactive_project(f, cfg.PROJECTS) is None]


def assert_and_infer_cfg(cfg: CfgNode, source: str = "the configuration") -> CfgNode:
    """Validate a configuration (PySlowFast's name for it).

    Args:
        cfg: A merged configuration.
        source: What to call it in the message.

    Returns:
        The same configuration.

    Raises:
        ConfigError: With every problem found, if there is any.
    """
    problems = find_problems(cfg)
    if problems:
        raise ConfigError(problems, source)
    return cfg
