"""Precise batch norm: running statistics recomputed with the final weights."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from slowfast.engine.precision import Precision

__all__ = ["update_bn_stats"]

logger = logging.getLogger(__name__)


def update_bn_stats(
    model: nn.Module, batches: Iterable[dict[str, Tensor]], num_batches: int, precision: Precision
) -> None:
    """Replace running means and variances by their average over some training batches.

    Args:
        model: The model; its mode is restored afterward.
        batches: Prepared training batches.
        num_batches: Number of batches to use.
        precision: As in training.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    was_training = model.training
    with _cumulative(norms):
        model.train()
        for batch in itertools.islice(batches, num_batches):
            with precision.no_grad_autocast():
                model(batch)
    model.train(was_training)
    logger.info("recomputed the statistics of %d batch norms", len(norms))


@contextmanager
def _cumulative(norms: list[_BatchNorm]) -> Iterator[None]:
    """Compute running statistics as plain averages (momentum None in torch)."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
