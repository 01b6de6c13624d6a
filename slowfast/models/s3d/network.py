"""S3D and S3D-G (Xie et al., ECCV 2018): Inception with convolutions factorized in space and time.

S3D's parameter names are torchvision's, except ``classifier``, which is the classifier's head; see
:func:`torchvision_s3d` for the mapping of a full checkpoint. S3D-G also has gates, called ``gate``,
at the positions of the authors' code: after the first separable 3x3x3 convolution and at the end of
all four branches of every block; they have a bias, as in the paper.

Legend: B batch, C channels, L token steps, N token rows, T frames, T' H' W' feature map.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.models.activation_checkpoint import activation_checkpoint
from slowfast.models.batch_norm import get_norm
from slowfast.models.build import (
    BACKBONE_REGISTRY,
    CHECKPOINT_FORMAT_REGISTRY,
)
from slowfast.models.contracts import BackboneOutput, Tokens
from slowfast.models.s3d.block import (
    FeatureGate,
    InceptionBlock,
    SeparableConv,
    Widths,
    conv_norm_relu,
)

__all__ = [
    "S3DBackbone",
    "WindowPooling",
    "s3d",
    "s3dg",
    "torchvision_s3d",
]

Norm = Callable[[int], nn.Module]

# Channels of the blocks' branches at the published width: the first branch; the second before and
# in its separable convolution; the third likewise; the fourth.
_BLOCKS: tuple[tuple[Widths, ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
_STEM, _STEM_3X3, _PUBLISHED_WIDTH = 64, 192, 64
_BN_EPS, _BN_MOMENTUM = 1e-3, 1e-3
_INIT_STD = 0.01


class _HalvingPool(nn.Module):
    """Max pooling of 2x2x2; axes of size 1 are not pooled."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool float (B, C, T, H, W); odd sizes are rounded down, as published."""
        return F.max_pool3d(x, [min(2, size) for size in x.shape[2:]])


class WindowPooling(nn.Module):
    """The pooling of S3D: the mean over all windows of two neighboring steps.

    The first and the last step are in one window each, so they have half the weight of the others.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim_out = dim

    def forward(self, tokens: Tokens) -> Tensor:
        """Pool each row.

        Args:
            tokens: N rows of at most L steps. Padding may have any values, even NaN.

        Returns:
            float (N, C).
        """
        mask = tokens.mask
        pairs = F.pad((mask[:, 1:] & mask[:, :-1]).to(tokens.values.dtype), (1, 1))  # (N, L + 1)
        weight = pairs[:, 1:] + pairs[:, :-1]  # (N, L): windows that each step is in
        alone = weight.sum(dim=1, keepdim=True) == 0
        weight = torch.where(alone, mask.to(weight.dtype), weight)
        values = tokens.values.masked_fill(~mask[..., None], 0.0)
        return (values * weight[..., None]).sum(dim=1) / weight.sum(dim=1, keepdim=True)


class S3DBackbone(nn.Module):
    """S3D without pooling and classifier.

    Args:
        width: Channels of the stem, 64 as published; the others scale with it.
        dim_in: Channels of the input.
        norm: Channels -> batch norm, as published with ``eps`` and ``momentum`` 0.001.
        gated: Build S3D-G.
        act_checkpoint: Recompute each layer in the backward pass instead of keeping activations.
    """

    def __init__(
        self,
        *,
        width: int = _PUBLISHED_WIDTH,
        dim_in: int = 3,
        norm: Norm = nn.BatchNorm3d,
        gated: bool = False,
        act_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.act_checkpoint = act_checkpoint

        def scale(channels: int) -> int:
            return max(1, channels * width // _PUBLISHED_WIDTH)

        def pool_space() -> nn.Module:
            return nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

        stem, dim = scale(_STEM), scale(_STEM_3X3)
        layers = [
            SeparableConv(dim_in, stem, 7, stride=2, norm=norm),
            pool_space(),
            conv_norm_relu(stem, stem, norm),
            SeparableConv(stem, dim, 3, norm=norm, gated=gated),
            pool_space(),
        ]
        pools = (nn.MaxPool3d(3, stride=2, padding=1), _HalvingPool(), None)
        for group, pool in zip(_BLOCKS, pools, strict=True):
            for published in group:
                first, before2, second, before3, third, fourth = map(scale, published)
                widths = (first, before2, second, before3, third, fourth)
                block = InceptionBlock(dim, widths, norm=norm, gated=gated)
                layers.append(block)
                dim = block.dim_out
            if pool is not None:
                layers.append(pool)
        self.features = nn.Sequential(*layers)
        self.out_channels = [dim]
        self.apply(_initialize)

    def forward(self, video: Tensor) -> BackboneOutput:
        """Compute the last feature map.

        Args:
            video: float, normalized, (B, 3, T, H, W).

        Returns:
            One map (B, C, T', H', W'): T' is ceil(T / 4) halved and H' is ceil(H / 16) halved, W'
            likewise; halves are rounded down, but never to 0.
        """
        x = video
        for layer in self.features:
            recompute = self.act_checkpoint and self.training
            x = activation_checkpoint(layer, x) if recompute else layer(x)
        return BackboneOutput([x])

    def native_pooling(self) -> WindowPooling:
        """Build the pooling of S3D.

        Returns:
            ``Tokens -> (N, C)``.
        """
        return WindowPooling(self.out_channels[0])


def _initialize(module: nn.Module) -> None:
    """Initialize as the authors' code does: convolutions in time start as the identity."""
    if isinstance(module, nn.Conv3d):
        nn.init.trunc_normal_(module.weight, std=_INIT_STD)
        if module.kernel_size[0] > 1:
            nn.init.dirac_(module.weight)
    if isinstance(module, FeatureGate):
        nn.init.trunc_normal_(module.fc.weight, std=_INIT_STD)
        nn.init.zeros_(module.fc.bias)


def _from_config(cfg: CfgNode, *, gated: bool) -> S3DBackbone:
    return S3DBackbone(
        width=cfg.RESNET.WIDTH_PER_GROUP,
        dim_in=cfg.DATA.INPUT_CHANNEL_NUM[0],
        norm=partial(get_norm(cfg, dims=3), eps=_BN_EPS, momentum=_BN_MOMENTUM),
        gated=gated,
        act_checkpoint=cfg.MODEL.ACT_CHECKPOINT,
    )


@BACKBONE_REGISTRY.register()
def s3d(cfg: CfgNode) -> S3DBackbone:
    """Build S3D. Read: RESNET.WIDTH_PER_GROUP, BN.NORM_TYPE, MODEL.ACT_CHECKPOINT."""
    return _from_config(cfg, gated=False)


@BACKBONE_REGISTRY.register()
def s3dg(cfg: CfgNode) -> S3DBackbone:
    """Build S3D-G: S3D with feature gating."""
    return _from_config(cfg, gated=True)


@CHECKPOINT_FORMAT_REGISTRY.register()
def torchvision_s3d(state_dict: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Convert the keys of torchvision's S3D.

    ``classifier.1.`` becomes ``head.projection.`` and a linear layer, ``features.`` gets the prefix
    ``backbone.``.

    Returns:
        The converted state dict, or None if the keys are not torchvision's.
    """
    if "features.5.branch1.1.0.0.weight" not in state_dict:
        return None
    return {
        key.replace("classifier.1.", "head.projection.")
        if key.startswith("classifier.")
        else f"backbone.{key}": value.flatten(1) if key == "classifier.1.weight" else value
        for key, value in state_dict.items()
    }
