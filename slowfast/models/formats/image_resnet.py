"""Image ResNets under torchvision's names, to be inflated (TRAIN.CHECKPOINT_INFLATE).

Bottleneck ResNets (50, 101) become PySlowFast's names, the slow pathway of a two-pathway model;
those of basic blocks (18, 34) become torchvision's video ResNets. The classifier is dropped.
"""

from __future__ import annotations

import re

from torch import Tensor

from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY

__all__ = ["image_resnet_basic", "image_resnet_bottleneck"]

# Pattern of a full key -> name in the backbone.
_BOTTLENECK = {
    r"conv1\.(\w+)": r"s1.pathway0_stem.conv.\1",
    r"bn1\.(\w+)": r"s1.pathway0_stem.bn.\1",
    r"layer(\d)\.(\d+)\.conv(\d)\.(\w+)": r"{stage}.pathway0_res\2.branch2.{letter}.\4",
    r"layer(\d)\.(\d+)\.bn(\d)\.(\w+)": r"{stage}.pathway0_res\2.branch2.{letter}_bn.\4",
    r"layer(\d)\.(\d+)\.downsample\.0\.(\w+)": r"{stage}.pathway0_res\2.branch1.\3",
    r"layer(\d)\.(\d+)\.downsample\.1\.(\w+)": r"{stage}.pathway0_res\2.branch1_bn.\3",
}
_BASIC = {
    r"conv1\.(\w+)": r"stem.0.\1",
    r"bn1\.(\w+)": r"stem.1.\1",
    r"(layer\d\.\d+\.conv\d)\.(\w+)": r"\1.0.\2",
    r"(layer\d\.\d+)\.bn(\d)\.(\w+)": r"\1.conv\2.1.\3",
    r"(layer\d\.\d+\.downsample\.\d\.\w+)": r"\1",
}


def _rename(key: str, names: dict[str, str]) -> str | None:
    for pattern, name in names.items():
        match = re.fullmatch(pattern, key)
        if not match:
            continue
        if "{stage}" in name:
            letter = "abc"[int(match[3]) - 1] if "{letter}" in name else ""
            name = name.format(stage=f"s{int(match[1]) + 1}", letter=letter)
        return f"backbone.{match.expand(name)}"
    return None


def _convert(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor] | None:
    first = state.get("conv1.weight")
    if first is None or first.dim() != 4 or "layer4.0.conv1.weight" not in state:
        return None
    renamed = {_rename(key, names): value for key, value in state.items()}
    return {key: value for key, value in renamed.items() if key is not None}


@CHECKPOINT_FORMAT_REGISTRY.register()
def image_resnet_bottleneck(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert an image ResNet with bottleneck blocks to PySlowFast's names.

    Returns:
        The converted state dict without the classifier, or None for another network.
    """
    is_bottleneck = "layer1.0.conv3.weight" in state_dict
    return _convert(state_dict, _BOTTLENECK) if is_bottleneck else None


@CHECKPOINT_FORMAT_REGISTRY.register()
def image_resnet_basic(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert an image ResNet with basic blocks to the names of the video ResNets.

    Returns:
        The converted state dict without the classifier, or None for another network.
    """
    is_bottleneck = "layer1.0.conv3.weight" in state_dict
    return None if is_bottleneck else _convert(state_dict, _BASIC)
