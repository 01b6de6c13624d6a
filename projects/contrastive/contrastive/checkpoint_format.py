"""Checkpoint formats of contrastive pretraining.

``pyslowfast_contrastive`` fills a ContrastiveModel completely: encoder, heads, momentum encoder,
queue and prototypes. ``moco_image`` and ``swav_image`` are published image ResNets, for
TRAIN.CHECKPOINT_INFLATE.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY
from slowfast.models.formats.image_resnet import image_resnet_basic, image_resnet_bottleneck

__all__ = ["moco_image", "pyslowfast_contrastive", "swav_image"]

_MLP = re.compile(r"(head\.(?:projection\.projection|predictors\.0\.projection))\.(\d+)\.(\w+)")
_OTHERS = {"queue_x": "queue.rows", "swav_prototypes.weight": "prototypes.weight"}


@CHECKPOINT_FORMAT_REGISTRY.register()
def pyslowfast_contrastive(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the keys of PySlowFast's ContrastiveModel.

    Returns:
        The converted state dict, or None if the keys are not of this format.
    """
    if not any(key.startswith("backbone.head.projection.") for key in state_dict):
        return None
    renamed: dict[str, Tensor] = {}
    for prefix, ours in (("backbone.", ""), ("backbone_hist.", "key_encoder.encoder.")):
        own = {
            key.removeprefix(prefix): value
            for key, value in state_dict.items()
            if key.startswith(prefix)
        }
        heads = {key: value for key, value in own.items() if key.startswith("head.")}
        renamed |= {f"{ours}backbone.{k}": v for k, v in own.items() if k not in heads}
        head = "head_video" if not ours else "head"
        renamed |= {f"{ours}{key}": value for key, value in _heads(heads, projection=head).items()}
        if ours and own:
            renamed["key_encoder.initialized"] = torch.tensor(True)
    renamed |= {_OTHERS[key]: value for key, value in state_dict.items() if key in _OTHERS}
    if "queue_x" in state_dict and "ptr" in state_dict:
        renamed["queue.pointer"] = state_dict["ptr"].reshape(())
        renamed["queue.filled"] = torch.tensor(len(state_dict["queue_x"]))
    return renamed


def _heads(heads: dict[str, Tensor], *, projection: str) -> dict[str, Tensor]:
    """Rename the layers of projection and prediction, which are numbered with norms and ReLUs."""
    renamed: dict[str, Tensor] = {}
    for theirs, ours in (
        ("head.projection", projection),
        ("head.predictors.0", "predictor"),
    ):
        # One linear layer has no number.
        for leaf in ("weight", "bias"):
            if f"{theirs}.{leaf}" in heads:
                renamed[f"{ours}.projection.{leaf}"] = heads[f"{theirs}.{leaf}"]
        found = [match for key in heads if (match := _MLP.fullmatch(key))]
        found = [match for match in found if match[1].startswith(theirs)]
        linear = sorted({int(m[2]) for m in found if heads[m[0]].dim() == 2})
        for match in found:
            number, leaf = int(match[2]), match[3]
            if number in linear:
                place = linear.index(number)
                name = "projection" if number == linear[-1] else f"layers.{place}"
            else:
                name = f"norms.{linear.index(number - 1)}"
            renamed[f"{ours}.{name}.{leaf}"] = heads[match[0]]
    return renamed


@CHECKPOINT_FORMAT_REGISTRY.register()
def moco_image(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the query encoder of MoCo on images (v1 and v2); head and queue are dropped.

    Returns:
        The converted state dict, or None if the keys are not of this format.
    """
    prefix = "encoder_q."
    own = {
        key.removeprefix(prefix): value
        for key, value in state_dict.items()
        if key.startswith(prefix)
    }
    return image_resnet_bottleneck(own) or image_resnet_basic(own)


@CHECKPOINT_FORMAT_REGISTRY.register()
def swav_image(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert SwAV's image ResNet; head and prototypes are dropped.

    Returns:
        The converted state dict, or None if the keys are not of this format.
    """
    if "prototypes.weight" not in state_dict or "projection_head.0.weight" not in state_dict:
        return None
    own = {k: v for k, v in state_dict.items() if not k.startswith(("projection", "prototypes"))}
    return image_resnet_bottleneck(own) or image_resnet_basic(own)
