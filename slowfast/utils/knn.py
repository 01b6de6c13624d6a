"""Search by similarity in memory that grows with neither the queries nor the gallery.

Similarities are computed in float64 and rounded to float32: the order of additions inside of a
matrix product depends on the size of the block, and without that rounding two equal rows of a
gallery would tie or not depending on where they stand.

Legend: N queries, G gallery rows, D embedding, M classes, k neighbors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from slowfast.utils.metrics import place_probability

__all__ = ["KNNResult", "knn_search", "knn_vote", "recall_at_ranks"]

_QUERY_ROWS = 1024
_GALLERY_ROWS = 4096
_LOW_WORD = (1 << 32) - 1
_ALL_BUT_SIGN = (1 << 31) - 1


class KNNResult(NamedTuple):
    """The most similar gallery rows of each query, most similar first.

    Attributes:
        row: int64 (N, k), in the gallery.
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
        The neighbors; of equally similar rows the one that stands first in the gallery comes
        first.

    Raises:
        ValueError: If the gallery has fewer than k rows.
    """
    if k > len(gallery):
        raise ValueError(f"knn_search: k is {k}, but the gallery has {len(gallery)} rows.")
    found = []
    for own in query.split(_QUERY_ROWS):
        best = torch.empty(len(own), 0, dtype=torch.int64)
        for start, similarity in _blocks(own, gallery):
            candidates = torch.cat([best, _to_keys(similarity, start)], dim=1)
            best = candidates.topk(min(k, candidates.shape[1]), dim=1).values
        found.append(best)
    return _from_keys(torch.cat(found) if found else torch.empty(0, k, dtype=torch.int64))


def recall_at_ranks(
    query: Tensor, key: Tensor, target: Tensor, ranks: Sequence[int]
) -> dict[int, float]:
    """Measure how often the one right key is among the k most similar, by inner product.

    Args:
        query: float (N, D), finite.
        key: float (G, D), finite.
        target: int64 (N,), row of ``key`` that is right.
        ranks: The k, each at least 1.

    Returns:
        k -> fraction; a key that ties with the right one counts half in front of it on average, as
        in ``metrics.topk_hits``.
    """
    ahead = torch.zeros(len(query), dtype=torch.int64)
    ties = torch.ones(len(query), dtype=torch.int64)
    chunks = zip(*(x.split(_QUERY_ROWS) for x in (query, target, ahead, ties)), strict=True)
    for own, right, own_ahead, own_ties in chunks:
        similarity = _dot(own.unsqueeze(1), key[right].unsqueeze(2)).squeeze(1)  # (chunk, 1)
        for start, others in _blocks(own, key):
            is_other = right.unsqueeze(1) != torch.arange(start, start + others.shape[1])
            own_ahead += ((others > similarity) & is_other).sum(dim=1)
            own_ties += ((others == similarity) & is_other).sum(dim=1)
    return {k: float(place_probability(ahead, ties, k).mean()) for k in ranks}


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


def _blocks(query: Tensor, gallery: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Compare with the gallery block by block: first row, float32 (rows of query, rows of it)."""
    for start in range(0, len(gallery), _GALLERY_ROWS):
        yield start, _dot(query, gallery[start : start + _GALLERY_ROWS].T)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() @ b.double()).float()


def _to_keys(similarity: Tensor, first_row: int) -> Tensor:
    """Pack similarity and row into one integer each, larger for more similar, then for earlier.

    No two are equal, so that any algorithm that finds the largest finds the same ones. The bits of
    a positive float order as an integer's; of a negative one, when all but the sign are flipped.

    Args:
        similarity: float32 (N, rows).
        first_row: Of the gallery.

    Returns:
        int64 (N, rows).
    """
    bits = (similarity + 0.0).view(torch.int32)  # -0.0 + 0.0 is 0.0
    keys = _flip_negative(bits).long()
    keys <<= 32
    return keys.add_(_LOW_WORD - torch.arange(first_row, first_row + similarity.shape[1]))


def _from_keys(keys: Tensor) -> KNNResult:
    similarity = _flip_negative((keys >> 32).int()).view(torch.float32)
    return KNNResult(_LOW_WORD - (keys & _LOW_WORD), similarity)


def _flip_negative(bits: Tensor) -> Tensor:
    """Flip all but the sign of negative int32 numbers; doing it twice undoes it."""
    return bits ^ ((bits >> 31) & _ALL_BUT_SIGN)
