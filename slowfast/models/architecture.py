"""The keys of a configuration that decide which weights fit a network."""

from __future__ import annotations

import shlex
from fnmatch import fnmatchcase
from typing import Any

import yaml

from slowfast.config import CfgNode, UserError, get_cfg, load_config
from slowfast.config.renamed import translate
from slowfast.config.values import flatten

__all__ = ["architecture_words", "saved_settings"]

_PATTERNS = (
    *("MODEL.ARCH", "MODEL.POOLING", "RESNET.*", "NONLOCAL.*", "SLOWFAST.*", "X3D.*", "MVIT.*"),
    "TEMPORAL_TRANSFORMER.*",
)


def saved_settings(config: Any) -> dict[str, Any]:
    """Read the configuration of a checkpoint, under today's names.

    Args:
        config: ``cfg`` of the checkpoint: YAML; anything in files of other frameworks.

    Returns:
        Dotted key -> value; empty if it is not a configuration.
    """
    try:
        tree = yaml.safe_load(config) if isinstance(config, str) else {}
    except yaml.YAMLError:
        tree = {}
    return translate(flatten(tree if isinstance(tree, dict) else {}))[0]


def architecture_words(config: str) -> str:
    """Spell the architecture of saved weights as words of a command line.

    Args:
        config: The configuration as YAML, such as ``cfg`` of a checkpoint.

    Returns:
        ``KEY VALUE KEY VALUE ...`` of the keys that have other values than the defaults; "" if
        there are none.
    """
    saved = saved_settings(config)
    defaults = flatten(yaml.safe_load(_defaults(saved.get("PROJECTS") or []).dump()))
    chosen = [
        (key, value)
        for key, value in saved.items()
        if any(fnmatchcase(key, pattern) for pattern in _PATTERNS)
        and key in defaults
        and value != defaults[key]
    ]
    return " ".join(f"{key} {shlex.quote(str(value))}" for key, value in chosen)


def _defaults(projects: list[str]) -> CfgNode:
    """Return the default configuration, with the sections of projects that are there."""
    try:
        return load_config(None, ["PROJECTS", str(projects)], validate=False).cfg
    except UserError:
        return get_cfg()
