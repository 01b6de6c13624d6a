"""SlowFast: a slow pathway for appearance, and a fast, narrow one for motion.

Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019. Parameters are named as
in PySlowFast's checkpoints.

Legend: B batch, C channels, T frames, T' H' W' feature map.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.models.batch_norm import get_norm
from slowfast.models.build import BACKBONE_REGISTRY
from slowfast.models.resnet.archs import options_from_cfg, pathway_from_cfg
from slowfast.models.resnet.block import Norm
from slowfast.models.resnet.network import ResNet
from slowfast.utils.pathways import pick_frames

__all__ = ["FuseFastToSlow", "slow_and_fast", "slowfast"]

# Temporal kernels of the blocks of the four stages, and of the stem.
_KERNELS_SLOW, _STEM_SLOW = ((1,), (1,), (3,), (3,)), 1
_KERNELS_FAST, _STEM_FAST = ((3,), (3,), (3,), (3,)), 5


def slow_and_fast(video: Tensor, alpha: int) -> list[Tensor]:
    """Return the inputs of the pathways: all frames, and every ``alpha``-th for the slow one.

    Args:
        video: float (B, 3, T, H, W).
        alpha: SLOWFAST.ALPHA.

    Returns:
        Input of the slow pathway, (B, 3, max(1, T // alpha), H, W), and of the fast one.
    """
    return [pick_frames(video, max(1, video.shape[2] // alpha)), video]


class FuseFastToSlow(nn.Module):
    """A lateral connection: concatenates features of the fast pathway to the slow one's.

    Args:
        dims: Channels of the slow and of the fast pathway.
        ratio: Channels of the connection, relative to the fast pathway.
        frames: Temporal kernel of the connection.
        alpha: Stride in time.
        norm: Channels -> batch norm.

    Attributes:
        dims_out: Output channels of both pathways.
    """

    def __init__(
        self, dims: Sequence[int], *, ratio: int, frames: int, alpha: int, norm: Norm
    ) -> None:
        super().__init__()
        slow, fast = dims
        self.conv_f2s = nn.Conv3d(
            fast,
            fast * ratio,
            (frames, 1, 1),
            stride=(alpha, 1, 1),
            padding=(frames // 2, 0, 0),
            bias=False,
        )
        self.bn = norm(fast * ratio)
        self.dims_out = [slow + fast * ratio, fast]

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Concatenate the fast pathway's features to the slow pathway's.

        Args:
            maps: float (B, C, T', H', W') of the slow and of the fast pathway.

        Returns:
            The same with more channels in the slow pathway.
        """
        slow, fast = maps
        lateral = F.relu(self.bn(self.conv_f2s(fast)), inplace=True)
        # If alpha does not divide the frames, there may be one too many.
        lateral = pick_frames(lateral, slow.shape[2])
        return [torch.cat([slow, lateral], dim=1), fast]


@BACKBONE_REGISTRY.register()
def slowfast(cfg: CfgNode) -> ResNet:
    """Build SlowFast.

    Args:
        cfg: Read: SLOWFAST, RESNET and NONLOCAL, whose lists have two entries per stage, the slow
            pathway's and the fast one's.

    Returns:
        The backbone; it takes all frames and selects those of the slow pathway.
    """
    section = cfg.SLOWFAST
    thin = max(1, cfg.RESNET.WIDTH_PER_GROUP // section.BETA_INV)
    pathways = [
        pathway_from_cfg(cfg, _KERNELS_SLOW, number=0, stem_frames=_STEM_SLOW),
        pathway_from_cfg(cfg, _KERNELS_FAST, number=1, stem_frames=_STEM_FAST, width=thin),
    ]
    fuse = partial(
        FuseFastToSlow,
        ratio=section.FUSION_CONV_CHANNEL_RATIO,
        frames=section.FUSION_KERNEL_SZ,
        alpha=section.ALPHA,
        norm=get_norm(cfg, dims=3),
    )
    split = partial(slow_and_fast, alpha=section.ALPHA)
    return ResNet(pathways, options_from_cfg(cfg), split=split, fuse=fuse)
