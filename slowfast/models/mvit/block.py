"""A block of a multiscale vision transformer: pooled attention and MLP, each with a shortcut.

Parameter names are PySlowFast's.

Legend: B batch, C channels, P prefix tokens (0 or 1), T H W grid.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from slowfast.models.drop_path import DropPath
from slowfast.models.mvit.attention import LayerNorm, PooledAttention, pool_tokens
from slowfast.models.mvit.stage_config import BlockOptions, BlockShape, Grid

__all__ = ["MLP", "MultiscaleBlock"]


class MLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, dim_in: int, dim_hidden: int, dim_out: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim_in, dim_hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(dim_hidden, dim_out)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers to float (..., C)."""
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class MultiscaleBlock(nn.Module):
    """Attention over pooled tokens and an MLP; may reduce the grid and widen the channels.

    Without pooling and widening it is the block of a plain vision transformer.
    """

    def __init__(self, shape: BlockShape, options: BlockOptions, *, drop_path: float = 0.0) -> None:
        super().__init__()
        dim = shape.dim_attention
        self.prefix = int(options.class_token)
        self.widens_first = dim == shape.dim_out != shape.dim
        self.norm1 = LayerNorm(shape.dim)
        self.attn = PooledAttention(shape, options)
        self.drop_path = DropPath(drop_path)
        self.norm2 = LayerNorm(dim)
        self.mlp = MLP(dim, int(dim * options.mlp_ratio), shape.dim_out, options.dropout)
        self.gamma_1: nn.Parameter | None = None
        self.gamma_2: nn.Parameter | None = None
        if options.layer_scale > 0:
            self.gamma_1 = nn.Parameter(torch.full((dim,), options.layer_scale))
            self.gamma_2 = nn.Parameter(torch.full((shape.dim_out,), options.layer_scale))
        widens = shape.dim != shape.dim_out
        self.proj = nn.Linear(shape.dim, shape.dim_out) if widens else None
        self.pool_skip: nn.Module | None = None
        if math.prod(shape.stride_q) > 1:
            kernel = tuple(s + 1 if s > 1 else s for s in shape.stride_q)
            padding = tuple(side // 2 for side in kernel)
            self.pool_skip = nn.MaxPool3d(kernel, shape.stride_q, padding)

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Apply the block.

        Args:
            x: float (B, P + T H W, C).
            grid: T, H, W.

        Returns:
            float (B, P + T' H' W', C') and T', H', W'.
        """
        normed = self.norm1(x)
        branch, new_grid = self.attn(normed, grid)
        if self.proj is not None and self.widens_first:
            x = self.proj(normed)
        shortcut, _ = pool_tokens(x[:, None], grid, self.pool_skip, prefix=self.prefix)
        x = shortcut[:, 0] + self.drop_path(self._scaled(branch, self.gamma_1))
        normed = self.norm2(x)
        if self.proj is not None and not self.widens_first:
            x = self.proj(normed)
        return x + self.drop_path(self._scaled(self.mlp(normed), self.gamma_2)), new_grid

    @staticmethod
    def _scaled(branch: Tensor, factor: Tensor | None) -> Tensor:
        """Multiply each channel by its learned factor, if there is one."""
        return branch if factor is None else factor * branch
