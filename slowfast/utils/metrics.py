"""Metrics: accuracy and retrieval. Ties count against the prediction's luck in no direction.

Legend: N queries, G gallery rows, D embedding, M classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["recall_at_k", "retrieve", "topk_accuracy"]

_CHUNK = 1024


def topk_accuracy(scores: Tensor, label: Tensor, k: int) -> float:
    """Measure how often the true class is among the k highest scores.

    A class that ties with the true one counts half in front of it on average: of t classes that
    tie with it for r free places, the true one gets a place with probability r / t.

    Args:
        scores: float (N, M).
        label: int64 (N,), 0 to M - 1.
        k: At least 1.

    Returns:
        A fraction.
    """
    own = scores.gather(1, label.unsqueeze(1))  # (N, 1)
    ahead = (scores > own).sum(dim=1)
    ties = (scores == own).sum(dim=1)  # the true class itself is one of them
    places = (k - ahead).clamp(min=0)
    return float((places / ties).clamp(max=1.0).double().mean())


def recall_at_k(query: Tensor, key: Tensor, target: Tensor, k: int) -> float:
    """Measure how often the one right key is among the k most similar; ties as topk_accuracy.

    Args:
        query: float (N, D).
        key: float (G, D).
        target: int64 (N,), row of ``key`` that is right.
        k: At least 1.

    Returns:
        A fraction. Memory does not grow with N x G.
    """
    hits = 0.0
    for start in range(0, len(query), _CHUNK):
        rows = slice(start, start + _CHUNK)
        similarity = query[rows] @ key.T  # (chunk, G)
        hits += topk_accuracy(similarity, target[rows], k) * len(similarity)
    return hits / len(query)


def retrieve(query: Tensor, gallery: Tensor, k: int) -> Tensor:
    """Find the k most similar rows of a gallery for each query.

    Args:
        query: float (N, D).
        gallery: float (G, D).
        k: At most G.

    Returns:
        int64 (N, k), most similar first; equal similarities in the order of the gallery.
    """
    nearest = []
    for start in range(0, len(query), _CHUNK):
        similarity = query[start : start + _CHUNK] @ gallery.T
        order = torch.sort(similarity, dim=1, descending=True, stable=True).indices
        nearest.append(order[:, :k])
    return torch.cat(nearest)
