"""Sizes of the blocks of a multiscale vision transformer: widths, heads, pooling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["BlockOptions", "BlockShape", "Grid", "Schedule", "scaled_width"]

Grid = tuple[int, int, int]
"""Size in time, height and width; also a kernel or a stride."""


class BlockShape(NamedTuple):
    """Sizes of one block.

    Attributes:
        dim: Input channels.
        dim_attention: Channels of the attention and of the MLP's input.
        dim_out: Output channels.
        num_heads: Attention heads.
        grid: Input grid, for the sizes of the relative positions.
        kernel_q: Kernel that pools queries; None for no pooling.
        kernel_kv: Kernel that pools keys and values; None for no pooling.
        stride_q: Stride of the queries' pooling, and of the block.
        stride_kv: Stride of the keys' and values' pooling.
    """

    dim: int
    dim_attention: int
    dim_out: int
    num_heads: int
    grid: Grid
    kernel_q: Grid | None = None
    kernel_kv: Grid | None = None
    stride_q: Grid = (1, 1, 1)
    stride_kv: Grid = (1, 1, 1)


@dataclass(frozen=True)
class BlockOptions:
    """Options of all blocks.

    Attributes:
        mode: How tokens are pooled: ``conv`` (one kernel for all heads), ``conv_unshared`` (a
            kernel per head), ``avg`` or ``max``.
        pool_first: Pool before the projection to queries, keys and values instead of after it.
        separate_qkv: Three projections instead of a joint one.
        qkv_bias: Give those projections a bias.
        class_token: The first token is a class token, which is never pooled.
        relative_space: Use relative positions in height and width.
        relative_time: Use relative positions in time.
        relative_zero_init: Initialize relative positions with zero.
        residual_pooling: Add the pooled queries to the output of the attention.
        mlp_ratio: Hidden channels of the MLP, relative to its input.
        dropout: Probability of dropout after projections.
        layer_scale: Initial factor, learned per channel, on each residual branch; 0 for none.
    """

    mode: str = "conv"
    pool_first: bool = False
    separate_qkv: bool = False
    qkv_bias: bool = True
    class_token: bool = True
    relative_space: bool = False
    relative_time: bool = False
    relative_zero_init: bool = False
    residual_pooling: bool = False
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    layer_scale: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """Widths, heads and pooling of all blocks; mappings are from block index to value.

    Attributes:
        depth: Number of blocks.
        embed_dim: Input channels of the first block.
        num_heads: Heads of the first block.
        dim_mul: Factors on the channels.
        head_mul: Factors on the heads.
        stride_q: Strides of queries. A block with an entry pools them, even with stride 1.
        stride_kv: Strides of keys and values, likewise.
        stride_kv_adaptive: Stride of keys and values in the first block, instead of ``stride_kv``;
            later blocks divide it by the strides of the queries so far.
        kernel: Kernel of every pooling; None: stride + 1 where the stride is above 1.
        widen_in_attention: Channels grow in the attention of a block (MViTv2) instead of in the MLP
            of the previous block (MViTv1).
    """

    depth: int = 16
    embed_dim: int = 96
    num_heads: int = 1
    dim_mul: Mapping[int, float] = field(default_factory=dict)
    head_mul: Mapping[int, float] = field(default_factory=dict)
    stride_q: Mapping[int, Grid] = field(default_factory=dict)
    stride_kv: Mapping[int, Grid] = field(default_factory=dict)
    stride_kv_adaptive: Grid | None = None
    kernel: Grid | None = None
    widen_in_attention: bool = False

    def blocks(self, grid: Grid) -> list[BlockShape]:
        """Compute the sizes of all blocks."""
        dim, heads = self.embed_dim, self.num_heads
        stride_kv = self._strides_kv()
        shapes = []
        for i in range(self.depth):
            heads = scaled_width(heads, self.head_mul.get(i, 1.0))
            growing = i if self.widen_in_attention else i + 1
            divisor = scaled_width(heads, self.head_mul.get(growing, 1.0))
            dim_out = scaled_width(dim, self.dim_mul.get(growing, 1.0), divisor)
            shape = BlockShape(
                dim, dim_out if self.widen_in_attention else dim, dim_out, heads, grid
            )
            if i in self.stride_q:
                kernel = self._kernel(self.stride_q[i])
                shape = shape._replace(kernel_q=kernel, stride_q=self.stride_q[i])
            if i in stride_kv:
                kernel = self._kernel(stride_kv[i])
                shape = shape._replace(kernel_kv=kernel, stride_kv=stride_kv[i])
            shapes.append(shape)
            dim, grid = dim_out, shrunk(grid, shape.stride_q)
        return shapes

    def _strides_kv(self) -> Mapping[int, Grid]:
        """Return the stride of each block's keys and values."""
        if self.stride_kv_adaptive is None:
            return self.stride_kv
        left, strides = self.stride_kv_adaptive, {}
        for i in range(self.depth):
            left = shrunk(left, self.stride_q.get(i, (1, 1, 1)))
            strides[i] = left
        return strides

    def _kernel(self, stride: Grid) -> Grid | None:
        """Return the kernel of a stride, or None if there is no pooling."""
        time, height, width = (s + 1 if s > 1 else s for s in stride)
        kernel = (time, height, width) if self.kernel is None else self.kernel
        return None if math.prod(kernel) == math.prod(stride) == 1 else kernel


def shrunk(grid: Grid, stride: Grid) -> Grid:
    """Divide each side by its stride, rounding down but never below 1.

    Published relative positions have these sizes, although pooling rounds up.
    """
    time, height, width = (max(g // s, 1) for g, s in zip(grid, stride, strict=True))
    return time, height, width


def scaled_width(width: int, factor: float, divisor: int = 1) -> int:
    """Multiply a number of channels, rounding to a multiple of ``divisor``.

    Args:
        width: Number of channels.
        factor: Factor.
        divisor: The result is a multiple of it, and at most 10 % below the exact product.

    Returns:
        The number of channels, at least 1.
    """
    exact = width * factor
    rounded = max(int(exact + divisor / 2) // divisor * divisor, 1)
    return rounded + divisor if rounded < 0.9 * exact else rounded
