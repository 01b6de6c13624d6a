"""Comparison with a memory bank: the part that NPID, CMC and AVID share.

A query is compared with its own row of a bank, the positive, and with K other rows or with all of
them, by a softmax or by noise-contrastive estimation (NCE).

Legend: B batch, Q queries of a sample, N rows of the bank, K negatives, E positives, D embedding.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.models.losses.nce import nce_loss
from slowfast.utils.distributed import global_mean
from slowfast.utils.env import full_precision

__all__ = [
    "BankOptions",
    "Scores",
    "all_scores",
    "bank_loss",
    "chance_level",
    "compare",
    "compare_with_bank",
    "per_query",
]


class BankOptions(NamedTuple):
    """Settings of a comparison with a bank.

    Attributes:
        dim: D.
        temperature: Divides the similarities.
        negatives: K, rows sampled per sample; 0: all other rows.
        own_row: Own rows may be among the negatives, as in published code.
        seed: Seed of the banks.
    """

    dim: int
    temperature: float
    negatives: int
    own_row: bool
    seed: int


class Scores(NamedTuple):
    """Similarities of queries with rows of a bank, divided by the temperature.

    Attributes:
        positive: float (B, Q, E), with the sample's own row or its set of positives.
        negative: float (B, Q, K).
    """

    positive: Tensor
    negative: Tensor


def compare_with_bank(
    query: Tensor, bank: Tensor, index: Tensor, negatives: Tensor | None, temperature: float
) -> Scores:
    """Compare each sample with its own row and with others.

    Args:
        query: float (B, Q, D), rows of length 1.
        bank: float (N, D).
        index: int64 (B,), own rows.
        negatives: int64 (B, K); None: all other rows, whose similarities need B * Q * N numbers.
        temperature: Divides the similarities.

    Returns:
        The scores.
    """
    own = index[:, None]
    if negatives is not None:
        return compare(query, bank[torch.cat([own, negatives], dim=1)], temperature)
    others = torch.arange(len(bank) - 1, device=index.device).expand(len(index), -1)
    order = torch.cat([own, others + (others >= own)], dim=1)  # (B, N), own row first
    every = compare(query, bank[None], temperature, positives=0).negative  # (B, Q, N)
    ordered = every.gather(2, order[:, None].expand(-1, every.shape[1], -1))
    return Scores(ordered[..., :1], ordered[..., 1:])


def compare(query: Tensor, rows: Tensor, temperature: float, *, positives: int = 1) -> Scores:
    """Compute similarities.

    Args:
        query: float (B, Q, D), rows of length 1.
        rows: float (B, E + K, D), positives first, constant; (1, E + K, D): the same for all.
        temperature: Divides the similarities.
        positives: E.

    Returns:
        The scores, float32 (float64 for float64 queries).
    """
    with full_precision(query.device):
        wide = torch.promote_types(query.dtype, torch.float32)
        scores = query.to(wide) @ rows.to(wide).transpose(1, 2) / temperature  # (B, Q, E + K)
    return Scores(scores[..., :positives], scores[..., positives:])


def bank_loss(
    scores: Scores, *, log_mean_exp: Tensor | None = None, valid: Tensor | None = None
) -> Tensor:
    """Classify the positives among the negatives, averaged over queries, positives and samples.

    Args:
        scores: The similarities.
        log_mean_exp: Constant of NCE (``PartitionConstant``); None: softmax.
        valid: bool (B,), samples to average over; None: all.

    Returns:
        Scalar. The mean over processes is the mean over the samples of all.
    """
    positive, negative = scores
    if log_mean_exp is not None:
        of_rows = per_query(valid, scores)
        return nce_loss(positive.flatten(0, 1), negative.flatten(0, 1), log_mean_exp, valid=of_rows)
    # Each positive in a softmax of its own, as in MoCo.
    noise = negative.logsumexp(dim=2, keepdim=True)  # (B, Q, 1)
    losses = F.softplus(noise - positive).mean(dim=(1, 2))  # (B,)
    return global_mean(losses, valid)


def all_scores(scores: Scores) -> Tensor:
    """Join similarities with positives and negatives: float (B * Q, E + K), without gradient."""
    return torch.cat(scores, dim=2).detach().flatten(0, 1)


def per_query(valid: Tensor | None, scores: Scores) -> Tensor | None:
    """Repeat bool (B,) for the queries of each sample: (B * Q,)."""
    return None if valid is None else valid.repeat_interleave(scores.positive.shape[1])


def chance_level(negatives: int, *, nce: bool) -> float:
    """Return the loss of equal similarities; for NCE with the right constant.

    Args:
        negatives: K.
        nce: NCE instead of softmax.

    Returns:
        ``ln(1 + K)``, for NCE ``ln(1 + K) + K ln((K + 1) / K)``.
    """
    softmax = math.log(1 + negatives)
    return softmax + negatives * math.log1p(1 / negatives) if nce else softmax
