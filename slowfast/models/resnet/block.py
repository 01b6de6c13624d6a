"""Residual blocks of the video ResNets with pathways, and their residual functions.

Submodules are named as in PySlowFast's checkpoints (``branch1``, ``branch2.a``, ``branch2.a_bn``).

Legend: B batch, C channels, T frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.models.drop_path import DropPath
from slowfast.models.time_conv import TimeConv3d

__all__ = [
    "BasicTransform",
    "BlockSpec",
    "BottleneckTransform",
    "ChannelSeparatedTransform",
    "Conv2Plus1D",
    "FactorizedTransform",
    "Norm",
    "ResBlock",
    "Transform",
    "initialize",
    "max_pool_inside",
]

Norm = Callable[[int], nn.Module]


class BlockSpec(NamedTuple):
    """Shape of one residual block.

    Attributes:
        dim_in: Input channels.
        dim_inner: Channels of the bottleneck.
        dim_out: Output channels.
        temporal_kernel: Temporal kernel of the block.
        stride: Stride in height and width.
        temporal_stride: Stride in time.
        dilation: Dilation of the 3x3 convolution, in height and width.
        groups: Groups of the 3x3 convolution.
        stride_first: Stride in the first convolution instead of the 3x3 one.
    """

    dim_in: int
    dim_inner: int
    dim_out: int
    temporal_kernel: int = 1
    stride: int = 1
    temporal_stride: int = 1
    dilation: int = 1
    groups: int = 1
    stride_first: bool = False


def _conv_time(dim_in: int, dim_out: int, kernel: int, *, stride: int = 1) -> nn.Conv3d:
    """Build a ``kernel`` x1x1 convolution."""
    padding = (kernel // 2, 0, 0)
    strides = (1, stride, stride)
    return TimeConv3d(dim_in, dim_out, (kernel, 1, 1), stride=strides, padding=padding, bias=False)


def _conv_space(spec: BlockSpec, *, stride: int) -> nn.Conv3d:
    """Build the 1x3x3 convolution of the bottleneck."""
    return nn.Conv3d(
        spec.dim_inner,
        spec.dim_inner,
        (1, 3, 3),
        stride=(1, stride, stride),
        padding=(0, spec.dilation, spec.dilation),
        dilation=(1, spec.dilation, spec.dilation),
        groups=spec.groups,
        bias=False,
    )


class BottleneckTransform(nn.Module):
    """A bottleneck of Tx1x1, 1x3x3 and 1x1x1 convolutions."""

    def __init__(self, spec: BlockSpec, norm: Norm) -> None:
        super().__init__()
        self.a = self.build_a(spec)
        self.a_bn = norm(spec.dim_inner)
        self.b = self.build_b(spec, norm)
        self.b_bn = norm(spec.dim_inner)
        self.c = nn.Conv3d(spec.dim_inner, spec.dim_out, 1, bias=False)
        self.c_bn = norm(spec.dim_out)

    def build_a(self, spec: BlockSpec) -> nn.Module:
        """Build the first convolution."""
        stride = spec.stride if spec.stride_first else 1
        return _conv_time(spec.dim_in, spec.dim_inner, spec.temporal_kernel, stride=stride)

    def build_b(self, spec: BlockSpec, norm: Norm) -> nn.Module:
        """Build the middle convolution."""
        return _conv_space(spec, stride=1 if spec.stride_first else spec.stride)

    def final_layers(self) -> tuple[nn.Module, nn.Module]:
        """Return the last convolution and its batch norm."""
        return self.c, self.c_bn

    def forward(self, x: Tensor) -> Tensor:
        """Transform float (B, C, T, H, W)."""
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        x = F.relu(self.b_bn(self.b(x)), inplace=True)
        return self.c_bn(self.c(x))


class BasicTransform(nn.Module):
    """A Tx3x3 and a 1x3x3 convolution, for 18-layer networks.

    Args:
        spec: Shape of the block; ``dim_inner``, ``groups`` and ``dilation`` are not used.
        norm: Channels -> batch norm.
    """

    def __init__(self, spec: BlockSpec, norm: Norm) -> None:
        super().__init__()
        frames, stride = spec.temporal_kernel, spec.stride
        self.a = nn.Conv3d(
            spec.dim_in,
            spec.dim_out,
            (frames, 3, 3),
            stride=(1, stride, stride),
            padding=(frames // 2, 1, 1),
            bias=False,
        )
        self.a_bn = norm(spec.dim_out)
        self.b = nn.Conv3d(spec.dim_out, spec.dim_out, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.b_bn = norm(spec.dim_out)

    def final_layers(self) -> tuple[nn.Module, nn.Module]:
        """Return the last convolution and its batch norm."""
        return self.b, self.b_bn

    def forward(self, x: Tensor) -> Tensor:
        """Transform float (B, C, T, H, W)."""
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        return self.b_bn(self.b(x))


class ChannelSeparatedTransform(BottleneckTransform):
    """The bottleneck of CSN: 1x1x1 convolutions and a depthwise 3x3x3 convolution.

    The interaction-reduced form of Tran et al., ICCV 2019, section 3.3.
    """

    def build_a(self, spec: BlockSpec) -> nn.Module:
        """Build the first convolution."""
        return _conv_time(spec.dim_in, spec.dim_inner, 1)

    def build_b(self, spec: BlockSpec, norm: Norm) -> nn.Module:
        """Build the depthwise convolution."""
        frames = spec.temporal_kernel
        return nn.Conv3d(
            spec.dim_inner,
            spec.dim_inner,
            (frames, 3, 3),
            stride=(spec.temporal_stride, spec.stride, spec.stride),
            padding=(frames // 2, 1, 1),
            groups=spec.dim_inner,
            bias=False,
        )


class Conv2Plus1D(nn.Module):
    """A 1x3x3 convolution, batch norm, ReLU, and a Tx1x1 convolution, all of one width."""

    def __init__(self, spec: BlockSpec, norm: Norm) -> None:
        super().__init__()
        frames = spec.temporal_kernel
        self.conv_t = TimeConv3d(
            spec.dim_inner,
            spec.dim_inner,
            (frames, 1, 1),
            stride=(spec.temporal_stride, 1, 1),
            padding=(frames // 2, 0, 0),
            bias=False,
        )
        self.norm = norm(spec.dim_inner)
        self.conv_xy = _conv_space(spec, stride=spec.stride)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers to float (B, C, T, H, W)."""
        return self.conv_xy(F.relu(self.norm(self.conv_t(x)), inplace=True))


class FactorizedTransform(BottleneckTransform):
    """The bottleneck of R(2+1)D-50: a 2D convolution and a 1D one in time in the middle."""

    def build_a(self, spec: BlockSpec) -> nn.Module:
        """Build the first convolution."""
        return _conv_time(spec.dim_in, spec.dim_inner, 1)

    def build_b(self, spec: BlockSpec, norm: Norm) -> nn.Module:
        """Build the pair of convolutions."""
        return Conv2Plus1D(spec, norm)


Transform = type[BottleneckTransform] | type[BasicTransform]


class ResBlock(nn.Module):
    """A residual function and a shortcut, with a 1x1x1 convolution if the shape changes."""

    def __init__(
        self, spec: BlockSpec, *, transform: Transform, norm: Norm, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        strides = (spec.temporal_stride, spec.stride, spec.stride)
        self.branch1: nn.Module | None = None
        self.branch1_bn: nn.Module | None = None
        if spec.dim_in != spec.dim_out or strides != (1, 1, 1):
            self.branch1 = nn.Conv3d(spec.dim_in, spec.dim_out, 1, stride=strides, bias=False)
            self.branch1_bn = norm(spec.dim_out)
        self.branch2 = transform(spec, norm)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to float (B, C, T, H, W)."""
        shortcut = x
        if self.branch1 is not None and self.branch1_bn is not None:
            shortcut = self.branch1_bn(self.branch1(x))
        return F.relu(shortcut + self.drop_path(self.branch2(x)), inplace=True)


def max_pool_inside(x: Tensor, kernel: tuple[int, int, int]) -> Tensor:
    """Max pooling with stride equal to the kernel; incomplete windows are dropped.

    Args:
        x: float (B, C, T, H, W).
        kernel: Size of the windows, in frames, rows and columns; a smaller map is one window.

    Returns:
        float (B, C, T', H', W').
    """
    sizes = x.shape[2:]
    blocks = [min(k, n) for k, n in zip(kernel, sizes, strict=True)]
    return x if blocks == [1, 1, 1] else F.max_pool3d(x, blocks, blocks)


@torch.no_grad()
def initialize(
    network: nn.Module, *, zero_final_norm: bool = False, zero_final_conv: bool = False
) -> None:
    """Initialize as published: He et al.'s normal initialization by fan-out; biases 0.

    Args:
        network: Modified in place.
        zero_final_norm: Zero-initialize the last batch norm of every residual branch.
        zero_final_conv: Zero-initialize the last convolution of every residual branch.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        final_layers = getattr(module, "final_layers", None)
        if final_layers is None:
            continue
        conv, norm = final_layers()
        if zero_final_conv:
            nn.init.zeros_(conv.weight)
        if zero_final_norm:
            nn.init.zeros_(norm.weight)
