"""PySlowFast's keys of parts that are not built here, from ``unsupported.yaml``.

They stay in the tree so that its YAMLs load. Switching one of them on is an error that says what
to use; their inner settings alone do nothing, as nothing reads them.
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
"""Key that switches a part on -> what to do instead."""

NAMES: dict[str, dict[str, str]] = _TABLE["names"]
"""Key -> name of a part that is not built, and would else be called unknown -> what to do."""

SECTIONS: dict[str, str] = _TABLE["sections"]
"""Section that PySlowFast's YAMLs have and nothing here does -> what to do instead."""


def add_config(cfg: CfgNode) -> None:
    """Add the keys of parts that are not built.

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
    """Find switches of parts that are not built.

    Args:
        cfg: The merged configuration.

    Returns:
        One problem per switch that is on, and one for a model that is not built and has no switch
        or has it off.
    """
    problems = []
    for key, instead in SWITCHES.items():
        value = _value(cfg, key)
        if value:
            problems.append(Problem(key, f"got {value!r}, but this is not built here: {instead}."))
    if not cfg.MASK.ENABLE:
        for key in (key for key in NAMES if key.startswith("MODEL.")):
            message = describe_unsupported(key, _value(cfg, key))
            if message:
                return [*problems, Problem(key, message)]
    return problems


def describe_unsupported(key: str, name: str) -> str:
    """Say that a name is that of a part that is known but not built.

    Args:
        key: The configuration key that holds the name.
        name: Its value.

    Returns:
        The message, or "" for any other name.
    """
    instead = NAMES.get(key, {}).get(name, "")
    return f"got {name!r}, but this is not built here: {instead}." if instead else ""


def _value(cfg: CfgNode, key: str) -> Any:
    node: Any = cfg
    for name in key.split("."):
        node = node[name]
    return node
