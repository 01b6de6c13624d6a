"""Classifiers on multiscale vision transformers, under the names that YAMLs give."""

from __future__ import annotations

from fvcore.common.config import CfgNode

from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.classifier import Classifier, build_classifier
from slowfast.models.heads import LinearHead
from slowfast.models.mvit.network import initialize_transformer

__all__ = ["mvit_classifier"]


@MODEL_REGISTRY.register_as("MViT", "PTVMViT")
def mvit_classifier(cfg: CfgNode) -> Classifier:
    """Build a classifier on MViT, MViTv2 or a plain vision transformer.

    Its last layer starts as every other layer of the family, times MVIT.HEAD_INIT_SCALE, and not
    with MODEL.FC_INIT_STD. Pytorchvideo's blocks (``PTV``) compute what PySlowFast's do.

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
