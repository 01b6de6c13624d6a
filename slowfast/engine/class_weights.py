"""Weights of the classes from the labels of the train split (SOLVER.BALANCED_CLASS_WEIGHTS)."""

from __future__ import annotations

import logging

from slowfast.config import CfgNode, ConfigValueError
from slowfast.datasets.annotations.labels import balanced_class_weights
from slowfast.datasets.annotations.manifest import Manifest

__all__ = ["with_class_weights"]

logger = logging.getLogger(__name__)


def with_class_weights(cfg: CfgNode, manifest: Manifest | None) -> CfgNode:
    """Fill in SOLVER.CLASS_WEIGHTS.

    Args:
        cfg: SOLVER.BALANCED_CLASS_WEIGHTS; MODEL.NUM_CLASSES.
        manifest: The train split; None for a dataset without a list of its files.

    Returns:
        The same configuration, or a copy with the weights for the loss.

    Raises:
        UserError: If the labels are unknown.
    """
    if not cfg.SOLVER.BALANCED_CLASS_WEIGHTS:
        return cfg
    if manifest is None or not manifest.has_labels:
        raise ConfigValueError(
            "SOLVER.BALANCED_CLASS_WEIGHTS",
            "got True, but not every training file has a known label; use False.",
        )
    weights = balanced_class_weights(manifest, cfg.MODEL.NUM_CLASSES)
    logger.info("class weights of the loss: %.3g to %.3g", min(weights), max(weights))
    weighted = cfg.clone()
    weighted.defrost()
    weighted.SOLVER.CLASS_WEIGHTS = weights
    weighted.freeze()
    return weighted
