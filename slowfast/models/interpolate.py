"""Resizes position embeddings to another grid, when weights are loaded.

A model for 16 frames of 224 pixels has one position embedding per position of its token grid; for
another clip size the grid is different. Embeddings are interpolated like images.

Legend: N positions of the grid, P prefix tokens (a class token), C channels, L relative positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, cat
from torch.nn import functional as F

__all__ = ["resize_axis", "resize_positions", "square_grid"]

_MODES = {1: "linear", 2: "bicubic", 3: "trilinear"}


def resize_positions(
    value: Tensor,
    *,
    old_grid: Sequence[int],
    new_grid: Sequence[int],
    num_prefix: int = 0,
) -> Tensor:
    """Resize position embeddings of a grid.

    Args:
        value: float (1, P + N, C), the grid in row-major order.
        old_grid: Size of the grid: (T, H, W), (H, W) or (L,); the product is N.
        new_grid: New size, with as many dimensions.
        num_prefix: P, prefix tokens, which are not resized.

    Returns:
        float (1, P + N', C) with N' the product of ``new_grid``.

    Raises:
        ValueError: If the embeddings do not match the grid.
    """
    prefix, table = value[:, :num_prefix], value[:, num_prefix:]
    if table.shape[1] != math.prod(old_grid) or len(old_grid) != len(new_grid):
        raise ValueError(
            f"{value.shape[1]} position embeddings are not a grid of {tuple(old_grid)} after "
            f"{num_prefix} tokens, or cannot become one of {tuple(new_grid)}."
        )
    if tuple(old_grid) == tuple(new_grid):
        return value
    image = table.transpose(1, 2).unflatten(2, tuple(old_grid))  # (1, C, *old_grid)
    resized = F.interpolate(
        image.float(), size=tuple(new_grid), mode=_MODES[len(new_grid)], align_corners=False
    )
    return cat([prefix, resized.flatten(2).transpose(1, 2).to(value.dtype)], dim=1)


def resize_axis(value: Tensor, length: int) -> Tensor:
    """Resize relative position embeddings along one axis.

    Args:
        value: float (L, C), from the most negative distance to the most positive.
        length: New L.

    Returns:
        float (length, C), linearly interpolated.
    """
    rows = value.float().t().unsqueeze(0)  # (1, C, L)
    resized = F.interpolate(rows, size=length, mode="linear", align_corners=False)
    return resized[0].t().to(value.dtype)


def square_grid(count: int) -> tuple[int, int] | None:
    """Find the side lengths of a square grid.

    Returns:
        Its height and width, or None if N is not a square number.
    """
    side = math.isqrt(count)
    return (side, side) if side * side == count else None
