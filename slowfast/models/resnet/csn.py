"""CSN and R(2+1)D with bottlenecks, as in pytorchvideo.

CSN: Tran et al., "Video Classification with Channel-Separated Convolutional Networks", ICCV 2019.
R(2+1)D: Tran et al., CVPR 2018; the 18- and 34-layer networks of that paper are in
``video_resnet``.

Parameters are named as in the other ResNets here, not as in pytorchvideo; see ``formats``.
"""

from __future__ import annotations

from collections.abc import Sequence

from fvcore.common.config import CfgNode

from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.resnet.archs import STAGE_DEPTHS, options_from_cfg
from slowfast.models.resnet.block import (
    ChannelSeparatedTransform,
    FactorizedTransform,
    Transform,
)
from slowfast.models.resnet.network import Pathway, ResNet, StageSpec

__all__ = ["csn", "r2plus1d"]

# Temporal kernel of every block.
_KERNEL = 3


def _from_config(
    cfg: CfgNode,
    transform: Transform,
    *,
    strides: Sequence[int],
    temporal_strides: Sequence[int],
    stem_frames: int,
    stem_pool: bool,
) -> ResNet:
    depths = STAGE_DEPTHS[cfg.RESNET.DEPTH]
    stages = tuple(
        StageSpec((_KERNEL,) * depth, stride=stride, temporal_stride=temporal_stride)
        for depth, stride, temporal_stride in zip(depths, strides, temporal_strides, strict=True)
    )
    pathway = Pathway(
        stages,
        width=cfg.RESNET.WIDTH_PER_GROUP,
        stem_frames=stem_frames,
        stem_pool=stem_pool,
        dim_in=cfg.DATA.INPUT_CHANNEL_NUM[0],
    )
    return ResNet([pathway], options_from_cfg(cfg, transform))


@BACKBONE_REGISTRY.register()
def csn(cfg: CfgNode) -> ResNet:
    """Build CSN: each stage except the first has a temporal stride of 2.

    Args:
        cfg: Read: RESNET.DEPTH, WIDTH_PER_GROUP and ZERO_INIT_FINAL_BN. Kernels and strides are the
            published ones.

    Returns:
        The backbone, with T' = ceil(T / 8).
    """
    return _from_config(
        cfg,
        ChannelSeparatedTransform,
        strides=(1, 2, 2, 2),
        temporal_strides=(1, 2, 2, 2),
        stem_frames=3,
        stem_pool=True,
    )


@BACKBONE_REGISTRY.register()
def r2plus1d(cfg: CfgNode) -> ResNet:
    """Build R(2+1)D with bottlenecks: the last two stages have a temporal stride of 2.

    Args:
        cfg: Read: RESNET.DEPTH, WIDTH_PER_GROUP and ZERO_INIT_FINAL_BN. Kernels and strides are
            pytorchvideo's.

    Returns:
        The backbone, with T' = ceil(T / 4).
    """
    return _from_config(
        cfg,
        FactorizedTransform,
        strides=(2, 2, 2, 2),
        temporal_strides=(1, 1, 2, 2),
        stem_frames=1,
        stem_pool=False,
    )
