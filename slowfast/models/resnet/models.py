"""Classifiers on the video ResNets, under the names that YAMLs give (MODEL.MODEL_NAME).

PySlowFast builds each family from blocks of its own or from pytorchvideo's (``PTV``); here one
backbone, MODEL.ARCH, stands behind both names.
"""

from __future__ import annotations

from fvcore.common.config import CfgNode

from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.classifier import Classifier, build_classifier

__all__ = ["build_resnet"]


@MODEL_REGISTRY.register_as("ResNet", "ResNet_nopool", "SlowFast")
@MODEL_REGISTRY.register_as("PTVResNet", "PTVSlowFast", "PTVCSN", "PTVR2plus1D")
def build_resnet(cfg: CfgNode) -> Classifier:
    """Build a classifier on C2D, I3D, Slow, SlowFast, CSN or R(2+1)D with bottlenecks.

    Args:
        cfg: The configuration; MODEL.ARCH says which.

    Returns:
        The classifier.
    """
    return build_classifier(cfg)
