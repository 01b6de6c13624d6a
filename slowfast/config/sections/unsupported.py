"""PySlowFast's keys of unsupported features, from ``unsupported.yaml``.

They are in the tree so that its YAMLs load. Enabling such a feature is an error that names an
alternative. Its other settings, and keys that this framework does not need, are accepted with a
note that says why they have no effect.
"""

from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from slowfast.config.checks import register_check, register_note
from slowfast.config.problems import Problem
from slowfast.config.values import flatten

_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))

DEFAULTS: dict[str, Any] = _TABLE["defaults"]
"""The keys, as a tree."""

_DEFAULTS = flatten(DEFAULTS)

SWITCHES: dict[str, str] = _TABLE["switches"]
"""Key that enables a feature -> alternative."""

NAMES: dict[str, dict[str, str]] = _TABLE["names"]
"""Key -> name of an unsupported component -> alternative."""

NO_EFFECT: dict[str, str] = _TABLE["no_effect"]
"""Key or section whose values have no effect here -> why."""

SECTIONS: dict[str, str] = _TABLE["sections"]
"""Section of PySlowFast's YAMLs that does not exist here -> alternative."""


def add_config(cfg: CfgNode) -> None:
    """Add the keys of unsupported features.

    Args:
        cfg: The tree to add to.
    """
    _add(cfg, CfgNode(DEFAULTS))


def _add(cfg: CfgNode, tree: CfgNode) -> None:
    for name, value in tree.items():
        if isinstance(value, CfgNode) and name in cfg:
            _add(cfg[name], value)
        else:
            cfg[name] = value


@register_check
def check_unsupported(cfg: CfgNode) -> list[Problem]:
    """Find enabled features that are not supported.

    Args:
        cfg: The merged configuration.

    Returns:
        One problem per enabled feature, and one for an unsupported model without an enabled switch.
    """
    problems = []
    values = flatten(cfg)
    for key, instead in SWITCHES.items():
        value = values[key]
        if key.startswith("TENSORBOARD.") and not cfg.TENSORBOARD.ENABLE:
            continue  # nothing is plotted
        if value and value != _DEFAULTS.get(key):
            problems.append(Problem(key, f"got {value!r}, but this is not supported: {instead}."))
    if not cfg.MASK.ENABLE:
        for key in (key for key in NAMES if key.startswith("MODEL.")):
            message = describe_unsupported(key, values[key])
            if message:
                return [*problems, Problem(key, message)]
    return problems


@register_note
def note_no_effect(cfg: CfgNode) -> list[str]:
    """Name the keys that were changed but have no effect.

    Args:
        cfg: The merged configuration.

    Returns:
        One sentence per reason.
    """
    changed: dict[str, list[str]] = {}
    values = flatten(cfg)
    for key in sorted(_DEFAULTS):
        value = values[key]
        plain = list(value) if isinstance(value, tuple) else value
        reason = describe_no_effect(key)
        if reason and plain != _DEFAULTS.get(key):
            changed.setdefault(reason, []).append(f"{key} {value!r}")
    return [f"no effect: {', '.join(keys)} ({reason})" for reason, keys in changed.items()]


def describe_no_effect(key: str) -> str:
    """Say why the value of a key has no effect.

    Args:
        key: A dotted key.

    Returns:
        The reason; "" for all other keys.
    """
    if key in SWITCHES or key not in _DEFAULTS:
        return ""
    parts = key.split(".")
    starts = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((NO_EFFECT[start] for start in starts if start in NO_EFFECT), "")


def describe_unsupported(key: str, name: str) -> str:
    """Return an error message for the name of a known but unsupported component.

    Args:
        key: The configuration key that holds the name.
        name: Its value.

    Returns:
        The message, or "" for any other name.
    """
    instead = NAMES.get(key, {}).get(name, "")
    return f"got {name!r}, but this is not supported: {instead}." if instead else ""
