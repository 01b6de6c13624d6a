"""Constant tensors that are made where they are used."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

__all__ = ["vector_on"]


def vector_on(
    device: torch.device, values: Sequence[float], dtype: torch.dtype = torch.int64
) -> Tensor:
    """Create a vector without a copy from the host.

    ``torch.tensor(values, device=device)`` copies from memory that is not pinned: on a GPU the host
    waits until all queued work is done, and a CUDA graph cannot record it. Fills do neither.

    Args:
        device: Where the vector is needed.
        values: n numbers; equal neighbors share one fill.
        dtype: Of the vector.

    Returns:
        (n,).
    """
    runs = [(value, len(list(equal))) for value, equal in groupby(values)]
    fills = [torch.full((length,), value, dtype=dtype, device=device) for value, length in runs]
    return torch.cat(fills) if fills else torch.empty(0, dtype=dtype, device=device)
