"""Convolutions over time alone, fast also where torch's 3D convolution is not.

Legend: B batch, C channels in, D channels out, T frames, H W space.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["TimeConv3d", "conv_over_time"]

# torch (2.6 to 2.13, `use_mkldnn` of ATen/native/Convolution.cpp) gives a convolution whose kernel
# has one row and one column, with stride and dilation 1, to oneDNN only with several threads or at
# least so many clips. Its own kernel copies the input once per frame of the kernel.
_ONEDNN_BATCH = 16


class TimeConv3d(nn.Conv3d):
    """An ``nn.Conv3d`` with a Tx1x1 kernel: same arguments, parameters and state dict.

    It is computed as a 2D convolution over (T, H * W) where that is faster: in float32 on the CPU,
    with one thread and fewer than 16 clips, 0.3 to 0.6 of the time; elsewhere both are the same
    kernel (``benchmarks/bench_layers.py``). Results differ by rounding.

    Args:
        args: As for ``nn.Conv3d``.
        kwargs: As for ``nn.Conv3d``.

    Attributes:
        may_use_2d: False: always the 3D convolution (MODEL.FAST_TIME_CONV).

    Raises:
        ValueError: If the kernel or the padding extends over space.
    """

    may_use_2d = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.kernel_size[1:] != (1, 1) or tuple(self.padding)[1:] != (0, 0):
            raise ValueError(
                f"TimeConv3d: got kernel size {self.kernel_size} and padding {self.padding}; "
                "expected (T, 1, 1) and (P, 0, 0). Use nn.Conv3d for convolutions over space."
            )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve float (B, C, T, H, W)."""
        if self.may_use_2d and self._is_slow_in_3d(x):
            padding = int(self.padding[0])
            return conv_over_time(x, self.weight, self.bias, padding=padding, groups=self.groups)
        return super().forward(x)

    def _is_slow_in_3d(self, x: Tensor) -> bool:
        """Return whether torch would not take oneDNN; False in compiled and traced programs."""
        return (
            not torch.compiler.is_compiling()
            and not torch.jit.is_tracing()
            and self.kernel_size[0] > 1
            and self.stride == self.dilation == (1, 1, 1)
            and self.padding_mode == "zeros"
            and x.dim() == 5
            and len(x) < _ONEDNN_BATCH
            and x.dtype == self.weight.dtype == torch.float32
            and x.device.type == "cpu"
            and torch.get_num_threads() == 1
            and torch.backends.mkldnn.is_available()
            and not torch.is_autocast_enabled("cpu")
        )


def conv_over_time(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    padding: int = 0,
    groups: int = 1,
) -> Tensor:
    """Compute a convolution over time (stride and dilation 1) in 2D; keeps channels-last.

    Args:
        x: float (B, C, T, H, W).
        weight: (D, C / groups, K, 1, 1).
        bias: (D,).
        padding: Zeros before the first and after the last frame.
        groups: Groups of channels.

    Returns:
        (B, D, T', H, W), as ``F.conv3d`` but for rounding.
    """
    space = x.shape[3:]
    y = F.conv2d(x.flatten(3), weight.flatten(3), bias, padding=(padding, 0), groups=groups)
    return y.unflatten(3, space)
