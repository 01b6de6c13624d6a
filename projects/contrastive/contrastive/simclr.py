"""SimCLR (Chen et al., ICML 2020): two views of a clip find each other among all views of a batch.

Feature crops are further views: each finds the other views of its clip and their crops.

Legend: B batch, V views, K crops, D embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from fvcore.common.config import CfgNode
from torch import Tensor

from contrastive.base import ContrastiveMethod
from contrastive.config import PROTOCOLS, RELEASED
from contrastive.encoder import build_video_encoder, projection
from slowfast.models.build import LOSS_REGISTRY, MODEL_REGISTRY
from slowfast.models.losses.chance import LossWithChance
from slowfast.models.losses.info_nce import nt_xent
from slowfast.utils.distributed import world_size

__all__ = ["SimCLR", "SimCLROutputs", "build_simclr", "build_simclr_loss"]


class SimCLROutputs(NamedTuple):
    """Input of the loss.

    Attributes:
        embedding: float (B, V * (1 + K), D), rows of length 1.
    """

    embedding: Tensor


class SimCLR(ContrastiveMethod):
    """One encoder for all views."""

    def forward(self, batch: Mapping[str, Any]) -> SimCLROutputs:
        """Embed all views and crops.

        Args:
            batch: ``video`` (B, V, 3, T, H, W), V at least 2; with crops ``aug_seed`` int64 (B,).

        Returns:
            The embeddings.
        """
        embedding = self.video_encoder(batch["video"], batch["aug_seed"])  # (B, V, 1 + K, D)
        return SimCLROutputs(embedding.flatten(1, 2))


@MODEL_REGISTRY.register_as("SimCLR", protocols=PROTOCOLS)
def build_simclr(cfg: CfgNode) -> SimCLR:
    """Build the method from cfg."""
    return SimCLR(build_video_encoder(cfg, projection(cfg, cfg.SIMCLR)))


@LOSS_REGISTRY.register_as("simclr")
def build_simclr_loss(cfg: CfgNode) -> LossWithChance:
    """Build NT-Xent (equation 1 of the paper), averaged over all views of all processes.

    The published code adds the two halves of a batch, twice the paper's value and gradient
    (SIMCLR.COMPAT released).

    Args:
        cfg: Read: SIMCLR.TEMPERATURE, SIMCLR.COMPAT.

    Returns:
        The loss.
    """
    factor = 2.0 if cfg.SIMCLR.COMPAT == RELEASED else 1.0

    def loss(outputs: SimCLROutputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        value = nt_xent(outputs.embedding, cfg.SIMCLR.TEMPERATURE, valid=batch.get("valid"))
        return {"loss": factor * value}

    def chance_level(outputs: SimCLROutputs) -> float:
        samples, views = outputs.embedding.shape[:2]
        return factor * math.log(world_size() * samples * views - 1)

    return LossWithChance(loss, chance_level)
