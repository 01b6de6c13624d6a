"""Checkpoint formats of the video ResNets with pathways: PySlowFast and pytorchvideo.

Names are PySlowFast's with the prefix ``backbone.``, except those of the head. pytorchvideo numbers
its blocks, with or without the prefix ``model.``: stem, four stages and head, and for C2D, I3D and
SlowFast also a pooling without weights. For example, ``blocks.1.res_blocks.0.branch1_conv`` is
``s2.pathway0_res0.branch1`` here, ``blocks.1.multipathway_fusion.conv_fast_to_slow`` is
``s2_fuse.conv_f2s``, and ``blocks.5.proj`` is ``head.projection``.
"""

from __future__ import annotations

import re

from torch import Tensor

from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY

__all__ = ["pyslowfast_resnet", "pytorchvideo_resnet"]

_PYSLOWFAST_STEM = "s1.pathway0_stem.conv.weight"
_PYTORCHVIDEO_STEMS = {"blocks.0.conv.weight", "blocks.0.multipathway_blocks.0.conv.weight"}
_BLOCK = re.compile(r"blocks\.(\d+)\.(?:multipathway_blocks\.(\d+)\.)?(.+)")
# Name within a block -> name within ``pathwayN_stem`` or ``pathwayN_resM``.
_LAYERS = (
    (re.compile(r"^norm\."), "bn."),
    (re.compile(r"^branch1_conv\."), "branch1."),
    (re.compile(r"^branch1_norm\."), "branch1_bn."),
    (re.compile(r"^branch2\.conv_([abc])\."), r"branch2.\1."),
    (re.compile(r"^branch2\.norm_([abc])\."), r"branch2.\1_bn."),
)
_FUSION = {"conv_fast_to_slow": "conv_f2s", "norm": "bn"}


@CHECKPOINT_FORMAT_REGISTRY.register()
def pyslowfast_resnet(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the keys of PySlowFast's C2D, I3D, Slow and SlowFast, and of its image ResNets.

    Returns:
        The converted state dict, or None if the keys are not of this format.
    """
    # X3D has a stem of two convolutions, one with the same name.
    if _PYSLOWFAST_STEM not in state_dict or "s1.pathway0_stem.conv_xy.weight" in state_dict:
        return None
    return {
        key if key.startswith("head.") else f"backbone.{key}": value
        for key, value in state_dict.items()
    }


@CHECKPOINT_FORMAT_REGISTRY.register()
def pytorchvideo_resnet(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the keys of pytorchvideo's C2D, I3D, Slow, SlowFast, CSN and R(2+1)D.

    Returns:
        The converted state dict, or None if the keys are not of this format.
    """
    plain = {key.removeprefix("model."): value for key, value in state_dict.items()}
    if not _PYTORCHVIDEO_STEMS & set(plain):
        return None
    matches = {key: _BLOCK.fullmatch(key) for key in plain}
    with_stages = {int(m[1]) for m in matches.values() if m and m[3].startswith("res_blocks.")}
    stages = {0: 1, **{block: 2 + i for i, block in enumerate(sorted(with_stages))}}
    return {
        _rename(match, stages) if match else f"backbone.{key}": plain[key]
        for key, match in matches.items()
    }


def _rename(match: re.Match[str], stages: dict[int, int]) -> str:
    """Rename one key; ``stages`` maps block indices to those here."""
    block, pathway, rest = int(match[1]), match[2] or "0", match[3]
    if rest.startswith("proj."):
        return f"head.projection.{rest.removeprefix('proj.')}"
    if block not in stages:
        return f"backbone.{match[0]}"  # unknown: listed in the load report
    stage = f"backbone.s{stages[block]}"
    if rest.startswith("multipathway_fusion."):
        _, name, leaf = rest.split(".", 2)
        return f"{stage}_fuse.{_FUSION.get(name, name)}.{leaf}"
    unit = "stem"
    if rest.startswith("res_blocks."):
        _, number, rest = rest.split(".", 2)
        unit = f"res{number}"
    for pattern, replacement in _LAYERS:
        rest = pattern.sub(replacement, rest)
    return f"{stage}.pathway{pathway}_{unit}.{rest}"
