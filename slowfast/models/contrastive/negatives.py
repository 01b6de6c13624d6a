"""Rows of a memory bank drawn as negatives.

The published codes draw from a table for arbitrary weights (the alias method), all of them with
equal weights: uniform integers are the same.

Legend: B batch, N rows of the bank, K negatives per sample, E excluded rows per sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from slowfast.utils.random import STREAM_NEGATIVES, randint

__all__ = ["shift_past", "uniform_negatives"]


def uniform_negatives(
    aug_seed: Tensor,
    positive: Tensor,
    num_rows: int,
    count: int,
    *,
    allow_positive: bool = False,
) -> Tensor:
    """Draw K rows per sample with replacement, never one of its positives.

    A sample's draws depend on its ``aug_seed`` alone: they are the same on any number of processes,
    and in a run that is resumed. Morgado et al., CVPR 2021, leave the own row out like this; Wu et
    al., CVPR 2018, and Tian et al., ECCV 2020, do not (``allow_positive``).

    Args:
        aug_seed: int64 (B,).
        positive: int64 (B,), each sample's own row, or (B, E), distinct rows in any order.
        num_rows: N.
        count: K.
        allow_positive: Draw from all rows.

    Returns:
        int64 (B, K), each of the N - E rows (N with ``allow_positive``) equally likely.

    Raises:
        ValueError: If no row is left to be drawn.
    """
    excluded = positive[:, None] if positive.dim() == 1 else positive
    high = num_rows if allow_positive else num_rows - excluded.shape[1]
    if high < 1 or count < 1:
        raise ValueError(
            f"uniform_negatives: got {count} draws from {num_rows} rows, {num_rows - high} of them "
            "excluded; expected at least one draw and one row."
        )
    draw = randint(aug_seed, STREAM_NEGATIVES, count, high)
    return draw if allow_positive else shift_past(draw, excluded)


def shift_past(draw: Tensor, excluded: Tensor) -> Tensor:
    """Turn draws from N - E numbers into draws from the N numbers without E of them.

    With the excluded numbers sorted, ``out = draw + #{j: draw >= excluded_j - j}``: a one-to-one
    map, so that equally likely draws stay so, without drawing again.

    Args:
        draw: int64 (B, K), from 0 to N - E - 1.
        excluded: int64 (B, E), distinct numbers from 0 to N - 1.

    Returns:
        int64 (B, K), from 0 to N - 1, none of them excluded.
    """
    steps = torch.arange(excluded.shape[1], device=excluded.device)
    thresholds = excluded.sort(dim=1).values - steps  # (B, E), ascending
    return draw + torch.searchsorted(thresholds, draw, right=True)
