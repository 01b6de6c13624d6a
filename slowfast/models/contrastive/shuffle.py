"""Shuffles rows across processes (He et al., CVPR 2020, section 3.3, shuffling BN).

A query and its key must not share batch statistics, which would reveal the positive. So apply
``shuffle_rows``, the key encoder and ``unshuffle_rows``: each process then normalizes other rows
together. On one process shuffling only has an effect with ``BN.NORM_TYPE sub_batchnorm``.

Legend: B rows of one process, W world size.
"""

from __future__ import annotations

from torch import Tensor

from slowfast.utils.distributed import gather_no_gradient, rank
from slowfast.utils.random import STREAM_SHUFFLE, uniform

__all__ = ["shuffle_order", "shuffle_rows", "unshuffle_rows"]


def shuffle_order(aug_seed: Tensor) -> Tensor:
    """Sample an order of the rows of all processes, the same on each.

    aug_seed: int64 (B,), the seeds of the order -> int64 (W * B,), a permutation.
    """
    return uniform(gather_no_gradient(aug_seed), STREAM_SHUFFLE, 1)[:, 0].argsort(stable=True)


def shuffle_rows(x: Tensor, order: Tensor) -> Tensor:
    """Exchange rows between processes.

    Args:
        x: (B, ...), without gradient; B is the same on all processes.
        order: int64 (W * B,), a permutation.

    Returns:
        (B, ...), this process's rows in that order.
    """
    return gather_no_gradient(x)[_own_part(order, len(x))]


def unshuffle_rows(y: Tensor, order: Tensor) -> Tensor:
    """Restore the original order of results of shuffled rows.

    Args:
        y: (B, ...), row i belongs to row i of the result of ``shuffle_rows``.
        order: The same permutation.

    Returns:
        (B, ...), rows in the original order.
    """
    return gather_no_gradient(y)[_own_part(order.argsort(), len(y))]


def _own_part(order: Tensor, rows: int) -> Tensor:
    return order[rank() * rows : (rank() + 1) * rows]
