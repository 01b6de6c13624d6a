"""Builds a frozen model from a folder of another library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from slowfast.config import CfgNode, ConfigValueError, UserError, load_config
from slowfast.inference.adapters.contract import ADAPTER_REGISTRY, AdaptedModel, ModelFolder
from slowfast.inference.frozen import FrozenModel
from slowfast.inference.inputs import OwnInputs
from slowfast.utils.registry import nearest

__all__ = ["load_adapted"]

_DEFAULTS = {
    "TRAIN.ENABLE": False,
    "TEST.BATCH_SIZE": 1,
    "TEST.VIEWS_PER_CHUNK": 4,
    "NUM_GPUS": 1,
}


def load_adapted(
    folder: ModelFolder, overrides: Sequence[Any], device: torch.device
) -> FrozenModel:
    """Load a model of ``transformers``.

    Args:
        folder: The folder.
        overrides: As for ``slowfast.load``.
        device: Device of the encoder.

    Returns:
        The model.

    Raises:
        UserError: If its kind is not known, or it cannot be loaded.
    """
    kind = folder.model_type
    if kind not in ADAPTER_REGISTRY:
        raise UserError(
            f"{folder.name}: its config.json has the model_type {kind!r}, which is not supported. "
            f"{nearest(kind, ADAPTER_REGISTRY.names())}"
        )
    adapted: AdaptedModel = ADAPTER_REGISTRY.get(kind)(folder)
    return FrozenModel(
        adapted.encoder,
        _configure(adapted, overrides, folder.name),
        name=folder.name,
        class_names=adapted.class_names,
        without=() if adapted.class_names else ("scores",),
        has_joint_space=adapted.has_joint_space,
        inputs=OwnInputs(adapted.transform),
        device=device,
    )


def _configure(adapted: AdaptedModel, overrides: Sequence[Any], name: str) -> CfgNode:
    settings = {**_DEFAULTS, **adapted.settings}
    words = [str(word) for pair in settings.items() for word in pair]
    cfg = load_config(None, [*words, *map(str, overrides)], validate=False).cfg
    fixed = ["TEST.NUM_SPATIAL_CROPS", *adapted.fixed] if adapted.transform else adapted.fixed
    for key in fixed:
        node: Any = cfg
        for part in key.split("."):
            node = node[part]
        if node != settings[key]:
            raise ConfigValueError(key, f"got {node}; the weights of {name} need {settings[key]}.")
    return cfg
