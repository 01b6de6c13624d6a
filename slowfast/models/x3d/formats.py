"""Checkpoint formats of X3D: PySlowFast and pytorchvideo."""

from __future__ import annotations

import re

from torch import Tensor

from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY

__all__ = ["pyslowfast_x3d", "pytorchvideo_x3d"]

# PySlowFast's prefix -> prefix here; the first match is used.
_OURS = (
    ("head.projection.", "head.projection."),
    ("head.lin_5", "pooling.pathways.0.lin_5"),
    ("head.conv_5", "backbone.conv_5"),
    ("", "backbone."),
)

# pytorchvideo's name -> PySlowFast's. Its stem calls the convolution in space "conv_t".
_BLOCK = re.compile(r"blocks\.([1-4])\.res_blocks\.(\d+)\.(.+)")
_OF_BLOCK = {
    "branch1_conv": "branch1",
    "branch1_norm": "branch1_bn",
    "branch2.conv_a": "branch2.a",
    "branch2.norm_a": "branch2.a_bn",
    "branch2.conv_b": "branch2.b",
    "branch2.norm_b.0": "branch2.b_bn",
    "branch2.norm_b.1.block.0": "branch2.se.fc1",
    "branch2.norm_b.1.block.2": "branch2.se.fc2",
    "branch2.conv_c": "branch2.c",
    "branch2.norm_c": "branch2.c_bn",
}
_OTHERS = {
    "blocks.0.conv.conv_t": "s1.pathway0_stem.conv_xy",
    "blocks.0.conv.conv_xy": "s1.pathway0_stem.conv",
    "blocks.0.norm": "s1.pathway0_stem.bn",
    "blocks.5.pool.pre_conv": "head.conv_5",
    "blocks.5.pool.pre_norm": "head.conv_5_bn",
    "blocks.5.pool.post_conv": "head.lin_5",
    "blocks.5.pool.post_norm": "head.lin_5_bn",
    "blocks.5.proj": "head.projection",
}


def _from_pyslowfast(key: str) -> str:
    """Rename one of PySlowFast's keys."""
    prefix, ours = next((p, o) for p, o in _OURS if key.startswith(p))
    return ours + key.removeprefix(prefix)


def _to_pyslowfast(key: str) -> str:
    """Rename one of pytorchvideo's keys; unknown ones are unchanged."""
    module, _, leaf = key.rpartition(".")
    found = _BLOCK.fullmatch(module)
    if found is not None and found[3] in _OF_BLOCK:
        return f"s{int(found[1]) + 1}.pathway0_res{found[2]}.{_OF_BLOCK[found[3]]}.{leaf}"
    return f"{_OTHERS[module]}.{leaf}" if module in _OTHERS else key


@CHECKPOINT_FORMAT_REGISTRY.register()
def pyslowfast_x3d(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the keys of PySlowFast's X3D.

    ``head.projection.`` is unchanged, ``head.lin_5`` becomes ``pooling.pathways.0.lin_5``,
    ``head.conv_5`` becomes ``backbone.conv_5``, and everything else gets the prefix ``backbone.``.

    Returns:
        The converted state dict, or None if the keys are not of X3D.
    """
    if "s1.pathway0_stem.conv_xy.weight" not in state_dict:
        return None
    return {_from_pyslowfast(key): value for key, value in state_dict.items()}


@CHECKPOINT_FORMAT_REGISTRY.register()
def pytorchvideo_x3d(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the keys of pytorchvideo's X3D, with or without PySlowFast's prefix ``model.``.

    Its first stage's shortcut has no batch norm: ARCH ``ptv_x3d`` matches every key; in ARCH
    ``x3d`` that norm keeps its initial values, which in evaluation is the identity.

    Returns:
        The converted state dict, or None if the keys are not of X3D.
    """
    plain = {key.removeprefix("model."): value for key, value in state_dict.items()}
    if "blocks.0.conv.conv_t.weight" not in plain or "blocks.5.pool.pre_conv.weight" not in plain:
        return None
    return {_from_pyslowfast(_to_pyslowfast(key)): value for key, value in plain.items()}
