"""Placeholders in the values of a sweep: ``{seed}``, ``{stage_dir}``, ``{pretrain.checkpoint}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from slowfast.config.problems import Problem
from slowfast.utils.registry import nearest

__all__ = ["GENERAL", "PARTS", "fill", "find_problems", "mentioned_stages"]

GENERAL = ("output_dir", "stage_dir", "seed", "fold")
"""Placeholders of every sweep."""

PARTS = ("checkpoint", "dir")
"""What can be asked of an earlier stage, as in ``{pretrain.checkpoint}``. Both are the folder of
its run: where a checkpoint is expected, a folder stands for the newest one in it."""

_PATTERN = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[a-z]+)?)\}")


def fill(value: Any, lookup: Callable[[str], str | None]) -> Any:
    """Replace placeholders.

    Args:
        value: A plain value or a list of them.
        lookup: Name within the braces -> text; None leaves the placeholder as it is.

    Returns:
        The value with the text put in; what is not a string is untouched.
    """

    def replace(match: re.Match[str]) -> str:
        text = lookup(match[1])
        return match[0] if text is None else text

    if isinstance(value, list):
        return [fill(item, lookup) for item in value]
    return _PATTERN.sub(replace, value) if isinstance(value, str) else value


def mentioned_stages(overrides: Mapping[str, Any]) -> list[str]:
    """List the stages whose results some values ask for.

    Args:
        overrides: Dotted key -> value.

    Returns:
        Names in the order of their first mention.
    """
    names = [name for value in overrides.values() for name in _names(value)]
    return list(dict.fromkeys(name.split(".")[0] for name in names if "." in name))


def find_problems(overrides: Mapping[str, Any], earlier: Sequence[str]) -> list[Problem]:
    """Find placeholders that mean nothing.

    Args:
        overrides: Dotted key -> value.
        earlier: Names of the stages that come before.

    Returns:
        The problems.
    """
    known = [*GENERAL, *(f"{stage}.{part}" for stage in earlier for part in PARTS)]
    return [
        Problem(key, f"no placeholder '{{{name}}}' here. {nearest(name, known)}")
        for key, value in overrides.items()
        for name in _names(value)
        if name not in known
    ]


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _names(item)
    elif isinstance(value, str):
        yield from _PATTERN.findall(value)
