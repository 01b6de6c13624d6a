"""Blob names of PySlowFast's Caffe2 zoo: ResNets and SlowFast, with non-local blocks.

A blob is called ``[t_]LAYER_SUFFIX``: ``t_`` is the fast pathway, SUFFIX is ``w``, ``b`` or, in
batch norm, ``s``, ``b``, ``rm``, ``riv`` (scale, shift, mean, variance).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY
from slowfast.models.formats.prefix import to_classifier_keys

__all__ = ["caffe2", "pyslowfast_name"]

_AFFINE = {"w": "weight", "b": "bias"}
_NORM = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
_STAGE_AND_BLOCK = r"(?P<stage>\d+)_(?P<block>\d+)"
_FUSED = rf"t_(?:pool1|res{_STAGE_AND_BLOCK}_branch2c_bn)_subsample"


def _pathway(match: re.Match[str]) -> int:
    return 1 if match["fast"] else 0


def _block(match: re.Match[str]) -> str:
    return f"s{match['stage']}.pathway{_pathway(match)}_res{match['block']}"


def _stage_of_fusion(match: re.Match[str]) -> str:
    return f"s{match['stage'] or 1}_fuse"


# Pattern of a full blob name without its suffix -> PySlowFast's layer name.
_LAYERS: list[tuple[str, Callable[[re.Match[str]], str], dict[str, str]]] = [
    (r"(?P<fast>t_)?conv1", lambda m: f"s1.pathway{_pathway(m)}_stem.conv", _AFFINE),
    (r"(?P<fast>t_)?res_conv1_bn", lambda m: f"s1.pathway{_pathway(m)}_stem.bn", _NORM),
    (
        rf"(?P<fast>t_)?res{_STAGE_AND_BLOCK}_branch2(?P<conv>[abc])",
        lambda m: f"{_block(m)}.branch2.{m['conv']}",
        _AFFINE,
    ),
    (
        rf"(?P<fast>t_)?res{_STAGE_AND_BLOCK}_branch2(?P<conv>[abc])_bn",
        lambda m: f"{_block(m)}.branch2.{m['conv']}_bn",
        _NORM,
    ),
    (
        rf"(?P<fast>t_)?res{_STAGE_AND_BLOCK}_branch1",
        lambda m: f"{_block(m)}.branch1",
        _AFFINE,
    ),
    (
        rf"(?P<fast>t_)?res{_STAGE_AND_BLOCK}_branch1_bn",
        lambda m: f"{_block(m)}.branch1_bn",
        _NORM,
    ),
    (_FUSED, lambda m: f"{_stage_of_fusion(m)}.conv_f2s", _AFFINE),
    (rf"{_FUSED}_bn", lambda m: f"{_stage_of_fusion(m)}.bn", _NORM),
    (
        rf"nonlocal_conv{_STAGE_AND_BLOCK}_(?P<conv>theta|phi|g|out)",
        lambda m: f"s{m['stage']}.pathway0_nonlocal{m['block']}.conv_{m['conv']}",
        _AFFINE,
    ),
    (
        rf"nonlocal_conv{_STAGE_AND_BLOCK}_bn",
        lambda m: f"s{m['stage']}.pathway0_nonlocal{m['block']}.bn",
        _NORM,
    ),
    (r"pred", lambda m: "head.projection", _AFFINE),
]


def pyslowfast_name(blob: str) -> str | None:
    """Translate the name of one blob.

    Returns:
        Such as ``s4.pathway1_res1.branch2.a_bn.running_var``, or None if it is not a weight.
    """
    layer, _, suffix = blob.rpartition("_")
    for pattern, name, suffixes in _LAYERS:
        match = re.fullmatch(pattern, layer)
        if match and suffix in suffixes:
            return f"{name(match)}.{suffixes[suffix]}"
    return None


@CHECKPOINT_FORMAT_REGISTRY.register()
def caffe2(state_dict: dict[str, Tensor]) -> dict[str, Any] | None:
    """Convert the blobs of a ResNet or SlowFast; those of the optimizer keep their names.

    Returns:
        The renamed one, or None if the names are not those of blobs.
    """
    if not {"conv1_w", "pred_w"} <= set(state_dict) and "res2_0_branch1_w" not in state_dict:
        return None
    names = {blob: pyslowfast_name(blob) for blob in state_dict}
    weights = {name: state_dict[blob] for blob, name in names.items() if name}
    others = {blob: state_dict[blob] for blob, name in names.items() if not name}
    return {**to_classifier_keys(weights), **others}
