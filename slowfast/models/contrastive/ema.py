"""A momentum encoder (He et al., CVPR 2020, equation 2; Grill et al., NeurIPS 2020)."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.config import ParameterError
from slowfast.models.method import Progress

__all__ = ["EmaEncoder", "cosine_momentum"]


def cosine_momentum(start: float, epoch: float, max_epoch: float) -> float:
    """Anneal the momentum of an average along a cosine (Grill et al., NeurIPS 2020, section 3.3).

    ``m = 1 - (1 - start) (1 + cos(pi * epoch / max_epoch)) / 2``.

    Args:
        start: The momentum at the beginning.
        epoch: Epochs done, with fraction.
        max_epoch: Epochs of the training.

    Returns:
        ``start`` at the beginning, 1 at the end.
    """
    return 1.0 - (1.0 - start) * (1.0 + math.cos(math.pi * epoch / max_epoch)) / 2.0


class EmaEncoder(nn.Module):
    """An encoder whose parameters are a moving average of another's, without gradient.

    A method calls :meth:`before_step` and :meth:`after_step` in its hooks of the same names, with
    the encoder that is trained. The first ``before_step`` copies parameters and buffers, so that
    weights loaded before training are in the copy, too. From then on only the parameters are
    averaged. The copy has its own buffers, such as running statistics of batch norm: it normalizes
    by the statistics of its own batches, as both papers do.

    The average covers about 1 / (1 - momentum) steps: a run of 1000 steps needs 0.99 rather than
    the 0.999 of ImageNet.

    Args:
        encoder: The encoder to average; it is copied.
        momentum: m, from 0 to 1.
        schedule: ``constant``, or ``cosine``: from ``momentum`` to 1 over the training.

    Attributes:
        initialized: Scalar bool buffer, whether the encoder was copied.

    Raises:
        ParameterError: If the momentum is not in [0, 1] or the schedule unknown.
    """

    initialized: Tensor

    def __init__(self, encoder: nn.Module, *, momentum: float, schedule: str = "constant") -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ParameterError("momentum", f"got {momentum}; expected 0 to 1.")
        if schedule not in ("constant", "cosine"):
            raise ParameterError("schedule", f"got '{schedule}'; expected constant or cosine.")
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.momentum, self.schedule = momentum, schedule
        self.register_buffer("initialized", torch.tensor(False, device="cpu"))
        self._was_checked = False  # reading the buffer synchronizes, so only once

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the copy without gradient."""
        return self.encoder(*args, **kwargs)

    @torch.no_grad()
    def before_step(self, encoder: nn.Module) -> None:
        """Copy the encoder before the first step of the training.

        Raises:
            ValueError: If its architecture differs from the averaged one.
        """
        if self._was_checked:
            return
        own, other = self.encoder.state_dict(), encoder.state_dict()
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in other.items()}:
            differing = sorted(set(own) ^ set(other)) or [
                name for name in own if own[name].shape != other[name].shape
            ]
            raise ValueError(
                "EmaEncoder: this is not the encoder that was copied: its weights differ in "
                f"{', '.join(differing[:3])}. Pass the one given at construction."
            )
        if not self.initialized:
            for name, value in own.items():
                value.copy_(other[name])
            self.initialized.fill_(True)
        self._was_checked = True

    @torch.no_grad()
    def after_step(self, encoder: nn.Module, progress: Progress) -> None:
        """Update the parameters: ``p <- m p + (1 - m) p_encoder``; not for a skipped step.

        The next step then encodes its keys with the average of the weights up to this step, as if
        the average were taken at its beginning (He et al.).
        """
        momentum = self.momentum
        if self.schedule == "cosine":
            momentum = cosine_momentum(momentum, progress.epoch_float, progress.max_epoch)
        own: list[Tensor] = list(self.encoder.parameters())
        other: list[Tensor] = list(encoder.parameters())
        if isinstance(progress.stepped, Tensor):  # not read, so that the host does not wait
            share = torch.where(progress.stepped, 1.0 - momentum, 0.0)
            torch._foreach_mul_(own, torch.where(progress.stepped, momentum, 1.0))
            torch._foreach_add_(own, torch._foreach_mul(other, share))
        else:
            torch._foreach_mul_(own, momentum)
            torch._foreach_add_(own, other, alpha=1.0 - momentum)
