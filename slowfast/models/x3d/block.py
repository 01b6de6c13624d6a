"""Layers of X3D (Feichtenhofer, CVPR 2020), under PySlowFast's parameter names.

Legend: B batch, C channels, T frames.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.models.drop_path import DropPath
from slowfast.models.time_conv import TimeConv3d

__all__ = ["SqueezeExcitation", "X3DBlock", "X3DBranch", "X3DStem", "round_channels"]

Norm = Callable[[int], nn.Module]

# Hidden channels of squeeze and excitation, relative to its input.
_SE_RATIO = 0.0625


def round_channels(channels: float, step: int = 8) -> int:
    """Round to a multiple of ``step``, at least one, and never more than 10 % down."""
    rounded = max(step, int(channels + step / 2) // step * step)
    return rounded + step if rounded < 0.9 * channels else rounded


class SqueezeExcitation(nn.Module):
    """Squeeze and excitation: channel attention from channel averages (Hu et al., CVPR 2018)."""

    def __init__(self, dim: int, dim_inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(dim, dim_inner, 1)
        self.fc2 = nn.Conv3d(dim_inner, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of float (B, C, T, H, W)."""
        average = x.mean(dim=(2, 3, 4), keepdim=True)  # (B, C, 1, 1, 1)
        return x * self.fc2(F.relu(self.fc1(average))).sigmoid()


class X3DStem(nn.Module):
    """A 1x3x3 convolution, strided in space, and a channelwise one over five frames."""

    def __init__(self, dim_in: int, dim_out: int, norm: Norm) -> None:
        super().__init__()
        self.conv_xy = nn.Conv3d(
            dim_in, dim_out, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False
        )
        self.conv = TimeConv3d(
            dim_out, dim_out, (5, 1, 1), padding=(2, 0, 0), groups=dim_out, bias=False
        )
        self.bn = norm(dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the stem to float (B, 3, T, H, W)."""
        return F.relu(self.bn(self.conv(self.conv_xy(x))), inplace=True)


class X3DBranch(nn.Module):
    """The residual branch: 1x1x1, 3x3x3 in groups, squeeze and excitation, swish, 1x1x1.

    Args:
        dims: Channels of input, 3x3x3 convolution and output.
        stride: Stride in space.
        groups: Groups of the 3x3x3 convolution; 0 for one per channel.
        excite: Use squeeze and excitation.
        norm: Channels -> batch norm.
    """

    def __init__(
        self, dims: tuple[int, int, int], *, stride: int, groups: int, excite: bool, norm: Norm
    ) -> None:
        super().__init__()
        dim_in, dim_inner, dim_out = dims
        self.a = nn.Conv3d(dim_in, dim_inner, 1, bias=False)
        self.a_bn = norm(dim_inner)
        self.b = nn.Conv3d(
            dim_inner,
            dim_inner,
            3,
            stride=(1, stride, stride),
            padding=1,
            groups=groups or dim_inner,
            bias=False,
        )
        self.b_bn = norm(dim_inner)
        if excite:
            self.se = SqueezeExcitation(dim_inner, round_channels(dim_inner * _SE_RATIO))
        self.excite = excite
        self.c = nn.Conv3d(dim_inner, dim_out, 1, bias=False)
        self.c_bn = norm(dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the branch to float (B, C, T, H, W)."""
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        x = self.b_bn(self.b(x))
        if self.excite:
            x = self.se(x)
        return self.c_bn(self.c(F.silu(x)))


class X3DBlock(nn.Module):
    """The residual branch and a shortcut.

    Args:
        dims: Channels of input, 3x3x3 convolution and output.
        stride: Stride in space.
        groups: Groups of the 3x3x3 convolution; 0 for one per channel.
        excite: Use squeeze and excitation.
        shortcut_norm: Use batch norm in a shortcut that only strides; one that changes channels
            always has it.
        norm: Channels -> batch norm.
        drop_path: Probability of dropping the branch.
    """

    def __init__(
        self,
        dims: tuple[int, int, int],
        *,
        stride: int = 1,
        groups: int = 0,
        excite: bool = True,
        shortcut_norm: bool = True,
        norm: Norm = nn.BatchNorm3d,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        dim_in, _, dim_out = dims
        self.branch1: nn.Module | None = None
        self.branch1_bn: nn.Module | None = None
        if dim_in != dim_out or stride != 1:
            self.branch1 = nn.Conv3d(dim_in, dim_out, 1, stride=(1, stride, stride), bias=False)
            if dim_in != dim_out or shortcut_norm:
                self.branch1_bn = norm(dim_out)
        self.branch2 = X3DBranch(dims, stride=stride, groups=groups, excite=excite, norm=norm)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to float (B, C, T, H, W)."""
        shortcut = x if self.branch1 is None else self.branch1(x)
        if self.branch1_bn is not None:
            shortcut = self.branch1_bn(shortcut)
        return F.relu(shortcut + self.drop_path(self.branch2(x)), inplace=True)
