"""Noise-contrastive estimation (Wu et al., CVPR 2018, section 3.2, equations 4 to 7).

Legend: B rows of one process, K negatives, E positives, N rows of a bank.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.utils import distributed
from slowfast.utils.env import full_precision

__all__ = ["nce_loss"]


def nce_loss(
    positive: Tensor,
    negatives: Tensor,
    log_mean_exp: Tensor | float,
    *,
    valid: Tensor | None = None,
    gather: bool = True,
) -> Tensor:
    """Classify data against noise: a logistic loss for the positive and for each negative.

    ``-log h(s_i) - sum_k log(1 - h(s_ik))`` with ``h(s) = e^s / (e^s + K a)``, averaged over valid
    rows, where ``a = Z / N`` is the mean of ``e^s``: ``h`` is the probability that a row is data
    and not one of K uniform samples. The papers differ only in the scores that a is
    estimated from (:class:`~slowfast.models.contrastive.partition.PartitionConstant`). With several
    positives their losses are averaged (Morgado et al., CVPR 2021).

    Args:
        positive: float (B,) or (B, E), similarities divided by the temperature.
        negatives: float (B, K), the same for uniformly sampled rows.
        log_mean_exp: The logarithm of a, a scalar, constant.
        valid: bool (B,). Rows that are False are ignored. None: all valid.
        gather: Average over the rows of all processes, as in ``info_nce``.

    Returns:
        Scalar, float32 (float64 for float64 input). About 1 + log(1 + K) when nothing is learned
        yet and the constant is right; 0 when no row is valid.

    Raises:
        ValueError: If shapes disagree.
    """
    rows = positive.shape[:1]
    if positive.dim() not in (1, 2) or negatives.dim() != 2 or negatives.shape[:1] != rows:
        raise ValueError(
            f"nce_loss: got positives {tuple(positive.shape)} and negatives "
            f"{tuple(negatives.shape)}; expected (B,) or (B, E), and (B, K)."
        )
    if valid is None:
        valid = torch.ones(rows, dtype=torch.bool, device=positive.device)
    if valid.dtype != torch.bool or valid.shape != rows:
        raise ValueError(
            f"nce_loss: got valid {valid.dtype} {tuple(valid.shape)}, expected bool ({rows[0]},)."
        )
    positive = positive[:, None] if positive.dim() == 1 else positive
    with full_precision(positive.device):
        wide = torch.promote_types(positive.dtype, torch.float32)
        # Set to zero, not only masked: NaN times a gradient of zero is NaN.
        s, noise = (x.to(wide).masked_fill(~valid[:, None], 0.0) for x in (positive, negatives))
        shift = math.log(noise.shape[1]) + log_mean_exp  # log(K a)
        losses = F.softplus(shift - s).mean(dim=1) + F.softplus(noise - shift).sum(dim=1)  # (B,)
        return distributed.global_mean(losses, valid, joint=gather)
