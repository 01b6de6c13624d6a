"""Layers of S3D and S3D-G (Xie et al., ECCV 2018), under torchvision's parameter names.

Legend: B batch, C channels, T frames.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from slowfast.models.time_conv import TimeConv3d

__all__ = ["FeatureGate", "InceptionBlock", "SeparableConv", "Widths", "conv_norm_relu"]

Norm = Callable[[int], nn.Module]
Widths = tuple[int, int, int, int, int, int]


class FeatureGate(nn.Module):
    """Channel attention from the averages of all channels: sigmoid(W mean(x) + b) x."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of float (B, C, T, H, W)."""
        weight = self.fc(x.mean(dim=(2, 3, 4))).sigmoid()  # (B, C)
        return x * weight[:, :, None, None, None]


def conv_norm_relu(
    dim_in: int,
    dim_out: int,
    norm: Norm,
    *,
    time: int = 1,
    space: int = 1,
    stride: int = 1,
) -> nn.Sequential:
    """Build a convolution without bias, batch norm and ReLU.

    Args:
        dim_in: Input channels.
        dim_out: Output channels.
        norm: Channels -> batch norm.
        time: Kernel size in time.
        space: Kernel size in height and width.
        stride: Stride along the axes of the kernel.

    Returns:
        The three layers.
    """
    in_time, in_space = (stride if size > 1 else 1 for size in (time, space))
    build = nn.Conv3d if space > 1 else TimeConv3d
    conv = build(
        dim_in,
        dim_out,
        (time, space, space),
        stride=(in_time, in_space, in_space),
        padding=(time // 2, space // 2, space // 2),
        bias=False,
    )
    return nn.Sequential(conv, norm(dim_out), nn.ReLU(inplace=True))


class SeparableConv(nn.Sequential):
    """A convolution in space and one in time, each with batch norm and ReLU.

    Args:
        dim_in: Input channels.
        dim_out: Hidden and output channels.
        kernel: Kernel size in space and in time.
        stride: Stride in space and in time.
        norm: Channels -> batch norm.
        gated: Use a gate at the end.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        kernel: int,
        *,
        stride: int = 1,
        norm: Norm = nn.BatchNorm3d,
        gated: bool = False,
    ) -> None:
        super().__init__(
            conv_norm_relu(dim_in, dim_out, norm, space=kernel, stride=stride),
            conv_norm_relu(dim_out, dim_out, norm, time=kernel, stride=stride),
        )
        if gated:
            self.add_module("gate", FeatureGate(dim_out))


class InceptionBlock(nn.Module):
    """Four parallel branches: 1x1x1, two with a separable 3x3x3, and one with a max pooling.

    Args:
        dim_in: Input channels.
        widths: Channels of the branches: the first; the second before and in its separable
            convolution; the third likewise; the fourth.
        norm: Channels -> batch norm.
        gated: Use a gate at the end of each branch.
    """

    def __init__(
        self,
        dim_in: int,
        widths: Widths,
        *,
        norm: Norm = nn.BatchNorm3d,
        gated: bool = False,
    ) -> None:
        super().__init__()
        first, before2, second, before3, third, fourth = widths
        self.branch0 = conv_norm_relu(dim_in, first, norm)
        self.branch1 = nn.Sequential(
            conv_norm_relu(dim_in, before2, norm), SeparableConv(before2, second, 3, norm=norm)
        )
        self.branch2 = nn.Sequential(
            conv_norm_relu(dim_in, before3, norm), SeparableConv(before3, third, 3, norm=norm)
        )
        self.branch3 = nn.Sequential(
            nn.MaxPool3d(3, stride=1, padding=1), conv_norm_relu(dim_in, fourth, norm)
        )
        self.dim_out = first + second + third + fourth
        if gated:
            for branch, dim in zip(self.children(), (first, second, third, fourth), strict=True):
                branch.add_module("gate", FeatureGate(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to float (B, C, T, H, W)."""
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(x) for branch in branches], dim=1)
