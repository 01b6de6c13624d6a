"""X3D (Feichtenhofer, CVPR 2020): small networks of channelwise 3x3x3 convolutions.

Parameter names are PySlowFast's, with two exceptions: its ``head.conv_5`` belongs to the backbone
here, which returns the map after it, and ``head.lin_5``, between pooling and classifier, belongs to
the pooling (MODEL.POOLING native). Other poolings use the map of ``conv_5`` without ``lin_5``. The
mapping of full checkpoints is in ``formats.py``.

Legend: B batch, C channels, N token rows, T frames, T' H' W' feature map.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config import Problem, register_check
from slowfast.models.activation_checkpoint import activation_checkpoint
from slowfast.models.batch_norm import get_norm
from slowfast.models.build import BACKBONE_REGISTRY, MODEL_REGISTRY
from slowfast.models.classifier import Classifier, build_classifier
from slowfast.models.contracts import BackboneOutput, Tokens
from slowfast.models.pooling import AvgPooling
from slowfast.models.x3d.block import X3DBlock, X3DBranch, X3DStem, round_channels

__all__ = [
    "X3DBackbone",
    "X3DPooling",
    "X3DSize",
    "check_x3d",
    "ptv_x3d",
    "ptv_x3d_classifier",
    "x3d",
]

Norm = Callable[[int], nn.Module]

# Blocks per stage at depth factor 1, and channel factor of each stage.
_BLOCKS = (1, 2, 5, 3)
_STAGE_FACTOR = 2.0


class X3DSize(NamedTuple):
    """Size of an X3D.

    Attributes:
        dim_stem: Channels after the stem.
        dims: Channels of each of the four stages.
        dims_inner: Channels of the 3x3x3 convolutions of each stage; the last of them is also the
            number of channels of the map that the backbone returns.
        depths: Blocks of each stage.
        dim_pooled: Channels after ``lin_5``.
        groups: Groups of the 3x3x3 convolutions; 0 for one per channel.
    """

    dim_stem: int
    dims: tuple[int, ...]
    dims_inner: tuple[int, ...]
    depths: tuple[int, ...]
    dim_pooled: int = 2048
    groups: int = 0


class X3DPooling(nn.Module):
    """The pooling of X3D: average, a linear layer without bias, ReLU.

    Args:
        dim_in: C of the map.
        dim_out: Channels after the layer.
        norm: Channels -> batch norm after the layer (X3D.BN_LIN5), over all rows of a call; None
            for none.
    """

    def __init__(self, dim_in: int, dim_out: int, norm: Norm | None = None) -> None:
        super().__init__()
        self.dim_out = dim_out
        self.average = AvgPooling()
        self.lin_5 = nn.Conv3d(dim_in, dim_out, 1, bias=False)
        self.lin_5_bn = norm(dim_out) if norm is not None else None
        nn.init.kaiming_normal_(self.lin_5.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, tokens: Tokens) -> Tensor:
        """Pool each row.

        Returns:
            float (N, dim_out).
        """
        x = self.average(tokens)[:, :, None, None, None]  # (N, C, 1, 1, 1)
        x = self.lin_5(x)
        if self.lin_5_bn is not None:
            x = self.lin_5_bn(x)
        return F.relu(x).flatten(1)


class X3DBackbone(nn.Module):
    """X3D up to the map of ``conv_5``.

    Args:
        size: Channels and depths.
        dim_in: Channels of the input.
        norm: Channels -> batch norm.
        shortcut_norm: Use batch norm in the first stage's shortcut, as PySlowFast does.
        norm_lin5: Have a batch norm after ``lin_5`` in the native pooling.
        drop_path: Probability of dropping a residual branch.
        act_checkpoint: Recompute each block in the backward pass instead of keeping activations.
    """

    def __init__(
        self,
        size: X3DSize,
        *,
        dim_in: int = 3,
        norm: Norm = nn.BatchNorm3d,
        shortcut_norm: bool = True,
        norm_lin5: bool = False,
        drop_path: float = 0.0,
        act_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.act_checkpoint = act_checkpoint
        self.dim_pooled = size.dim_pooled
        self.norm_pooled = norm if norm_lin5 else None
        self.s1 = nn.Sequential(OrderedDict(pathway0_stem=X3DStem(dim_in, size.dim_stem, norm)))
        inputs = (size.dim_stem, *size.dims)

        def stage(i: int) -> nn.Sequential:
            blocks: OrderedDict[str, nn.Module] = OrderedDict()
            for j in range(size.depths[i]):
                blocks[f"pathway0_res{j}"] = X3DBlock(
                    (size.dims[i] if j else inputs[i], size.dims_inner[i], size.dims[i]),
                    stride=1 if j else 2,
                    groups=size.groups,
                    excite=j % 2 == 0,
                    shortcut_norm=shortcut_norm,
                    norm=norm,
                    drop_path=drop_path,
                )
            return nn.Sequential(blocks)

        self.s2, self.s3, self.s4, self.s5 = (stage(i) for i in range(4))
        dim_out = size.dims_inner[-1]
        self.conv_5 = nn.Conv3d(size.dims[-1], dim_out, 1, bias=False)
        self.conv_5_bn = norm(dim_out)
        self.out_channels = [dim_out]
        self.apply(_initialize)

    def forward(self, video: Tensor) -> BackboneOutput:
        """Compute the last feature map.

        Args:
            video: float, normalized, (B, 3, T, H, W).

        Returns:
            One map (B, C, T, H', W') with H' = ceil(H / 32), W' likewise; time is kept.
        """
        x = self.s1(video)
        for stage in (self.s2, self.s3, self.s4, self.s5):
            for block in stage:
                recompute = self.act_checkpoint and self.training
                x = activation_checkpoint(block, x) if recompute else block(x)
        return BackboneOutput([F.relu(self.conv_5_bn(self.conv_5(x)), inplace=True)])

    @staticmethod
    def window_side(crop_size: int) -> int:
        """Return the side of the windows that PySlowFast's head pools, in positions of the map.

        Args:
            crop_size: DATA.TRAIN_CROP_SIZE.

        Returns:
            The side of the map at this size.
        """
        return math.ceil(crop_size / 32)

    def native_pooling(self) -> X3DPooling:
        """Build the pooling of X3D, with random weights.

        Returns:
            ``Tokens -> (N, dim_out)``.
        """
        return X3DPooling(self.out_channels[0], self.dim_pooled, self.norm_pooled)


def _initialize(module: nn.Module) -> None:
    """Initialize as published; batch norm already has weight 1 and bias 0."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _size(cfg: CfgNode) -> X3DSize:
    """Compute channels and depths. Read: X3D, RESNET.NUM_GROUPS."""
    section = cfg.X3D
    first = section.DIM_C1
    base = [round_channels(first * _STAGE_FACTOR) if section.SCALE_RES2 else first]
    while len(base) < len(_BLOCKS):
        base.append(round_channels(base[-1] * _STAGE_FACTOR))
    dims = tuple(round_channels(dim * section.WIDTH_FACTOR) for dim in base)
    return X3DSize(
        dim_stem=round_channels(first * section.WIDTH_FACTOR),
        dims=dims,
        dims_inner=tuple(int(dim * section.BOTTLENECK_FACTOR) for dim in dims),
        depths=tuple(math.ceil(blocks * section.DEPTH_FACTOR) for blocks in _BLOCKS),
        dim_pooled=section.DIM_C5,
        groups=0 if section.CHANNELWISE_3x3x3 else cfg.RESNET.NUM_GROUPS,
    )


def _from_config(cfg: CfgNode, *, shortcut_norm: bool) -> X3DBackbone:
    model = X3DBackbone(
        _size(cfg),
        dim_in=cfg.DATA.INPUT_CHANNEL_NUM[0],
        norm=get_norm(cfg, dims=3),
        shortcut_norm=shortcut_norm,
        norm_lin5=cfg.X3D.BN_LIN5,
        drop_path=cfg.MODEL.DROPCONNECT_RATE,
        act_checkpoint=cfg.MODEL.ACT_CHECKPOINT,
    )
    # Residual branches with zero initialization.
    branches = [module for module in model.modules() if isinstance(module, X3DBranch)]
    for branch in branches:
        if cfg.RESNET.ZERO_INIT_FINAL_BN:
            nn.init.zeros_(branch.get_parameter("c_bn.weight"))
        if cfg.RESNET.ZERO_INIT_FINAL_CONV:
            nn.init.zeros_(branch.c.weight)
    return model


@BACKBONE_REGISTRY.register()
def x3d(cfg: CfgNode) -> X3DBackbone:
    """Build X3D; the configs of XS, S, M and L set its factors.

    Args:
        cfg: Read: X3D, RESNET.ZERO_INIT_FINAL_BN, ZERO_INIT_FINAL_CONV, NUM_GROUPS,
            MODEL.DROPCONNECT_RATE, ACT_CHECKPOINT, BN.NORM_TYPE.

    Returns:
        The backbone.
    """
    return _from_config(cfg, shortcut_norm=True)


@BACKBONE_REGISTRY.register()
def ptv_x3d(cfg: CfgNode) -> X3DBackbone:
    """Build pytorchvideo's X3D: no batch norm on the first stage's shortcut, which only strides."""
    return _from_config(cfg, shortcut_norm=False)


@MODEL_REGISTRY.register_as("PTVX3D")
def ptv_x3d_classifier(cfg: CfgNode) -> Classifier:
    """Build a classifier with pytorchvideo's X3D, whose YAMLs have ARCH ``x3d``, too."""
    return build_classifier(cfg, arch="ptv_x3d" if cfg.MODEL.ARCH == "x3d" else "")


@register_check
def check_x3d(cfg: CfgNode) -> list[Problem]:
    """Find values that X3D does not support."""
    if cfg.MODEL.ARCH not in ("x3d", "ptv_x3d"):
        return []
    problems = []
    if cfg.RESNET.STRIDE_1X1:
        message = "got True, but X3D strides in its 3x3x3 convolutions. Set False."
        problems.append(Problem("RESNET.STRIDE_1X1", message))
    for key in ("WIDTH_FACTOR", "DEPTH_FACTOR", "BOTTLENECK_FACTOR", "DIM_C1", "DIM_C5"):
        if cfg.X3D[key] <= 0:
            message = f"got {cfg.X3D[key]}, expected a number > 0."
            problems.append(Problem(f"X3D.{key}", message))
    return problems
