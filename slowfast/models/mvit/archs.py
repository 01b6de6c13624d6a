"""Multiscale vision transformers from the configuration (MODEL.ARCH mvit).

The keys of MVIT are PySlowFast's. A plain vision transformer is an MViT without pooling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fvcore.common.config import CfgNode

from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.mvit.network import InputOptions, MViT, Patches
from slowfast.models.mvit.stage_config import BlockOptions, Grid, Schedule

__all__ = ["mvit", "mvit_schedule"]


@BACKBONE_REGISTRY.register()
def mvit(cfg: CfgNode) -> MViT:
    """Build MViT, MViTv2 or a plain vision transformer.

    Args:
        cfg: Read: MVIT; DATA.NUM_FRAMES, TRAIN_CROP_SIZE, INPUT_CHANNEL_NUM; MODEL.ACT_CHECKPOINT.

    Returns:
        The backbone, with position embeddings for training clips.
    """
    section = cfg.MVIT
    return MViT(
        _inputs(cfg),
        mvit_schedule(section),
        _options(section),
        drop_path=section.DROPPATH_RATE,
        mean_pooling=section.USE_MEAN_POOLING,
        decay_positions=not section.ZERO_DECAY_POS_CLS,
        act_checkpoint=cfg.MODEL.ACT_CHECKPOINT,
    )


def _inputs(cfg: CfgNode) -> InputOptions:
    section, side = cfg.MVIT, cfg.DATA.TRAIN_CROP_SIZE
    positions = "separable" if section.SEP_POS_EMBED else "joint"
    if section.USE_FIXED_SINCOS_POS:
        positions = "sincos"
    patches = (section.PATCH_KERNEL, section.PATCH_STRIDE, section.PATCH_PADDING)
    return InputOptions(
        size=(cfg.DATA.NUM_FRAMES, side, side),
        dim_in=cfg.DATA.INPUT_CHANNEL_NUM[0],
        patches=Patches(*(_last(sizes, 2 if section.PATCH_2D else 3) for sizes in patches)),
        positions=positions if section.USE_ABS_POS else "none",
        norm=section.NORM_STEM,
    )


def _last(sizes: Sequence[int], count: int) -> tuple[int, ...]:
    """Return the last sizes: (H, W) of (T, H, W) for 2D patches."""
    return tuple(sizes)[-count:]


def mvit_schedule(section: CfgNode) -> Schedule:
    """Read the schedule of the blocks."""
    return Schedule(
        depth=section.DEPTH,
        embed_dim=section.EMBED_DIM,
        num_heads=section.NUM_HEADS,
        dim_mul={int(block): factor for block, factor in section.DIM_MUL},
        head_mul={int(block): factor for block, factor in section.HEAD_MUL},
        stride_q=_per_block(section.POOL_Q_STRIDE),
        stride_kv=_per_block(section.POOL_KV_STRIDE or []),
        stride_kv_adaptive=_grid(section.POOL_KV_STRIDE_ADAPTIVE),
        kernel=_grid(section.POOL_KVQ_KERNEL),
        widen_in_attention=section.DIM_MUL_IN_ATT,
    )


def _options(section: CfgNode) -> BlockOptions:
    return BlockOptions(
        mode=section.MODE,
        pool_first=section.POOL_FIRST,
        separate_qkv=section.SEPARATE_QKV,
        qkv_bias=section.QKV_BIAS,
        class_token=section.CLS_EMBED_ON,
        relative_space=section.REL_POS_SPATIAL,
        relative_time=section.REL_POS_TEMPORAL,
        relative_zero_init=section.REL_POS_ZERO_INIT,
        residual_pooling=section.RESIDUAL_POOLING,
        mlp_ratio=section.MLP_RATIO,
        dropout=section.DROPOUT_RATE,
        layer_scale=section.LAYER_SCALE_INIT_VALUE,
    )


def _grid(sizes: Any) -> Grid | None:
    """Convert a list of three sizes to a grid; None stays None."""
    if sizes is None:
        return None
    time, height, width = sizes
    return int(time), int(height), int(width)


def _per_block(rows: Sequence[Sequence[int]]) -> dict[int, Grid]:
    """Convert rows (block, T, H, W) to block -> grid."""
    return {int(block): (int(t), int(h), int(w)) for block, t, h, w in rows}
