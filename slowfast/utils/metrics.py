"""Accuracy and average precision of class scores.

Legend: N samples, M classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from slowfast.config.problems import ParameterError

__all__ = [
    "average_precision",
    "mean_class_accuracy",
    "topk_accuracies",
    "topk_accuracy",
    "topk_errors",
    "topk_hits",
    "topks_correct",
]


def average_precision(scores: Tensor, target: Tensor) -> Tensor:
    """Compute the average precision of each class: the area below its precision-recall curve.

    ``AP = sum over thresholds of (recall - recall before) * precision``, without interpolation, as
    ``average_precision_score`` of scikit-learn. Each distinct score is one threshold, so that equal
    scores have no order.

    Args:
        scores: float (N, M), finite.
        target: (N, M) of 0 and 1.

    Returns:
        float64 (M,); NaN for a class without positives.

    Raises:
        ValueError: If a score is not finite, or the shapes differ.
    """
    if scores.shape != target.shape or scores.dim() != 2:
        raise ParameterError(
            "scores",
            f"got scores {tuple(scores.shape)} and targets {tuple(target.shape)}; expected (N, M).",
        )
    if not scores.isfinite().all():
        broken = int((~scores.isfinite()).any(dim=1).sum())
        raise ParameterError(
            "scores", f"{broken} of {len(scores)} rows are not finite, so they have no order."
        )
    return torch.stack(
        [_binary_average_precision(s, t) for s, t in zip(scores.T, target.T, strict=True)]
    )


def _binary_average_precision(scores: Tensor, target: Tensor) -> Tensor:
    """Compute the average precision of one class: (N,), (N,) -> float64 ()."""
    ordered, order = scores.sort(descending=True)
    hits = target[order].double().cumsum(0)
    if not len(hits) or hits[-1] == 0:
        return torch.tensor(torch.nan, dtype=torch.float64)
    is_last = torch.ones(len(scores), dtype=torch.bool)
    is_last[:-1] = ordered[1:] != ordered[:-1]  # of a group of equal scores
    ends = is_last.nonzero().flatten()
    precision = hits[ends] / (ends + 1)
    gained = hits[ends].diff(prepend=hits.new_zeros(1))
    return (gained * precision).sum() / hits[-1]


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


def topks_correct(preds: Tensor, labels: Tensor, ks: Sequence[int]) -> list[Tensor]:
    """Count the hits for several k (PySlowFast's name).

    Args:
        preds: float (N, M), scores or logits.
        labels: int64 (N,).
        ks: Several k; more than M counts as M.

    Returns:
        A scalar for each k; ties as in ``topk_hits``.

    Raises:
        ValueError: If there are not as many labels as rows.
    """
    if preds.dim() != 2 or labels.shape != preds.shape[:1]:
        raise ValueError(
            f"labels: got {tuple(labels.shape)} for preds {tuple(preds.shape)}; expected (N,) and "
            "(N, classes)."
        )
    return [topk_hits(preds, labels, k).sum() for k in ks]


def topk_accuracies(preds: Tensor, labels: Tensor, ks: Sequence[int]) -> list[Tensor]:
    """Compute top-k accuracies in percent (PySlowFast's name).

    Args:
        preds: As for ``topks_correct``.
        labels: As for ``topks_correct``.
        ks: Several k.

    Returns:
        A scalar for each k.
    """
    return [100.0 * hits / len(preds) for hits in topks_correct(preds, labels, ks)]


def topk_errors(preds: Tensor, labels: Tensor, ks: Sequence[int]) -> list[Tensor]:
    """Compute top-k errors in percent (PySlowFast's name).

    Args:
        preds: As for ``topks_correct``.
        labels: As for ``topks_correct``.
        ks: Several k.

    Returns:
        A scalar for each k.
    """
    return [100.0 - accuracy for accuracy in topk_accuracies(preds, labels, ks)]
