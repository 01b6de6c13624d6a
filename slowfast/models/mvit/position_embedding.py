"""Position embeddings of a token grid: learned, or sines and cosines.

Legend: N positions, C channels, P prefix tokens (a class token), T H W grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from slowfast.models.interpolate import resize_positions, square_grid
from slowfast.models.mvit.stage_config import Grid

__all__ = [
    "POSITIONS",
    "adapt_positions",
    "grid_positions",
    "position_tables",
    "sincos_positions",
]

POSITIONS = ("none", "joint", "separable", "sincos")
"""None; one per position; the sum of one in space and one in time; fixed, one per position."""

_INIT_STD = 0.02


def position_tables(
    kind: str, grid: Sequence[int], dim: int, *, prefix: int
) -> dict[str, nn.Parameter]:
    """Create the position embeddings of a kind, under PySlowFast's names.

    Args:
        kind: One of ``POSITIONS``.
        grid: T, H, W; two axes except for ``separable``.
        dim: C.
        prefix: P.

    Returns:
        Name -> table, float (1, N, C); empty for ``none``.

    Raises:
        ValueError: If the kind is unknown.
    """
    if kind == "none":
        return {}
    if kind == "joint":
        return {"pos_embed": _learned(prefix + math.prod(grid), dim)}
    if kind == "separable":
        time, height, width = grid
        lengths = {"spatial": height * width, "temporal": time} | ({"class": 1} if prefix else {})
        return {f"pos_embed_{name}": _learned(length, dim) for name, length in lengths.items()}
    if kind == "sincos":
        table = torch.cat([torch.zeros(prefix, dim), sincos_positions(grid, dim)])
        return {"pos_embed": nn.Parameter(table[None], requires_grad=False)}
    raise ValueError(f"positions: got '{kind}', expected one of {', '.join(POSITIONS)}.")


def _learned(length: int, dim: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, length, dim), std=_INIT_STD))


def grid_positions(
    tables: Mapping[str, Tensor], built: Grid, grid: Grid, *, prefix: int
) -> Tensor | None:
    """Compute the position embeddings of all tokens, on a grid of any size.

    Args:
        tables: Result of ``position_tables``.
        built: Grid of the tables.
        grid: Target grid; tables are interpolated linearly if it differs.
        prefix: P.

    Returns:
        float (1, P + T H W, C), or None without tables.
    """
    if not tables:
        return None
    if "pos_embed" in tables:
        table = tables["pos_embed"]
        return resize_positions(table, old_grid=built, new_grid=grid, num_prefix=prefix)
    # Separate tables are interpolated as grids of one step, which equals interpolating their sum.
    (time, *space), (new_time, *new_space) = built, grid
    place = resize_positions(
        tables["pos_embed_spatial"], old_grid=(1, *space), new_grid=(1, *new_space)
    )
    step = resize_positions(tables["pos_embed_temporal"], old_grid=(time,), new_grid=(new_time,))
    joint = (step[:, :, None] + place[:, None]).flatten(1, 2)  # (1, T * H * W, C)
    return torch.cat([tables["pos_embed_class"], joint], dim=1) if prefix else joint


def adapt_positions(
    name: str, value: Tensor, like: Tensor, grid: Grid, prefix: int
) -> Tensor | None:
    """Resize a position embedding of a checkpoint to the grid of a model.

    Args:
        name: ``pos_embed``, ``pos_embed_spatial`` or ``pos_embed_temporal``.
        value: Tensor of the checkpoint, float (1, N', C).
        like: Tensor of the model, float (1, N, C).
        grid: T, H, W of the model.
        prefix: P of both.

    Returns:
        float (1, N, C), or None if the grid of the checkpoint is ambiguous.
    """
    if value.dim() != 3 or value.shape[2] != like.shape[2]:
        return None
    if name == "pos_embed_temporal":
        return resize_positions(value, old_grid=value.shape[1:2], new_grid=like.shape[1:2])
    if name == "pos_embed_spatial":
        old = square_grid(value.shape[1])
        new = (1, *grid[1:])
        return None if old is None else resize_positions(value, old_grid=(1, *old), new_grid=new)
    if name == "pos_embed":
        inferred = _infer_grid(value.shape[1] - prefix, grid)
        if inferred is not None:
            return resize_positions(value, old_grid=inferred, new_grid=grid, num_prefix=prefix)
    return None


def _infer_grid(count: int, grid: Grid) -> Grid | None:
    """Infer the grid of a position embedding from its length.

    Candidates in order: the height and width of the model (also for an image), the length of the
    model, a square image, and the grid closest to the model's among those with square frames.
    """
    time, height, width = grid
    if count > 0 and count % (height * width) == 0:
        return count // (height * width), height, width
    fitting: list[Grid] = []
    for steps in range(1, count + 1):
        side = square_grid(count // steps) if count % steps == 0 else None
        if side is not None:
            fitting.append((steps, *side))
    for steps in (time, 1):
        for found in fitting:
            if found[0] == steps:
                return found

    def distance(other: Grid) -> float:
        return sum(abs(math.log(a / b)) for a, b in zip(other, grid, strict=True))

    return min(fitting, key=distance, default=None)


def sincos_positions(grid: Sequence[int], dim: int) -> Tensor:
    """Compute fixed positions: sines and cosines of geometrically spaced wavelengths per axis.

    With three axes time has a quarter of the channels, width and height share the rest (He et al.,
    "Masked Autoencoders As Spatiotemporal Learners", 2022); with two axes both have half.

    Args:
        grid: (T, H, W), or two axes (F, S).
        dim: C, split among the axes, then into sines and cosines.

    Returns:
        float (N, C), the last axis fastest.

    Raises:
        ValueError: If the channels cannot be divided.
    """
    shares = [dim // 4, dim * 3 // 8, dim * 3 // 8] if len(grid) == 3 else [dim // 2, dim // 2]
    # Published order: time, width, height; of two axes the first one first.
    order = (0, 2, 1) if len(grid) == 3 else (0, 1)
    if sum(shares) != dim or any(share % 2 for share in shares):
        multiple = 16 if len(grid) == 3 else 4
        raise ValueError(
            f"sin-cos positions: got {dim} channels, expected a multiple of {multiple}."
        )
    axes = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    embeddings = [
        _waves(axes[axis].flatten(), share) for axis, share in zip(order, shares, strict=True)
    ]
    return torch.cat(embeddings, dim=1).float()


def _waves(places: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, of places (N,) with wavelengths from 2 pi to 10000 x 2 pi: (N, dim)."""
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float64, device=places.device) / half
    phases = places[:, None] * torch.exp(-math.log(10000.0) * exponents)
    return torch.cat([phases.sin(), phases.cos()], dim=1)
