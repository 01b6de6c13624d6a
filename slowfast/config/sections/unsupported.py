"""PySlowFast's keys of unsupported features, from ``unsupported.yaml``.

They are in the tree so that its YAMLs load. Enabling such a feature is an error that names an
alternative; its other settings are ignored.
"""

from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from slowfast.config.checks import register_check
from slowfast.config.problems import Problem

_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))

DEFAULTS: dict[str, Any] = _TABLE["defaults"]
"""The keys, as a tree."""

SWITCHES: dict[str, str] = _TABLE["switches"]
"""Key that enables a feature -> alternative."""

NAMES: dict[str, dict[str, str]] = _TABLE["names"]
"""Key -> name of an unsupported component -> alternative."""

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
    for key, instead in SWITCHES.items():
        value = _value(cfg, key)
        if value:
            problems.append(Problem(key, f"got {value!r}, but this is not supported: {instead}."))
    if not cfg.MASK.ENABLE:
        for key in (key for key in NAMES if key.startswith("MODEL.")):
            message = describe_unsupported(key, _value(cfg, key))
            if message:
                return [*problems, Problem(key, message)]
    return problems


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


def _value(cfg: CfgNode, key: str) -> Any:
    node: Any = cfg
    for name in key.split("."):
        node = node[name]
    return node
