"""Accuracy of class scores, with ties counted by their expected value.

Legend: N samples, M classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mean_class_accuracy", "topk_accuracy", "topk_hits"]


def topk_hits(scores: Tensor, label: Tensor, k: int) -> Tensor:
    """Compute for each sample whether its class is among the k highest scores.

    If t classes including the true one tie for r remaining places, the true class gets a place with
    probability r / t.

    Args:
        scores: float (N, M), finite.
        label: int64 (N,), below M; -1 for a class without a score, which is never a hit.
        k: At least 1.

    Returns:
        float64 (N,): probability of a hit.
    """
    own = scores.gather(1, label.clamp(min=0).unsqueeze(1))  # (N, 1)
    ahead = (scores > own).sum(dim=1)
    ties = (scores == own).sum(dim=1)  # the true class itself is one of them
    free = (k - ahead).clamp(min=0)
    return (free.double() / ties).clamp(max=1.0) * (label >= 0)


def topk_accuracy(scores: Tensor, label: Tensor, k: int) -> float:
    """Measure how often the true class is among the k highest scores.

    Args:
        scores: float (N, M), finite.
        label: int64 (N,), below M; -1 for a class without a score, which is never a hit.
        k: At least 1.

    Returns:
        A fraction; ties as in ``topk_hits``.
    """
    return float(topk_hits(scores, label, k).mean())


def mean_class_accuracy(hits: Tensor, label: Tensor) -> float:
    """Average the accuracies of the classes, so that large classes weigh no more than small ones.

    Args:
        hits: float (N,), probability that each sample's prediction is right.
        label: int64 (N,), any numbers.

    Returns:
        The mean over the classes that occur.
    """
    classes, inverse = torch.unique(label, return_inverse=True)
    total = hits.new_zeros(len(classes)).index_add_(0, inverse, hits)
    return float((total / torch.bincount(inverse)).mean())
