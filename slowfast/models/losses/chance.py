"""A loss that knows its value at chance level, when all embeddings are equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["LossWithChance"]


@dataclass(frozen=True)
class LossWithChance:
    """A loss, and the value to compare it with.

    The trainer logs the chance level next to the first loss, and warns if the loss stays there.

    Attributes:
        loss: ``(outputs, batch) -> losses``.
        chance_level: Outputs -> the value of ``loss`` when all embeddings are equal.
    """

    loss: Callable[[Any, Mapping[str, Any]], dict[str, Tensor]]
    chance_level: Callable[[Any], float]

    def __call__(self, outputs: Any, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the losses; see LOSS_REGISTRY."""
        return self.loss(outputs, batch)
