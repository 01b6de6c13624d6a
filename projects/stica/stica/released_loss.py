"""The loss of STICA.COMPAT released: that of the published code, including its quirks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from slowfast.models.losses.info_nce import info_nce
from stica.model import STiCAOutputs

__all__ = ["build_released_loss", "released_loss"]

# The published code fixes the cross-modal temperature.
TEMPERATURE_CROSS = 0.1


def released_loss(
    outputs: STiCAOutputs,
    batch: Mapping[str, Any],
    *,
    temperature_within: float,
    within_weight: float,
) -> dict[str, Tensor]:
    """Compute the published loss.

    In space, and in the same way in time: the second large crops of both views are compared in both
    directions, and every small crop of view 2 is a query for every large crop of view 1. The sum is
    divided by the number of pairs. Views are compared with audio in both directions.

    Args:
        outputs: Of ``ReleasedStiCA``.
        batch: Not read: every sample of the published run has audio.
        temperature_within: STICA.TEMPERATURE_WITHIN.
        within_weight: STICA.WITHIN_WEIGHT, w.

    Returns:
        ``loss`` = (1 - w) ``loss_cross`` + w ``loss_within``, the cross-modal loss of each view,
        and the four sums of crop losses; all but ``loss`` detached.
    """
    gather = torch.is_grad_enabled()

    def nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
        return info_nce(query, key, temperature, gather=gather)

    def both_ways(a: Tensor, b: Tensor, temperature: float) -> Tensor:
        return (nce(a, b, temperature) + nce(b, a, temperature)) / 2

    sums: dict[str, Tensor] = {}
    count = 0
    zero = outputs.space_large.sum() * 0
    for axis in ("space", "time"):
        large, small = getattr(outputs, f"{axis}_large"), getattr(outputs, f"{axis}_small")
        num_large, num_small = large.shape[1], small.shape[1]
        sums[f"loss_{axis}_large"] = (
            both_ways(large[1, 1], large[0, 1], temperature_within) if num_large > 1 else zero
        )
        sums[f"loss_{axis}_small"] = zero + sum(
            nce(small[1, j], large[0, i], temperature_within)
            for i in range(num_large)
            for j in range(num_small)
        )
        count += int(num_large > 1) + num_large * num_small
    within = torch.stack(list(sums.values())).sum() / max(count, 1)
    losses = {"loss": within_weight * within, "loss_within": within, **sums}
    if outputs.video is not None and outputs.audio is not None:
        cross = [
            both_ways(a, v, TEMPERATURE_CROSS)
            for v, a in zip(outputs.video, outputs.audio, strict=True)
        ]
        losses["loss_cross"] = torch.stack(cross).mean()
        losses["loss"] = losses["loss"] + (1 - within_weight) * losses["loss_cross"]
        losses |= {f"loss_cross_view{i}": loss for i, loss in enumerate(cross)}
    return {name: x if name == "loss" else x.detach() for name, x in losses.items()}


def build_released_loss(cfg: CfgNode) -> Callable[..., dict[str, Tensor]]:
    """Build the published loss; its cross-modal temperature is fixed.

    Returns:
        ``(outputs, batch) -> losses``.
    """
    return partial(
        released_loss,
        temperature_within=cfg.STICA.TEMPERATURE_WITHIN,
        within_weight=cfg.STICA.WITHIN_WEIGHT,
    )
