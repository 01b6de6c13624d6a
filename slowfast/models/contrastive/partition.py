"""The normalization constant of NCE (Wu et al., CVPR 2018, section 3.2, equation 8)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from slowfast.config import ParameterError
from slowfast.utils.distributed import gather_no_gradient

__all__ = ["PartitionConstant"]


class PartitionConstant(nn.Module):
    """The mean of ``exp(score)``, estimated once or as a moving average; stored as a logarithm.

    The papers write Z = N * mean over a bank of N rows, and average over positives and negatives of
    the first batch (Wu et al.; Tian et al., ECCV 2020) or over the negatives only (Morgado et al.,
    CVPR 2021). The caller selects the scores. A constant from an untypical first batch (a warm
    start) stays wrong; a moving average adapts.

    Call it in ``forward`` and pass the result to the loss; :meth:`update` it in
    ``after_batch`` with the same scores.

    Args:
        decay: Decay of the moving average; 1: the constant of the first batch is kept.

    Attributes:
        log_mean: Scalar float32 buffer; minus infinity before the first batch.

    Raises:
        ParameterError: If the decay is not in (0, 1].
    """

    replicated_buffers = frozenset({"log_mean"})
    log_mean: Tensor

    def __init__(self, decay: float = 1.0) -> None:
        super().__init__()
        if not 0 < decay <= 1:
            raise ParameterError("decay", f"got {decay}; expected a number in (0, 1].")
        self.decay = decay
        self.register_buffer("log_mean", torch.tensor(-math.inf, device="cpu"))

    @torch.no_grad()
    def forward(self, scores: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return the constant, or that of this batch before the first update (on every process).

        Args:
            scores: float (B, K), similarities divided by the temperature.
            valid: bool (B,); rows that are False are ignored.

        Returns:
            Scalar, the logarithm of the mean over all processes; 0 if there is nothing to average.
        """
        now = _log_mean_exp(scores, valid)
        known = torch.where(self.log_mean.isfinite(), self.log_mean.to(now.dtype), now)
        return torch.where(known.isfinite(), known, torch.zeros_like(known))

    @torch.no_grad()
    def update(self, scores: Tensor, valid: Tensor | None = None) -> None:
        """Update the constant with a batch. Every process must call this.

        Args:
            scores: As in :meth:`forward`. Scores that are not finite do not change the constant.
            valid: As in :meth:`forward`.
        """
        new, old = _log_mean_exp(scores, valid).to(self.log_mean.dtype), self.log_mean
        if self.decay < 1:
            moved = torch.logaddexp(old + math.log(self.decay), new + math.log1p(-self.decay))
        else:
            moved = old
        moved = torch.where(old.isfinite(), moved, new)
        old.copy_(torch.where(new.isfinite(), moved, old))


def _log_mean_exp(scores: Tensor, valid: Tensor | None) -> Tensor:
    """Logarithm of the mean of exp over valid rows of all processes, a scalar."""
    wide = scores if scores.dtype == torch.float64 else scores.float()
    count = torch.full((), scores.numel(), dtype=wide.dtype, device=wide.device)
    if valid is not None:
        wide = wide.masked_fill(~valid[:, None], -math.inf)
        count = (valid.sum() * scores.shape[1]).to(wide.dtype)
    sums = torch.stack([wide.logsumexp(dim=(0, 1)), count.log()])[None]  # (1, 2)
    total, rows = gather_no_gradient(sums).logsumexp(dim=0)  # over processes
    return total - rows
