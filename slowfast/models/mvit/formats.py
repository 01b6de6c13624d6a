"""Checkpoint formats of multiscale vision transformers: PySlowFast, pytorchvideo, torchvision.

Names are PySlowFast's with the prefix ``backbone.``, except those of the head. From the other two,
keys are renamed by ``_PYTORCHVIDEO`` and ``_TORCHVISION``; pytorchvideo's separate projections to
queries, keys and values are joined, and torchvision's position embeddings (N, C) become (1, N, C).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from slowfast.models.build import CHECKPOINT_FORMAT_REGISTRY
from slowfast.models.formats.prefix import to_classifier_keys

__all__ = [
    "pyslowfast_mvit",
    "pyslowfast_mvit_other_qkv",
    "pytorchvideo_mvit",
    "torchvision_mvit",
]

_Rules = Sequence[tuple[re.Pattern[str], str]]

_PYTORCHVIDEO: _Rules = (
    (re.compile(r"^patch_embed\.patch_model\."), "patch_embed.proj."),
    (re.compile(r"^cls_positional_encoding\."), ""),
    (re.compile(r"^norm_patch_embed\."), "norm_stem."),
    (re.compile(r"^norm_embed\."), "norm."),
    (re.compile(r"^head\.proj\."), "head.projection."),
)
_TORCHVISION: _Rules = (
    (re.compile(r"^conv_proj\."), "patch_embed.proj."),
    (re.compile(r"^pos_encoding\.class_token$"), "cls_token"),
    (re.compile(r"^pos_encoding\.(spatial|temporal|class)_pos$"), r"pos_embed_\1"),
    (re.compile(r"^(blocks\.\d+\.attn)\.project\.0\."), r"\1.proj."),
    (re.compile(r"^(blocks\.\d+\.attn\.pool_[qkv])\.pool\."), r"\1."),
    (re.compile(r"^(blocks\.\d+\.attn)\.pool_([qkv])\.norm_act\.0\."), r"\1.norm_\2."),
    (re.compile(r"^(blocks\.\d+\.mlp)\.0\."), r"\1.fc1."),
    (re.compile(r"^(blocks\.\d+\.mlp)\.3\."), r"\1.fc2."),
    (re.compile(r"^(blocks\.\d+)\.project\."), r"\1.proj."),
    (re.compile(r"^head\.1\."), "head.projection."),
)
_SECOND_NAME = "._attention_pool_"
_QUERY = re.compile(r"(.*\.attn)\.q\.(weight|bias)")
_JOINED = re.compile(r"(.*\.attn)\.qkv\.(weight|bias)")


def _rename(key: str, rules: _Rules) -> str:
    for pattern, ours in rules:
        key = pattern.sub(ours, key)
    return key


def _join_qkv(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Concatenate the projections to queries, keys and values, in this order."""
    joined = dict(state)
    for key in state:
        found = _QUERY.fullmatch(key)
        names = [f"{found[1]}.{part}.{found[2]}" for part in "qkv"] if found else []
        if found and all(name in state for name in names):
            joined[f"{found[1]}.qkv.{found[2]}"] = torch.cat([joined.pop(name) for name in names])
    return joined


def _split_qkv(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Split the joint projection to queries, keys and values."""
    split = dict(state)
    for key, value in state.items():
        found = _JOINED.fullmatch(key)
        if found and value.shape[0] % 3 == 0:
            del split[key]
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                split[f"{found[1]}.{part}.{found[2]}"] = rows
    return split


def _is_pyslowfasts(state: Mapping[str, Tensor]) -> bool:
    return "patch_embed.proj.weight" in state and "blocks.0.attn.proj.weight" in state


@CHECKPOINT_FORMAT_REGISTRY.register()
def pyslowfast_mvit(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the keys of PySlowFast's MViT, and of masked pre-training's encoder.

    Returns:
        The converted state dict, or None if the keys are not of this format.
    """
    return to_classifier_keys(state_dict) if _is_pyslowfasts(state_dict) else None


@CHECKPOINT_FORMAT_REGISTRY.register()
def pyslowfast_mvit_other_qkv(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the same keys, for a model whose MVIT.SEPARATE_QKV is not that of the checkpoint.

    Returns:
        The converted state dict, with separate projections joined and joint ones split; None if the
        keys are not of this format.
    """
    if not _is_pyslowfasts(state_dict):
        return None
    apart = any(_QUERY.fullmatch(key) for key in state_dict)
    return to_classifier_keys(_join_qkv(state_dict) if apart else _split_qkv(state_dict))


@CHECKPOINT_FORMAT_REGISTRY.register()
def pytorchvideo_mvit(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the keys of pytorchvideo's MViT, with or without PySlowFast's prefix ``model.``.

    Returns:
        The converted state dict, or None if the keys are not of this format.
    """
    plain = {key.removeprefix("model."): value for key, value in state_dict.items()}
    if "patch_embed.patch_model.weight" not in plain:
        return None
    renamed = {
        _rename(key, _PYTORCHVIDEO): value
        for key, value in plain.items()
        if _SECOND_NAME not in key
    }
    return to_classifier_keys(_join_qkv(renamed))


@CHECKPOINT_FORMAT_REGISTRY.register()
def torchvision_mvit(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the keys of torchvision's mvit_v1_b and mvit_v2_s.

    Returns:
        The converted state dict with reshaped position embeddings, or None if the keys are not of
        this format.
    """
    if "conv_proj.weight" not in state_dict or "pos_encoding.class_token" not in state_dict:
        return None
    renamed = {}
    for key, value in state_dict.items():
        if key.startswith("pos_encoding."):
            value = value.reshape(1, -1, value.shape[-1])  # (1, N, C)
        renamed[_rename(key, _TORCHVISION)] = value
    return to_classifier_keys(renamed)
