"""C2D, I3D and Slow: video ResNets with one pathway, configured by RESNET and NONLOCAL.

C2D and I3D: Wang et al., CVPR 2018. Slow: Feichtenhofer et al., ICCV 2019, the slow pathway alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fvcore.common.config import CfgNode

from slowfast.models.batch_norm import get_norm
from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.resnet.block import BasicTransform, BottleneckTransform, Transform
from slowfast.models.resnet.network import Options, Pathway, ResNet, StageSpec
from slowfast.models.resnet.nonlocal_block import NonLocalSpec

__all__ = [
    "STAGE_DEPTHS",
    "TRANSFORMS",
    "c2d",
    "c2d_nopool",
    "i3d",
    "options_from_cfg",
    "pathway_from_cfg",
    "slow",
]

STAGE_DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""RESNET.DEPTH -> blocks of each stage."""

TRANSFORMS: dict[str, Transform] = {
    "bottleneck_transform": BottleneckTransform,
    "basic_transform": BasicTransform,
}
"""RESNET.TRANS_FUNC -> residual function."""


def options_from_cfg(cfg: CfgNode, transform: Transform | None = None) -> Options:
    """Read the options of all blocks.

    Args:
        cfg: Read: RESNET.TRANS_FUNC, STRIDE_1X1, ZERO_INIT_FINAL_BN, ZERO_INIT_FINAL_CONV,
            MODEL.DROPCONNECT_RATE, ACT_CHECKPOINT, BN.NORM_TYPE.
        transform: Instead of RESNET.TRANS_FUNC.

    Returns:
        The options.
    """
    return Options(
        transform=transform or TRANSFORMS[cfg.RESNET.TRANS_FUNC],
        norm=get_norm(cfg, dims=3),
        drop_path=cfg.MODEL.DROPCONNECT_RATE,
        stride_first=cfg.RESNET.STRIDE_1X1,
        zero_init_norm=cfg.RESNET.ZERO_INIT_FINAL_BN,
        zero_init_conv=cfg.RESNET.ZERO_INIT_FINAL_CONV,
        act_checkpoint=cfg.MODEL.ACT_CHECKPOINT,
    )


def _entry(lists: Sequence[Sequence[Any]], *, stage: int, number: int) -> Any:
    """Return the entry of a pathway in a list of lists."""
    return lists[stage][min(number, len(lists[stage]) - 1)]


def pathway_from_cfg(
    cfg: CfgNode, kernels: Sequence[Sequence[int]], *, number: int = 0, **settings: Any
) -> Pathway:
    """Read a pathway: RESNET and NONLOCAL have, per stage, one entry per pathway or one for all.

    Args:
        cfg: Read: RESNET.DEPTH, NUM_BLOCK_TEMP_KERNEL, SPATIAL_STRIDES, SPATIAL_DILATIONS,
            WIDTH_PER_GROUP, NUM_GROUPS, NONLOCAL, DATA.INPUT_CHANNEL_NUM.
        kernels: Temporal kernels of each stage, repeated over the blocks. After the first
            NUM_BLOCK_TEMP_KERNEL blocks, the kernel is 1.
        number: Index of the pathway.
        settings: Fields of ``Pathway`` that override the configuration.

    Returns:
        The pathway.
    """
    resnet, nonlocal_cfg = cfg.RESNET, cfg.NONLOCAL
    stages = []
    for i, (depth, pattern) in enumerate(zip(STAGE_DEPTHS[resnet.DEPTH], kernels, strict=True)):
        entry = partial(_entry, stage=i, number=number)
        looking = min(entry(resnet.NUM_BLOCK_TEMP_KERNEL), depth)
        repeated = tuple(pattern[j % len(pattern)] for j in range(looking))
        spec = NonLocalSpec(
            after=tuple(entry(nonlocal_cfg.LOCATION)),
            groups=entry(nonlocal_cfg.GROUP),
            pool=tuple(entry(nonlocal_cfg.POOL)),
            instantiation=nonlocal_cfg.INSTANTIATION,
        )
        stages.append(
            StageSpec(
                repeated + (1,) * (depth - looking),
                stride=entry(resnet.SPATIAL_STRIDES),
                dilation=entry(resnet.SPATIAL_DILATIONS),
                nonlocal_spec=spec,
            )
        )
    common: dict[str, Any] = {
        "width": resnet.WIDTH_PER_GROUP,
        "groups": resnet.NUM_GROUPS,
        "dim_in": cfg.DATA.INPUT_CHANNEL_NUM[0],
    }
    return Pathway(tuple(stages), **{**common, **settings})


# Temporal kernels of the blocks of the four stages.
_KERNELS_C2D = ((1,), (1,), (1,), (1,))
_KERNELS_I3D = ((3,), (3, 1), (3, 1), (1, 3))
_KERNELS_SLOW = ((1,), (1,), (3,), (3,))


@BACKBONE_REGISTRY.register()
def c2d(cfg: CfgNode) -> ResNet:
    """Build C2D: 2D convolutions, and temporal pooling by 2 after the first stage."""
    pathway = pathway_from_cfg(cfg, _KERNELS_C2D, pool_frames=2)
    return ResNet([pathway], options_from_cfg(cfg))


@BACKBONE_REGISTRY.register()
def c2d_nopool(cfg: CfgNode) -> ResNet:
    """Build C2D without temporal pooling."""
    return ResNet([pathway_from_cfg(cfg, _KERNELS_C2D)], options_from_cfg(cfg))


@BACKBONE_REGISTRY.register()
def i3d(cfg: CfgNode) -> ResNet:
    """Build I3D: temporal kernels of 3 in every other block and 5 in the stem."""
    pathway = pathway_from_cfg(cfg, _KERNELS_I3D, stem_frames=5, pool_frames=2)
    return ResNet([pathway], options_from_cfg(cfg))


@BACKBONE_REGISTRY.register()
def slow(cfg: CfgNode) -> ResNet:
    """Build Slow: temporal kernels of 3 in the last two stages, no temporal pooling."""
    return ResNet([pathway_from_cfg(cfg, _KERNELS_SLOW)], options_from_cfg(cfg))
