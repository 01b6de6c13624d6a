"""Balanced assignments to prototypes (Caron et al., NeurIPS 2020, section 3.1).

Legend: B rows of one process, P prototypes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from slowfast.config import ParameterError
from slowfast.utils.distributed import gather_no_gradient

__all__ = ["sinkhorn"]


@torch.no_grad()
def sinkhorn(
    scores: Tensor, *, epsilon: float = 0.05, iterations: int = 3, valid: Tensor | None = None
) -> Tensor:
    """Compute soft codes: each row sums to 1, all prototypes have the same sum over rows.

    The Sinkhorn-Knopp algorithm of the paper, on logarithms: ``exp(score / epsilon)`` overflows
    float16 for cosines and epsilon 0.05, and float32 for scores above 4.4. The rows of
    all processes are assigned jointly; each process gets the codes of its rows.

    Args:
        scores: float (B, P), similarities of rows and prototypes. B may differ between processes.
        epsilon: Weight of the entropy; small values give hard codes.
        iterations: Normalizations of columns and rows. The same on every process.
        valid: bool (B,); rows that are False are ignored, and their codes are 0.

    Returns:
        Codes (B, P) without gradient, float32 (float64 for float64 scores).

    Raises:
        ParameterError: If epsilon or the number of iterations is not positive.
        ValueError: If the shape is wrong.
    """
    if scores.dim() != 2:
        raise ValueError(f"sinkhorn: got scores {tuple(scores.shape)}, expected (B, P).")
    for name, value in (("epsilon", epsilon), ("iterations", iterations)):
        if value <= 0:
            raise ParameterError(name, f"got {value}; expected a positive number.")
    if valid is None:
        valid = torch.ones_like(scores[:, 0], dtype=torch.bool)
    absent = ~valid[:, None]
    # Half precision is not sufficient, with or without autocast.
    wide = scores if scores.dtype == torch.float64 else scores.float()
    logits = wide.masked_fill(absent, 0.0) / epsilon
    for _ in range(iterations):
        # Columns, over all processes.
        own = logits.masked_fill(absent, -math.inf).logsumexp(dim=0)  # (P,)
        logits = logits - gather_no_gradient(own[None]).logsumexp(dim=0)
        logits = logits - logits.logsumexp(dim=1, keepdim=True)
    return logits.exp().masked_fill(absent, 0.0)
