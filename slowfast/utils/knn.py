"""Exact nearest-neighbor search, with the same ties on every machine.

Similarities are computed in float64 and rounded to float32: the order of additions in a matrix
product depends on its size, so without rounding two equal gallery rows might not tie.

Legend: N queries, G gallery rows, D embedding, M classes, k neighbors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from slowfast.utils.metrics import topk_hits

__all__ = ["KNNResult", "knn_search", "knn_vote", "recall_at_ranks"]

# Queries per chunk, chosen so that a chunk needs about as much memory as the gallery.
_QUERY_ROWS = 128
_GALLERY_ROWS = 4096


class KNNResult(NamedTuple):
    """The most similar gallery rows of each query, most similar first.

    Attributes:
        row: int64 (N, k), row indices of the gallery.
        similarity: float32 (N, k).
    """

    row: Tensor
    similarity: Tensor


def knn_search(query: Tensor, gallery: Tensor, k: int) -> KNNResult:
    """Find the k most similar rows of a gallery for each query, by inner product.

    Args:
        query: float (N, D), finite.
        gallery: float (G, D), finite.
        k: At most G.

    Returns:
        The neighbors. Equally similar rows are in gallery order.

    Raises:
        ValueError: If the gallery has fewer than k rows.
    """
    if k > len(gallery):
        raise ValueError(f"knn_search: k is {k}, but the gallery has {len(gallery)} rows.")
    found = [_top_k(_similarities(own, gallery), k) for own in query.split(_QUERY_ROWS)]
    return KNNResult(*(torch.cat(chunks) for chunks in zip(*found, strict=True)))


def _top_k(similarity: Tensor, k: int) -> KNNResult:
    """Take the k largest of each row, the first ones on ties (``torch.topk`` takes any)."""
    last = similarity.topk(k, dim=1).values[:, -1:]  # (N, 1)
    ahead, tied = similarity > last, similarity == last
    free = k - ahead.sum(dim=1, keepdim=True)
    taken = ahead | (tied & (tied.cumsum(dim=1) <= free))  # exactly k in each row
    row = taken.nonzero()[:, 1].view(-1, k)
    value, order = similarity.gather(1, row).sort(dim=1, descending=True, stable=True)
    return KNNResult(row.gather(1, order), value)


def recall_at_ranks(
    query: Tensor, key: Tensor, target: Tensor, ranks: Sequence[int]
) -> dict[int, float]:
    """Compute recall@k: how often the one correct key is among the k most similar.

    Args:
        query: float (N, D), finite.
        key: float (G, D), finite.
        target: int64 (N,), row of the correct key in ``key``.
        ranks: Values of k, each at least 1.

    Returns:
        k -> fraction; ties as in ``metrics.topk_hits``.
    """
    hits: dict[int, list[Tensor]] = {k: [] for k in ranks}
    for own, right in zip(query.split(_QUERY_ROWS), target.split(_QUERY_ROWS), strict=True):
        similarity = _similarities(own, key)
        for k, chunks in hits.items():
            chunks.append(topk_hits(similarity, right, k))
    return {k: float(torch.cat(chunks).mean()) for k, chunks in hits.items()}


def knn_vote(neighbors: KNNResult, label: Tensor, num_classes: int, temperature: float) -> Tensor:
    """Let neighbors vote for their classes, weighted by exp(similarity / temperature).

    Wu, Xiong, Yu and Lin, "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination", CVPR 2018, section 3.4.

    Args:
        neighbors: Of N queries.
        label: int64 (G,), classes of the gallery, 0 to M - 1.
        num_classes: M.
        temperature: Above 0.

    Returns:
        float64 (N, M); each query's votes relative to the weight of its nearest neighbor, so that
        no temperature overflows.
    """
    similarity = neighbors.similarity.double()
    weight = ((similarity - similarity[:, :1]) / temperature).exp()  # (N, k)
    votes = weight.new_zeros(len(weight), num_classes)
    return votes.scatter_add_(1, label[neighbors.row], weight)


def _similarities(query: Tensor, gallery: Tensor) -> Tensor:
    """Compute all inner products: float32 (N, G)."""
    query = query.double()
    blocks = [(query @ part.double().T).float() for part in gallery.split(_GALLERY_ROWS)]
    return torch.cat(blocks, dim=1)
