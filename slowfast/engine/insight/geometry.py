"""Geometry of embeddings: alignment, uniformity and effective rank.

Alignment and uniformity are those of Wang and Isola, "Understanding Contrastive Representation
Learning through Alignment and Uniformity on the Hypersphere", ICML 2020, sections 4.1 and 4.2, on
vectors of length 1.

Legend: N videos, V views, C channels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "Spectrum",
    "cross_uniformity",
    "describe",
    "spectrum",
    "uniformity",
    "view_alignment",
]

_ROWS = 512
"""Rows of a block of distances."""

_RANKME_EPSILON = 1e-7
_EQUAL = 0.05
"""Mean squared distance of two videos below which all vectors are called equal; at most 2 for
vectors without a common direction."""

_LINE, _LOW_RANK = 2.0, 0.1
"""Effective rank below which vectors are on a line; fraction of the highest one that is low."""


class Spectrum(NamedTuple):
    """Singular values of a matrix of N vectors, and the ranks that they amount to.

    Attributes:
        values: float64 (min(N, C),): singular values of the centered vectors, descending, as
            fractions of their sum.
        effective_rank: exp of the entropy of ``values`` (Roy and Vetterli, "The Effective Rank",
            EUSIPCO 2007).
        rankme: The same without centering, with 1e-7 added to each fraction (Garrido et al.,
            "RankMe", ICML 2023, equation 1).
        highest: The largest possible effective rank, min(N - 1, C).
    """

    values: Tensor
    effective_rank: float
    rankme: float
    highest: int


def view_alignment(unit_sum: Tensor, count: Tensor) -> float | None:
    """Return the mean squared distance between two views of the same video, from sums of views.

    For V vectors of length 1 with the sum s, all V (V - 1) ordered pairs of different views
    together have the squared distance 2 V^2 - 2 |s|^2.

    Args:
        unit_sum: float (N, C), sums of the views' vectors of length 1.
        count: (N,), number of views V in each sum.

    Returns:
        The mean over videos with at least two views, 0 to 4; None if there are none.
    """
    several = count > 1
    if not several.any():
        return None
    views = count[several].double()
    length = unit_sum[several].double().square().sum(dim=1)
    each = 2 * (views.square() - length) / (views * (views - 1))
    return float(each.mean().clamp(min=0))


def uniformity(vectors: Tensor, t: float = 2.0) -> float | None:
    """Return log E exp(-t |x - y|^2) over all pairs of different videos; lower is more uniform.

    Args:
        vectors: float (N, C), not zero; they are scaled to length 1.
        t: Scale.

    Returns:
        The uniformity, at most 0; None for fewer than two videos.
    """
    return _log_mean_potential(vectors, vectors, t)


def cross_uniformity(video: Tensor, audio: Tensor, t: float = 2.0) -> float | None:
    """Return log E exp(-t |x_i - y_j|^2) over all i != j: the video of one file, audio of another.

    Args:
        video: float (N, C).
        audio: float (N, C), of the same files.
        t: Scale.

    Returns:
        The uniformity, at most 0; None for fewer than two files.
    """
    return _log_mean_potential(video, audio, t)


def _log_mean_potential(x: Tensor, y: Tensor, t: float) -> float | None:
    """Average exp(-t |x_i - y_j|^2) over i != j, and return its logarithm."""
    if len(x) < 2:
        return None
    x, y = (F.normalize(rows.double(), dim=1) for rows in (x, y))
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(x), _ROWS):
        distances = 2 - 2 * (x[start : start + _ROWS] @ y.T)  # squared
        potential = (-t * distances.clamp(min=0)).exp()
        total += potential.sum() - potential.diagonal(start).sum()
    return float((total / (len(x) * (len(x) - 1))).log())


def spectrum(vectors: Tensor) -> Spectrum | None:
    """Compute singular values and effective ranks.

    Args:
        vectors: float (N, C).

    Returns:
        The spectrum; None for fewer than two vectors.
    """
    if len(vectors) < 2:
        return None
    rows = vectors.double()
    centered = _fractions(rows - rows.mean(dim=0))
    raw = _fractions(rows) + _RANKME_EPSILON
    highest = min(len(rows) - 1, rows.shape[1])
    return Spectrum(centered, _exp_entropy(centered), _exp_entropy(raw), highest)


def _fractions(rows: Tensor) -> Tensor:
    """Return singular values as fractions of their sum; all zero if there is no variance."""
    gram = rows @ rows.T if rows.shape[0] < rows.shape[1] else rows.T @ rows
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0)
    values = values.where(values > values[0] * 1e-7, 0.0)  # below are rounding errors of eigvalsh
    return values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)


def _exp_entropy(fractions: Tensor) -> float:
    return math.exp(-float(torch.special.xlogy(fractions, fractions).sum()))


def describe(found: Spectrum, uniform: float, t: float = 2.0) -> str:
    """Say in a sentence whether an embedding has collapsed.

    Args:
        found: The spectrum of its vectors.
        uniform: Their uniformity.
        t: Scale of the uniformity.

    Returns:
        A sentence with the evidence and, after a collapse, what to change.
    """
    if -uniform / t < _EQUAL:
        return (
            "Complete collapse: the vectors of different videos are almost equal "
            f"(uniformity {uniform:.3f}, 0 for equal vectors). Lower the learning rate or the "
            "temperature, or use more negatives."
        )
    share = found.effective_rank / found.highest
    used = f"about {found.effective_rank:.1f} of {found.highest} possible dimensions"
    if found.effective_rank < _LINE < found.highest:
        return (
            f"Dimensional collapse: the vectors use {used}. A longer training, more negatives or "
            "stronger augmentation usually raises it."
        )
    if share < _LOW_RANK:
        return (
            f"Low rank: the vectors use {used} ({100 * share:.0f} %). This is normal for few kinds "
            "of videos and for features of a classifier; on diverse videos it is a sign of "
            "dimensional collapse."
        )
    return (
        f"No collapse: the vectors use {used}, and different videos are apart (uniformity "
        f"{uniform:.2f})."
    )
