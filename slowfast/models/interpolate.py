"""Position embeddings of one grid resized to another, when weights are loaded.

A model trained on 16 frames of 224 pixels has one position embedding per cell of its token grid;
built for another clip it has another grid. The tables are resized as pictures are.

Legend: N cells of the grid, P tokens in front of it (a class token), C channels, L positions.
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
    """Resize a table of positions on a grid.

    Args:
        value: float (1, P + N, C), the grid's cells row by row, its last axis fastest.
        old_grid: Sides of the table's grid: (T, H, W), (H, W) or (L,); their product is N.
        new_grid: Sides wanted, as many.
        num_prefix: P, tokens in front of the grid, which stay as they are.

    Returns:
        float (1, P + N', C) with N' the product of ``new_grid``.

    Raises:
        ValueError: If the table is not of that grid.
    """
    prefix, table = value[:, :num_prefix], value[:, num_prefix:]
    if table.shape[1] != math.prod(old_grid) or len(old_grid) != len(new_grid):
        raise ValueError(
            f"a table of {value.shape[1]} positions is not a grid of {tuple(old_grid)} behind "
            f"{num_prefix} tokens, or cannot become one of {tuple(new_grid)}."
        )
    if tuple(old_grid) == tuple(new_grid):
        return value
    picture = table.transpose(1, 2).unflatten(2, tuple(old_grid))  # (1, C, *old_grid)
    resized = F.interpolate(
        picture.float(), size=tuple(new_grid), mode=_MODES[len(new_grid)], align_corners=False
    )
    return cat([prefix, resized.flatten(2).transpose(1, 2).to(value.dtype)], dim=1)


def resize_axis(value: Tensor, length: int) -> Tensor:
    """Resize a table of relative positions along one axis.

    Args:
        value: float (L, C), from the most negative distance to the most positive.
        length: L wanted.

    Returns:
        float (length, C), linearly interpolated.
    """
    rows = value.float().t().unsqueeze(0)  # (1, C, L)
    resized = F.interpolate(rows, size=length, mode="linear", align_corners=False)
    return resized[0].t().to(value.dtype)


def square_grid(cells: int) -> tuple[int, int] | None:
    """Take a number of cells for a square, for tables that do not say their grid.

    Args:
        cells: N.

    Returns:
        Its two sides, or None when N is no square.
    """
    side = math.isqrt(cells)
    return (side, side) if side * side == cells else None
