"""Registry of configuration checks. Every layer and project registers its own."""

from __future__ import annotations

from collections.abc import Callable

from fvcore.common.config import CfgNode

from slowfast.config.problems import ConfigError, Problem
from slowfast.config.projects import inactive_project

__all__ = ["assert_and_infer_cfg", "find_problems", "register_check"]

Check = Callable[[CfgNode], list[Problem]]

_CHECKS: dict[str, Check] = {}


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


def find_problems(cfg: CfgNode) -> list[Problem]:
    """Run every check of the framework and of the projects in use.

    Args:
        cfg: A merged configuration.

    Returns:
        All problems, in the order of registration; empty when there are none.
    """
    # A copy: a check may import a project, which registers more checks.
    active = [c for c in _CHECKS.values() if inactive_project(c, cfg.PROJECTS) is None]
    return [problem for check in active for problem in check(cfg)]


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
