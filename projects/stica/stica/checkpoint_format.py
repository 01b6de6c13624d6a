"""Weights of the published GDT and StiCA models under this project's names.

StiCA's own weights were never published; GDT, its predecessor, has the same two encoders and heads.
Both save ``{"state_dict": {"module." + key: tensor}}``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY

__all__ = ["Conversion", "convert", "gdt_stica"]

logger = logging.getLogger(__name__)

_POOLING = "pooling.pathways.0."
_LAYER = r"video_pooling\.2\.transformer\.(\d+)\."
_TO_LAYER = _POOLING + r"layers.\1."
_HEADS = {"mlp_v": "head_video", "mlp_a": "head_audio"}
_HEAD_LAYERS = {"2": "linear1", "4": "norm", "8": "linear2"}

# Pattern of a full key -> our key. The first match is used.
_RENAMED = {
    r"video_network\.base\.(.+)": r"backbone.\1",
    r"audio_network\.base\.(?!fc\.)(.+)": r"audio_backbone.\1",
    _LAYER + r"mha\.q_lin\.(.+)": _TO_LAYER + r"attention.query.\2",
    _LAYER + r"mha\.k_lin\.(.+)": _TO_LAYER + r"attention.key.\2",
    _LAYER + r"mha\.v_lin\.(.+)": _TO_LAYER + r"attention.value.\2",
    _LAYER + r"mha\.out_lin\.(.+)": _TO_LAYER + r"attention.output.\2",
    _LAYER + r"ffn\.lin([12])\.(.+)": _TO_LAYER + r"linear\2.\3",
    _LAYER + r"norm([12])\.(.+)": _TO_LAYER + r"norm\2.\3",
    r"video_pooling\.2\.pos_embs\.0\.weight": _POOLING + "positions.table.weight",
    **{
        rf"{theirs}\.block_forward\.{number}\.(.+)": rf"{ours}.{layer}.\1"
        for theirs, ours in _HEADS.items()
        for number, layer in _HEAD_LAYERS.items()
    },
}
# Pattern of a full key -> why it is skipped.
_SKIPPED = {
    r"audio_network\.base\.fc\..+": "unused: the published code never calls this layer",
    r"video_pooling\.2\.pos_ids": "a constant: 0, 1, 2, ...",
}
_UNKNOWN = "not a key of this format"


class Conversion(NamedTuple):
    """Outcome of the conversion for every key.

    Attributes:
        state: Our key -> tensor.
        used: Their key -> our key.
        skipped: Their key -> why it is left out.
        missed: Expected keys that the checkpoint does not have.
    """

    state: dict[str, Tensor]
    used: dict[str, str]
    skipped: dict[str, str]
    missed: list[str]


def convert(state_dict: Mapping[str, Tensor], expected: Iterable[str] = ()) -> Conversion:
    """Rename the published keys to ours.

    Args:
        state_dict: Their state dict, with or without ``module.`` in front of each key.
        expected: Keys of our model, to report which of them are missing.

    Returns:
        Renamed tensors and the outcome for every key.
    """
    state: dict[str, Tensor] = {}
    used: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for key, value in state_dict.items():
        plain = key.removeprefix("module.")
        name = _rename(plain)
        if name is None:
            reasons = (why for pattern, why in _SKIPPED.items() if re.fullmatch(pattern, plain))
            skipped[key] = next(reasons, _UNKNOWN)
        else:
            used[key] = name
            state[name] = value
    return Conversion(state, used, skipped, [key for key in expected if key not in state])


def _rename(key: str) -> str | None:
    """Return our name of a key, or None."""
    for pattern, name in _RENAMED.items():
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(name)
    return None


@CHECKPOINT_FORMAT_REGISTRY.register()
def gdt_stica(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the published GDT and StiCA format; log every skipped key with its reason.

    The loader, which knows the model, reports the keys of the model that get no value.

    Returns:
        The renamed state dict, or None when the keys are not of that format.
    """
    if not any(key.removeprefix("module.").startswith("video_network.base.") for key in state_dict):
        return None
    conversion = convert(state_dict)
    logger.info("gdt_stica: %d keys used, %d skipped", *map(len, conversion[1:3]))
    for key, reason in conversion.skipped.items():
        logger.info("gdt_stica: skipped %s (%s)", key, reason)
    return conversion.state
