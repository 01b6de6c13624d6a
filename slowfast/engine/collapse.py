"""Watches whether the embeddings of a batch have collapsed to one point or to few directions."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["CollapseWatch", "Spread", "spread_of"]

logger = logging.getLogger(__name__)

_MIN_DEVIATION = 0.05
_MIN_RANK = 2.0
_MIN_ROWS = 8


class Spread(NamedTuple):
    """How far embeddings of different samples are apart.

    Attributes:
        deviation: Standard deviation of a dimension over the batch, times sqrt(D), the mean over
            dimensions: 0 if all rows are equal, about 1 if they cover the sphere (Chen and He,
            arXiv 2011.10566, section 4.1).
        rank: Effective rank of the centered rows: the exponential of the entropy of their
            singular values (Roy and Vetterli, EUSIPCO 2007). At most the smaller of B - 1 and D.
    """

    deviation: float
    rank: float


def spread_of(rows: Tensor) -> Spread:
    """Measure the spread of embeddings.

    Args:
        rows: float (B, D), of length 1.
    """
    rows = rows.detach().double().cpu()
    centered = rows - rows.mean(dim=0)
    deviation = centered.square().mean(dim=0).sqrt().mean() * math.sqrt(rows.shape[1])
    values = torch.linalg.svdvals(centered)
    total = values.sum()
    if total <= 1e-9:
        return Spread(float(deviation), 0.0)
    shares = values / total
    entropy = -torch.special.xlogy(shares, shares).sum()
    return Spread(float(deviation), float(entropy.exp()))


def _embeddings(
    outputs: Any, batch_dims: Mapping[str, int | None], batch_size: int
) -> Iterator[tuple[str, Tensor]]:
    """Find outputs that are embeddings: float, a row of length 1 for each sample.

    Yields:
        The name, and float (B, D): of several views or crops the first one.
    """
    fields = outputs._asdict() if hasattr(outputs, "_asdict") else {}
    for name, value in fields.items():
        dim = batch_dims.get(name, 0)
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        if not is_float or dim is None or value.dim() < 2 or dim >= value.dim() - 1:
            continue
        if value.shape[dim] != batch_size or value.numel() == 0:
            continue
        rows = value.detach().movedim(dim, -2).flatten(0, -3)[0] if value.dim() > 2 else value
        lengths = rows.float().norm(dim=1)
        if bool(((lengths - 1).abs() < 0.01).all()):
            yield name, F.normalize(rows.float(), dim=1)


class CollapseWatch:
    """Warns once if embeddings collapse."""

    def __init__(self) -> None:
        self._has_warned = False

    def look(
        self,
        outputs: Any,
        batch_dims: Mapping[str, int | None],
        batch_size: int,
        *,
        may_warn: bool,
    ) -> dict[str, float]:
        """Measure the embeddings of a batch.

        Args:
            outputs: Outputs of the model, a NamedTuple; others are not looked at.
            batch_dims: ``Method.output_batch_dims``.
            batch_size: B; fewer than 8 are not looked at.
            may_warn: Whether training has had time to spread the embeddings.

        Returns:
            ``embedding_std`` and ``embedding_rank``, the lowest of all outputs; empty if none of
            them is an embedding.
        """
        if batch_size < _MIN_ROWS:
            return {}
        found = {
            name: spread_of(rows) for name, rows in _embeddings(outputs, batch_dims, batch_size)
        }
        if not found:
            return {}
        for name, spread in found.items() if may_warn and not self._has_warned else ():
            if spread.deviation < _MIN_DEVIATION or spread.rank < _MIN_RANK:
                self._has_warned = True
                logger.warning(
                    "the embeddings %r of a batch have a standard deviation of %.3f (1: spread "
                    "evenly, 0: all equal) and an effective rank of %.1f of %d: they have "
                    "collapsed, or not left their start. Change SOLVER.BASE_LR or the temperature "
                    "of the method, or add batch norm to its projection head.",
                    name,
                    spread.deviation,
                    spread.rank,
                    min(batch_size - 1, outputs._asdict()[name].shape[-1]),
                )
                break
        return {
            "embedding_std": min(spread.deviation for spread in found.values()),
            "embedding_rank": min(spread.rank for spread in found.values()),
        }
