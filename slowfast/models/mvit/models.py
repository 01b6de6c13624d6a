"""Classifiers with multiscale vision transformers, as entries of MODEL_REGISTRY."""

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

    Its last layer is initialized like the other layers, times MVIT.HEAD_INIT_SCALE, not with
    MODEL.FC_INIT_STD. Pytorchvideo's blocks (``PTV``) are equivalent to PySlowFast's.

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
