"""Losses of plain tensors, for the training loops of scripts: PySlowFast's ``get_loss_func``."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from slowfast.config.problems import ConfigValueError
from slowfast.models.losses.cross_entropy import soft_label_loss
from slowfast.utils.registry import nearest

__all__ = ["SoftCrossEntropyLoss", "get_loss_func"]


class SoftCrossEntropyLoss(nn.Module):
    """Cross-entropy with a soft label per row, as with mixup.

    Args:
        reduction: ``mean`` over rows, ``sum``, or ``none``.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: float (M, C), of M rows and C classes.
            labels: float (M, C), not negative; each row is scaled to sum to 1.

        Returns:
            A scalar; (M,) without reduction.
        """
        losses = soft_label_loss(logits, labels)
        return losses if self.reduction == "none" else getattr(losses, self.reduction)()


_LOSSES: dict[str, Callable[..., nn.Module]] = {
    "cross_entropy": nn.CrossEntropyLoss,
    "soft_cross_entropy": SoftCrossEntropyLoss,
    "bce": nn.BCELoss,
    "bce_logit": nn.BCEWithLogitsLoss,
    "mse": nn.MSELoss,
}


def get_loss_func(loss_name: str) -> Callable[..., nn.Module]:
    """Return a loss class by name.

    The trainer uses LOSS_REGISTRY instead, whose losses read the batch and log their components.

    Args:
        loss_name: MODEL.LOSS_FUNC, if it is a loss of plain tensors.

    Returns:
        ``(reduction="mean") -> module``; the module takes outputs and labels.

    Raises:
        ConfigValueError: If there is no such loss.
    """
    if loss_name not in _LOSSES:
        raise ConfigValueError(
            "MODEL.LOSS_FUNC",
            f"got {loss_name!r}, which is no loss of plain tensors. {nearest(loss_name, _LOSSES)} "
            "Losses of methods read a batch: slowfast.models.build.LOSS_REGISTRY.",
        )
    return _LOSSES[loss_name]
