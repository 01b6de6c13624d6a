"""Registers ``StiCA`` and ``stica``: the paper's version or the released code's (STICA.COMPAT)."""

from __future__ import annotations

from collections.abc import Callable

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.models.build import LOSS_REGISTRY, MODEL_REGISTRY
from stica.loss import build_loss
from stica.model import build_model
from stica.released import COMPAT, build_released_model
from stica.released_loss import build_released_loss

__all__ = ["build_stica_loss", "build_stica_model"]


@MODEL_REGISTRY.register_as("StiCA", protocols=("class_retrieval", "knn"))
def build_stica_model(cfg: CfgNode) -> nn.Module:
    """Build the model that STICA.COMPAT selects."""
    return build_released_model(cfg) if cfg.STICA.COMPAT == COMPAT else build_model(cfg)


@LOSS_REGISTRY.register_as("stica")
def build_stica_loss(cfg: CfgNode) -> Callable[..., dict[str, Tensor]]:
    """Build the loss that STICA.COMPAT selects.

    Returns:
        ``(outputs, batch) -> losses``.
    """
    return build_released_loss(cfg) if cfg.STICA.COMPAT == COMPAT else build_loss(cfg)
