"""Classifiers on multiscale vision transformers, under the names that YAMLs give."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.classifier import Classifier, build_classifier
from slowfast.models.heads import LinearHead
from slowfast.models.mvit.network import initialize_transformer

__all__ = ["MViT", "PTVMViT"]


@MODEL_REGISTRY.register()
def MViT(cfg: CfgNode) -> Classifier:  # noqa: N802 - the name a YAML gives
    """Build a classifier on MViT, MViTv2 or a plain vision transformer.

    Its last layer starts as every other layer of the family, times MVIT.HEAD_INIT_SCALE, and not
    with MODEL.FC_INIT_STD.

    Args:
        cfg: As for ``build_classifier``; MVIT.HEAD_INIT_SCALE.

    Returns:
        The classifier.
    """
    model = build_classifier(cfg)
    if isinstance(model.head, LinearHead):
        layer = model.head.projection
        initialize_transformer(layer)
        layer.weight.data.mul_(cfg.MVIT.HEAD_INIT_SCALE)
        layer.bias.data.mul_(cfg.MVIT.HEAD_INIT_SCALE)
    return model


@MODEL_REGISTRY.register()
def PTVMViT(cfg: CfgNode) -> Classifier:  # noqa: N802 - the name a YAML gives
    """Build the same classifier: pytorchvideo's blocks compute what PySlowFast's do."""
    return MViT(cfg)
