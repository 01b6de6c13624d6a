"""Attention over pooled tokens (Fan et al., "Multiscale Vision Transformers", ICCV 2021).

Queries, keys and values are pooled separately on their grids: keys and values to make attention
cheaper, queries to reduce the output resolution. Parameter names are PySlowFast's.

Legend: B batch, M heads, N tokens, C channels, P prefix tokens (0 or 1), T H W
grid.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.models.mvit.relative_positions import append_relative
from slowfast.models.mvit.stage_config import BlockOptions, BlockShape, Grid, shrunk

__all__ = ["LayerNorm", "PooledAttention", "pool_tokens"]

LayerNorm = partial(nn.LayerNorm, eps=1e-6)
"""The norm of all layers of the family."""

_INIT_STD = 0.02


def pool_tokens(
    tokens: Tensor,
    grid: Grid,
    pool: nn.Module | None,
    *,
    prefix: int,
    norm: nn.Module | None = None,
) -> tuple[Tensor, Grid]:
    """Pool the tokens of the grid, keep the prefix tokens, and normalize all.

    Args:
        tokens: float (B, M, P + T H W, C).
        grid: T, H, W.
        pool: Pooling of a map (B * M, C, T, H, W); None for no pooling and no norm.
        prefix: P.
        norm: Norm over the last dimension.

    Returns:
        The tokens, float (B, M, P + T' H' W', C), and their grid.
    """
    if pool is None:
        return tokens, grid
    front, positions = tokens[:, :, :prefix], tokens[:, :, prefix:]
    positions = positions.flatten(0, 1).transpose(1, 2).unflatten(2, grid)  # (B * M, C, T, H, W)
    pooled = pool(positions.contiguous())
    time, height, width = pooled.shape[2:]
    positions = pooled.flatten(2).transpose(1, 2).unflatten(0, tokens.shape[:2])
    tokens = torch.cat([front, positions], dim=2) if prefix else positions
    return tokens if norm is None else norm(tokens), (time, height, width)


def _fold(tokens: Tensor, heads: int) -> Tensor:
    """Split channels into heads: (B, N, M * C) -> (B, M, N, C)."""
    return tokens.unflatten(2, (heads, -1)).transpose(1, 2)


def _unfold(tokens: Tensor) -> Tensor:
    """Join heads: (B, M, N, C) -> (B, N, M * C)."""
    return tokens.transpose(1, 2).flatten(2)


def _half(kernel: Grid) -> Grid:
    """Return the padding of a kernel."""
    time, height, width = (side // 2 for side in kernel)
    return time, height, width


class PooledAttention(nn.Module):
    """Multi-head attention whose queries, keys and values are pooled on their grid.

    Args:
        shape: Sizes; uses dim, dim_attention, num_heads, grid, kernels and strides.
        options: Options of all blocks.
    """

    pool_q: nn.Module | None
    pool_k: nn.Module | None
    pool_v: nn.Module | None
    norm_q: nn.Module | None
    norm_k: nn.Module | None
    norm_v: nn.Module | None
    rel_pos_t: nn.Parameter | None
    rel_pos_h: nn.Parameter | None
    rel_pos_w: nn.Parameter | None

    def __init__(self, shape: BlockShape, options: BlockOptions) -> None:
        super().__init__()
        self.options = options
        self.num_heads = shape.num_heads
        self.prefix = int(options.class_token)
        dim = shape.dim_attention
        if options.pool_first or options.separate_qkv:
            self.q, self.k, self.v = (
                nn.Linear(shape.dim, dim, bias=options.qkv_bias) for _ in range(3)
            )
        else:
            self.qkv = nn.Linear(shape.dim, 3 * dim, bias=options.qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(options.dropout)
        self._add_pooling("q", shape, shape.kernel_q, shape.stride_q)
        self._add_pooling("k", shape, shape.kernel_kv, shape.stride_kv)
        self._add_pooling("v", shape, shape.kernel_kv, shape.stride_kv)
        self._add_relative_positions(shape)

    def _add_pooling(self, name: str, shape: BlockShape, kernel: Grid | None, stride: Grid) -> None:
        """Set ``pool_NAME`` and ``norm_NAME``, None if there is no pooling."""
        pool: nn.Module | None = None
        norm: nn.Module | None = None
        options = self.options
        if kernel is not None:
            padding = _half(kernel)
            if options.mode in ("avg", "max"):
                build = nn.AvgPool3d if options.mode == "avg" else nn.MaxPool3d
                pool = build(kernel, stride, padding)
            else:
                dim = shape.dim if options.pool_first else shape.dim_attention
                dim //= 1 if options.mode == "conv_unshared" else shape.num_heads
                pool = nn.Conv3d(dim, dim, kernel, stride, padding, groups=dim, bias=False)
                norm = LayerNorm(dim)
        self.register_module(f"pool_{name}", pool)
        self.register_module(f"norm_{name}", norm)

    def _add_relative_positions(self, shape: BlockShape) -> None:
        """Set ``rel_pos_t``, ``rel_pos_h`` and ``rel_pos_w``, None if they are not used."""
        options = self.options
        head_dim = shape.dim_attention // shape.num_heads
        q_grid, kv_grid = shrunk(shape.grid, shape.stride_q), shrunk(shape.grid, shape.stride_kv)
        distances = [2 * max(pair) - 1 for pair in zip(q_grid, kv_grid, strict=True)]
        distances[0] = 2 * shape.grid[0] - 1  # as published, whatever the strides in time
        wanted = (options.relative_time, options.relative_space, options.relative_space)
        for axis, length, is_wanted in zip("thw", distances, wanted, strict=True):
            table = nn.Parameter(torch.zeros(length, head_dim)) if is_wanted else None
            if table is not None and not options.relative_zero_init:
                nn.init.trunc_normal_(table, std=_INIT_STD)
            self.register_parameter(f"rel_pos_{axis}", table)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Apply attention.

        Args:
            x: float (B, N, C).
            grid: T, H, W of the tokens after the prefix.

        Returns:
            float (B, N', dim_attention) and the grid of the pooled queries.
        """
        (query, q_grid), (key, k_grid), (value, _) = self._pooled(x, grid)
        tables = (self.rel_pos_t, self.rel_pos_h, self.rel_pos_w)
        if all(table is None for table in tables):
            out = F.scaled_dot_product_attention(query, key, value)
        else:
            longer = append_relative(
                query,
                key,
                (q_grid, k_grid),
                tables,
                prefix=self.prefix,
                scale=query.shape[-1] ** -0.5,
            )
            out = F.scaled_dot_product_attention(*longer, value, scale=1.0)
        if self.options.residual_pooling:  # of the grid's tokens only
            positions = out[:, :, self.prefix :] + query[:, :, self.prefix :]
            out = torch.cat([out[:, :, : self.prefix], positions], dim=2)
        return self.proj_drop(self.proj(_unfold(out))), q_grid

    def _pooled(self, x: Tensor, grid: Grid) -> list[tuple[Tensor, Grid]]:
        """Project and pool, in the order of ``pool_first``.

        Args:
            x: float (B, N, C).
            grid: T, H, W.

        Returns:
            Queries, keys and values, float (B, M, N', C'), each with its grid.
        """
        options, heads = self.options, self.num_heads
        if options.pool_first:
            inputs = [_fold(x, 1 if options.mode == "conv_unshared" else heads)] * 3
        elif options.separate_qkv:
            inputs = [_fold(project(x), heads) for project in (self.q, self.k, self.v)]
        else:
            inputs = [_fold(chunk, heads) for chunk in self.qkv(x).chunk(3, dim=2)]
        poolings = (
            (self.pool_q, self.norm_q),
            (self.pool_k, self.norm_k),
            (self.pool_v, self.norm_v),
        )
        pooled = [
            pool_tokens(chunk, grid, pool, prefix=self.prefix, norm=norm)
            for chunk, (pool, norm) in zip(inputs, poolings, strict=True)
        ]
        if not options.pool_first:
            return pooled
        return [
            (_fold(project(_unfold(chunk)), heads), size)
            for project, (chunk, size) in zip((self.q, self.k, self.v), pooled, strict=True)
        ]
