"""Which network weights fit: their own configuration, and whether they are of this network."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import yaml
from torch import Tensor

from slowfast.config import CfgNode, UserError, get_cfg, load_config
from slowfast.config.renamed import translate
from slowfast.config.values import flatten
from slowfast.models.build import POOLING_REGISTRY

__all__ = [
    "COUNTER",
    "OtherArchitectureError",
    "architecture_words",
    "check_backbone",
    "saved_settings",
]

logger = logging.getLogger(__name__)

COUNTER = ".num_batches_tracked"
"""End of the names of counters of batch norm, which are not used."""

_PATTERNS = (
    *("MODEL.ARCH", "MODEL.POOLING", "MODEL.ATTENTIVE_HEADS"),
    *("RESNET.*", "NONLOCAL.*", "SLOWFAST.*", "X3D.*", "MVIT.*"),
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
    pooling = saved.get("MODEL.POOLING", "")
    section = POOLING_REGISTRY.capability(pooling, "section") if pooling in POOLING_REGISTRY else ""
    patterns = (*_PATTERNS, f"{section}.*")
    chosen = [
        (key, value)
        for key, value in saved.items()
        if any(fnmatchcase(key, pattern) for pattern in patterns)
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


class OtherArchitectureError(UserError):
    """No weight of the backbone fits."""


def check_backbone(
    own: Mapping[str, Tensor], fitting: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Check that weights are of a model's architecture; warn if only some of its keys match.

    Args:
        own: The state of the model.
        fitting: What of the file can be loaded.
        state: The state in the file.

    Raises:
        OtherArchitectureError: If no key of the backbone matches.
    """
    used = [key for key in own if not key.endswith(COUNTER)]
    backbone = [key for key in used if key.startswith("backbone.")] or used
    found = sum(key in fitting for key in backbone)
    if backbone and not found:
        examples = ", ".join(list(state)[:3]) or "none"
        raise OtherArchitectureError(
            "no key of the checkpoint matches the model's backbone, so it is of another "
            f"architecture. Its first keys: {examples}; the model's: {', '.join(backbone[:3])}. "
            "Check MODEL.ARCH and RESNET.WIDTH_PER_GROUP."
        )
    if found < len(backbone):
        logger.warning(
            "only %d of the backbone's %d keys are in the checkpoint; the others have random "
            "values. Is it of this architecture?",
            found,
            len(backbone),
        )
