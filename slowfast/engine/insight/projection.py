"""Embedding map: two coordinates per video, by PCA or t-SNE.

Legend: N videos, C channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["METHODS", "TSNE_MOST", "Projection", "pca", "tsne"]

TSNE_MOST = 2000
"""Videos of a t-SNE, which takes about ten seconds for them."""

METHODS = ("pca", "tsne")
_OVERSAMPLED, _ITERATIONS = 12, 24
_PERPLEXITY = 30.0


class Projection(NamedTuple):
    """Coordinates of N videos.

    Attributes:
        points: float64 (N, 2).
        explained: Fraction of the variance along both axes; None for t-SNE, whose axes and
            distances have no unit.
    """

    points: Tensor
    explained: tuple[float, float] | None


def pca(vectors: Tensor) -> Projection:
    """Project on the two directions of the largest variance, by subspace iteration.

    Args:
        vectors: float (N, C), at least two.

    Returns:
        The projection. The larger side of each axis is positive, so that it is the same again.
    """
    rows = vectors.double()
    rows = rows - rows.mean(dim=0)
    width = min(_OVERSAMPLED, *rows.shape)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(rows.shape[1], width, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(start).Q  # (C, width)
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(rows.T @ (rows @ basis)).Q
    left, values, _ = torch.linalg.svd(rows @ basis, full_matrices=False)
    points = torch.zeros(len(rows), 2, dtype=torch.float64)
    found = (left * values)[:, :2]
    points[:, : found.shape[1]] = found
    largest = points.gather(0, points.abs().argmax(dim=0, keepdim=True))
    points = points * torch.where(largest < 0, -1.0, 1.0)
    total = rows.square().sum().clamp(min=torch.finfo(torch.float64).tiny)
    share = (points.square().sum(dim=0) / total).tolist()
    return Projection(points, (share[0], share[1]))


def tsne(vectors: Tensor) -> Projection:
    """Embed with scikit-learn's t-SNE (van der Maaten and Hinton, JMLR 2008) on cosine distances.

    Args:
        vectors: float (N, C), at least three.

    Returns:
        The projection, with a fixed seed.
    """
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    start = pca(vectors).points.numpy()
    start = 1e-4 * start / max(float(start[:, 0].std()), 1e-12)
    model = TSNE(2, perplexity=perplexity, metric="cosine", init=start, random_state=0)
    return Projection(torch.from_numpy(model.fit_transform(vectors.numpy())).double(), None)
