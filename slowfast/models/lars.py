"""Layer-wise adaptive rate scaling for large batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["LARS"]


class LARS(Optimizer):
    """SGD with momentum and a learning rate adapted to each parameter tensor (You et al., 2017).

    With weights w, gradient g, weight decay b and learning rate lr::

        local = trust * |w| / (|g| + b |w|)
        v     = momentum * v + (1 - dampening) * local * (g + b w)
        w     = w - lr * v

    The learning rate is outside the momentum buffer, as in torch's SGD, so that a schedule acts at
    once.
    ``local`` is 1 where |w| or |g| is 0, and in groups with ``apply_LARS`` False, which use
    plain SGD: batch norm, biases and other parameters without weight decay.

    Args:
        params: Parameters or groups. A group may have ``apply_LARS`` (True).
        lr: Learning rate; groups may override it and all following arguments.
        momentum: Momentum of v.
        weight_decay: Weight decay b.
        dampening: Dampening of the new gradient.
        nesterov: Step along ``g + momentum * v`` instead of v.
        trust_coefficient: Coefficient ``trust``.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        trust_coefficient: float = 0.001,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "dampening": dampening,
            "nesterov": nesterov,
            "trust_coefficient": trust_coefficient,
            "apply_LARS": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(  # type: ignore[override]  # torch writes this as two overloads
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Take one step.

        Args:
            closure: Recomputes the loss, if given.

        Returns:
            The loss, if ``closure`` is given.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, param.grad, group)
        return loss

    def _update(self, param: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        change = gradient.add(param, alpha=group["weight_decay"])
        if group["apply_LARS"]:
            change *= _local_lr(param.norm(), gradient.norm(), group)
        if group["momentum"]:
            state = self.state[param]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = change.clone()
            else:
                state["momentum_buffer"].mul_(group["momentum"]).add_(
                    change, alpha=1 - group["dampening"]
                )
            buffer = state["momentum_buffer"]
            change = change.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
        param.add_(change, alpha=-group["lr"])


def _local_lr(weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
    """Compute the local learning rate from both norms, as a tensor to avoid synchronization."""
    lr = group["trust_coefficient"] * weight / (gradient + group["weight_decay"] * weight)
    usable = (weight > 0) & (gradient > 0)
    return torch.where(usable, lr, torch.ones_like(lr))
