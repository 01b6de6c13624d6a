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
    As in PySlowFast, parameters of at most one dimension (biases), and those where |w| or |g| is 0,
    are left alone: ``local`` is 1 and b is 0. Groups with ``apply_LARS`` False (batch norm) use
    plain SGD with their weight decay.

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
        if not group["apply_LARS"]:
            change = gradient.add(param, alpha=group["weight_decay"])
        elif param.dim() <= 1:
            change = gradient.clone()
        else:
            change = _adapt(param, gradient, group)
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


def _adapt(param: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
    """Return ``local * (g + b w)``, without synchronization; g where a norm is 0."""
    weight, slope, decay = param.norm(), gradient.norm(), group["weight_decay"]
    local = group["trust_coefficient"] * weight / (slope + decay * weight)
    usable = (weight > 0) & (slope > 0)
    return torch.where(usable, local * gradient.add(param, alpha=decay), gradient)
