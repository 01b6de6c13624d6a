"""Weights from a checkpoint into a model, with a report of every key."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from slowfast.config import UserError
from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY
from slowfast.utils.checkpoint import load_checkpoint

__all__ = ["RANDOM_WEIGHTS", "LoadReport", "load_state", "load_weights", "to_our_keys"]

logger = logging.getLogger(__name__)

RANDOM_WEIGHTS = "random"
"""Value of a CHECKPOINT_FILE_PATH that asks for the untrained model by name."""

_CONTAINERS = ("model_state", "state_dict", "model")
_SHOWN = 6


class LoadReport(NamedTuple):
    """What became of each key.

    Attributes:
        matched: Keys that were loaded.
        missed: Keys of the model that the checkpoint lacks.
        skipped: Key of the checkpoint -> why it was not loaded.
    """

    matched: list[str]
    missed: list[str]
    skipped: dict[str, str]

    def __str__(self) -> str:
        lines = [
            f"{len(self.matched)} keys loaded, {len(self.missed)} of the model's missing from the "
            f"checkpoint, {len(self.skipped)} of the checkpoint's skipped"
        ]
        lines += _shorten("missing", self.missed)
        lines += _shorten("skipped", [f"{k} ({why})" for k, why in self.skipped.items()])
        return "\n".join(lines)


def _shorten(title: str, items: list[str]) -> list[str]:
    more = f" ... and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return [f"  {title}: {', '.join(items[:_SHOWN])}{more}"] if items else []


def to_our_keys(state: Mapping[str, Any], checkpoint_type: str = "pytorch") -> dict[str, Tensor]:
    """Rename a foreign state dict's keys.

    Args:
        state: Key -> tensor, possibly with ``module.`` in front.
        checkpoint_type: A name in CHECKPOINT_FORMAT_REGISTRY, or "pytorch" to try them all.

    Returns:
        Keys as this framework names them; unchanged when no format claims them.

    Raises:
        UserError: If the keys are not of the format that is named.
    """
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    named = checkpoint_type != "pytorch"
    for name in [checkpoint_type] if named else CHECKPOINT_FORMAT_REGISTRY.names():
        renamed = CHECKPOINT_FORMAT_REGISTRY.get(name)(plain)
        if renamed is not None:
            logger.info("checkpoint format: %s", name)
            return renamed
    if named:
        raise UserError(f"TRAIN.CHECKPOINT_TYPE: the file's keys are not of '{checkpoint_type}'.")
    return plain


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Load every key that fits.

    Args:
        model: The model, not wrapped.
        state: Our keys -> tensors.

    Returns:
        The report.

    Raises:
        UserError: If nothing of the backbone fits: that is another architecture's file.
    """
    own = model.state_dict()
    fitting: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    for key, value in state.items():
        if key not in own:
            skipped[key] = "the model has no such key"
        elif value.shape != own[key].shape:
            skipped[key] = f"shape {tuple(value.shape)}, the model's is {tuple(own[key].shape)}"
        else:
            fitting[key] = value
    backbone = [key for key in own if key.startswith("backbone.")]
    if backbone and not any(key in fitting for key in backbone):
        examples = ", ".join(list(state)[:3]) or "none"
        raise UserError(
            "the checkpoint matches nothing of the model's backbone, so it is of another "
            f"architecture. Its first keys: {examples}; the model's: {', '.join(backbone[:3])}. "
            "Check MODEL.ARCH and RESNET.WIDTH_PER_GROUP."
        )
    model.load_state_dict(fitting, strict=False)
    return LoadReport(sorted(fitting), sorted(set(own) - set(fitting)), skipped)


def load_weights(
    model: nn.Module,
    path: str | Path,
    *,
    checkpoint_type: str = "pytorch",
    clear_patterns: tuple[str, ...] = (),
    key: str = "TRAIN.CHECKPOINT_FILE_PATH",
) -> LoadReport:
    """Load a model's weights from a file and log what matched.

    Args:
        model: The model, not wrapped.
        path: A checkpoint of this framework, of PySlowFast, or of a registered format.
        checkpoint_type: TRAIN.CHECKPOINT_TYPE.
        clear_patterns: TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN; the first occurrence of each is removed
            from each key.
        key: The configuration key that holds the path, for messages.

    Returns:
        The report.

    Raises:
        UserError: If the file cannot be read, or is of another architecture.
    """
    try:
        return _load_file(model, path, checkpoint_type, clear_patterns)
    except UserError as error:
        raise UserError(f"{key}: {error}") from error


def _load_file(
    model: nn.Module, path: str | Path, checkpoint_type: str, clear_patterns: tuple[str, ...]
) -> LoadReport:
    content = load_checkpoint(path)
    state: Mapping[str, Any] = content
    for container in _CONTAINERS:
        if isinstance(content.get(container), dict):
            state = content[container]
            break
    renamed = to_our_keys(state, checkpoint_type)
    for pattern in clear_patterns:
        renamed = {key.replace(pattern, "", 1): value for key, value in renamed.items()}
    adapt = getattr(model, "adapt_state", dict)  # a model may want a part of another's weights
    report = load_state(model, adapt(renamed))
    logger.info("weights from %s: %s", path, report)
    return report
