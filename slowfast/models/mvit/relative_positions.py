"""Decomposed relative positions (Li et al., "MViTv2", CVPR 2022, section 4.1, equation 4).

The logit of a query at (t, h, w) for a key at (t', h', w') gets three additional products of the
query with learned vectors: for the distances t - t', h - h' and w - w'.

Legend: B batch, M heads, N tokens, C channels of a head, T H W grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.models.interpolate import resize_axis
from slowfast.models.mvit.stage_config import Grid

__all__ = ["append_relative", "relative_index"]

_AXES = "thw"
# Fast attention kernels of GPUs need head sizes that are multiples of this.
_MULTIPLE = 8


def relative_index(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """Compute the index of the distance between each query and each key along one axis.

    The coarser of the two grids is scaled to the finer one; fractions are rounded down.

    Returns:
        int64 (queries, keys), from 0 to 2 max(queries, keys) - 2.
    """
    query_step, key_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    query_place = torch.arange(queries, device=device)[:, None] * query_step
    key_place = torch.arange(keys, device=device)[None] * key_step
    return (query_place - key_place + (keys - 1) * key_step).long()


def append_relative(
    query: Tensor,
    key: Tensor,
    grids: tuple[Grid, Grid],
    tables: Sequence[Tensor | None],
    *,
    prefix: int,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Append relative positions to queries and keys.

    A query is extended by its products with the vectors of all rows, columns and steps of the keys'
    grid; a key is extended by a one-hot encoding of its row, column and step. Their inner product
    is then the full logit, without a bias of size queries x keys in memory.

    Args:
        query: float (B, M, N, C).
        key: float (B, M, N', C).
        grids: Grid of the queries and of the keys.
        tables: For time, height and width: float (L, C), or None for none.
        prefix: Number of prefix tokens, which have no position.
        scale: Factor on the inner product of a query's and a key's own channels.

    Returns:
        Query and key, float (B, M, N, C + ...) and (B, M, N', C + ...), for a scale of 1.
    """
    positions = query[:, :, prefix:].unflatten(2, grids[0])  # (B, M, T, H, W, C)
    queries, keys = [query * scale], [key]
    for axis, table in enumerate(tables):
        if table is None:
            continue
        side_q, side_k = grids[0][axis], grids[1][axis]
        distances = 2 * max(side_q, side_k) - 1
        vectors = table if len(table) == distances else resize_axis(table, distances)
        vectors = vectors[relative_index(side_q, side_k, table.device)]  # (side_q, side_k, C)
        name = _AXES[axis]
        logits = torch.einsum(f"bmthwc,{name}kc->bmthwk", positions, vectors)
        queries.append(F.pad(logits.flatten(2, 4), (0, 0, prefix, 0)))  # (B, M, N, side_k)
        places = torch.eye(side_k, dtype=key.dtype, device=key.device)
        around = [1, 1, 1]
        around[axis] = side_k
        places = places.view(*around, side_k).expand(*grids[1], side_k).flatten(0, 2)
        keys.append(F.pad(places, (0, 0, prefix, 0)).expand(*key.shape[:2], -1, -1))
    lengths = sum(part.shape[-1] for part in keys)
    padding = (0, -lengths % _MULTIPLE)
    return F.pad(torch.cat(queries, dim=-1), padding), F.pad(torch.cat(keys, dim=-1), padding)
