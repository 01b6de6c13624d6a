"""Samples rows of a memory bank as negatives.

The published code uses the alias method for arbitrary weights, but always with equal weights, which
is the same as uniform integers.

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
    """Sample K rows per sample with replacement, excluding its positives.

    The rows depend on ``aug_seed`` only: they are the same on any number of processes, and in a
    resumed run. Morgado et al., CVPR 2021, exclude the sample's own row like this; Wu et al., CVPR
    2018, and Tian et al., ECCV 2020, do not (``allow_positive``).

    Args:
        aug_seed: int64 (B,).
        positive: int64 (B,), each sample's own row, or (B, E), distinct rows in any order.
        num_rows: N.
        count: K.
        allow_positive: Sample from all rows.

    Returns:
        int64 (B, K), each of the N - E rows (N with ``allow_positive``) equally likely.

    Raises:
        ValueError: If no row is left to sample.
    """
    excluded = positive[:, None] if positive.dim() == 1 else positive
    high = num_rows if allow_positive else num_rows - excluded.shape[1]
    if high < 1 or count < 1:
        raise ValueError(
            f"uniform_negatives: got {count} samples from {num_rows} rows, {num_rows - high} "
            "excluded; expected at least one sample and one row."
        )
    x = randint(aug_seed, STREAM_NEGATIVES, count, high)
    return x if allow_positive else shift_past(x, excluded)


def shift_past(x: Tensor, excluded: Tensor) -> Tensor:
    """Map samples of N - E numbers to samples of N numbers without E excluded ones.

    With the excluded numbers sorted, ``out = x + #{j: x >= excluded_j - j}``: a one-to-one map, so
    that uniform samples stay uniform, without rejection.

    Args:
        x: int64 (B, K), from 0 to N - E - 1.
        excluded: int64 (B, E), distinct numbers from 0 to N - 1.

    Returns:
        int64 (B, K), from 0 to N - 1, none of them excluded.
    """
    steps = torch.arange(excluded.shape[1], device=excluded.device)
    thresholds = excluded.sort(dim=1).values - steps  # (B, E), ascending
    return x + torch.searchsorted(thresholds, x, right=True)
