"""Values of config keys: which numbers make sense, whatever the key is for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from fvcore.common.config import CfgNode

from slowfast.config.checks import register_check
from slowfast.config.problems import Problem

__all__ = ["check_probabilities", "differences", "flatten", "has_impossible_numbers", "is_positive"]

_PROBABILITY = re.compile(
    r"(?<!TIME_DIFF_)(PROB|FRACTION|GRAYSCALE|DROPOUT|DROP\w+_RATE|LABEL_SMOOTH\w*)$"
)
"""TIME_DIFF_PROB is not supported: another check refuses it."""
_LIMIT = 2**63


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Describe the keys of two configurations that have other values.

    Args:
        before: Values by dotted key. A key that only one of the two has does not count: it came
            with another version, or with a project.
        now: The same.

    Returns:
        Key -> "KEY: before -> now", in the order of ``now``.
    """
    return {
        key: f"{key}: {before[key]!r} -> {value!r}"
        for key, value in now.items()
        if key in before and before[key] != value
    }


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings into dotted keys.

    Args:
        tree: Nested mappings with string keys.
        prefix: Prefix of every key.

    Returns:
        ``{"A.B": value}``; empty mappings are dropped.
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def has_impossible_numbers(value: Any) -> bool:
    """Return whether a value, or one in a list, is nan or an integer of more than 64 bits."""
    if isinstance(value, list | tuple):
        return any(map(has_impossible_numbers, value))
    return bool(value != value or (isinstance(value, int) and not -_LIMIT <= value < _LIMIT))


def is_positive(value: Any) -> bool:
    """Return whether a value is a finite number above 0."""
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


@register_check
def check_probabilities(cfg: CfgNode) -> list[Problem]:
    """Find probabilities and fractions, by the names of their keys, that are not in [0, 1].

    Args:
        cfg: The merged configuration.

    Returns:
        One problem per key; lists and switches are not looked at.
    """
    return [
        Problem(key, f"got {value}, expected a number between 0 and 1.")
        for key, value in flatten(cfg).items()
        if _PROBABILITY.search(key) and type(value) in (int, float) and not 0 <= value <= 1
    ]
