"""Gathers the rows of all processes, to write those that are valid to a queue or a bank.

Legend: B rows of one process, W world size, D embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from slowfast.config import ParameterError
from slowfast.utils.distributed import gather_no_gradient

__all__ = ["gather_rows", "random_rows"]


def gather_rows(
    value: Tensor, valid: Tensor | None, *others: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Gather rows of all processes, and find those that are valid and finite.

    Selecting them would make the host wait for the device, which knows their number.

    Args:
        value: float (B, D); B is the same on all processes.
        valid: bool (B,), rows to keep; None: all.
        others: (B, ...), further tensors of the rows.

    Returns:
        bool (W * B,), the rows to keep; then ``value`` and ``others``, each (W * B, ...), the rows
        of rank 0 first.

    Raises:
        ValueError: If the shapes disagree.
    """
    if value.dim() != 2 or any(x.shape[:1] != value.shape[:1] for x in others):
        got = ", ".join(str(tuple(x.shape)) for x in (value, *others))
        raise ValueError(f"got rows of shapes {got}; expected (B, D), and B for the others.")
    if valid is not None and (valid.dtype != torch.bool or valid.shape != value.shape[:1]):
        raise ValueError(
            f"got valid {valid.dtype} {tuple(valid.shape)}, expected bool ({value.shape[0]},)."
        )
    kept = value.isfinite().all(dim=1)
    kept = gather_no_gradient(kept if valid is None else kept & valid)
    return kept, [gather_no_gradient(x) for x in (value, *others)]


def random_rows(length: int, dim: int, seed: int) -> Tensor:
    """Sample random L2-normalized rows, the same on every process and device.

    Returns:
        float32 (length, D), uniformly distributed directions, on the CPU.

    Raises:
        ParameterError: If a size is not positive.
    """
    for name, value in (("length", length), ("dim", dim)):
        if value < 1:
            raise ParameterError(name, f"got {value}; expected at least 1.")
    generator = torch.Generator("cpu").manual_seed(seed)
    rows = torch.randn(length, dim, generator=generator, device="cpu")
    return torch.nn.functional.normalize(rows, dim=1)
