"""Classifiers on the video ResNets, under the names that YAMLs give (MODEL.MODEL_NAME).

PySlowFast builds each family from blocks of its own or from pytorchvideo's (``PTV``); here one
backbone, MODEL.ARCH, stands behind both names.
"""

from __future__ import annotations

from fvcore.common.config import CfgNode

from slowfast.models.build import MODEL_REGISTRY
from slowfast.models.classifier import Classifier, build_classifier

__all__ = [
    "PTVCSN",
    "PTVR2plus1D",
    "PTVResNet",
    "PTVSlowFast",
    "ResNet",
    "ResNet_nopool",
    "SlowFast",
]


@MODEL_REGISTRY.register()
def ResNet(cfg: CfgNode) -> Classifier:  # noqa: N802 - the name a YAML gives
    """Build a classifier on C2D, I3D or Slow."""
    return build_classifier(cfg)


@MODEL_REGISTRY.register()
def ResNet_nopool(cfg: CfgNode) -> Classifier:  # noqa: N802 - the name a YAML gives
    """Build a classifier on C2D without pooling of frames."""
    return build_classifier(cfg)


@MODEL_REGISTRY.register()
def SlowFast(cfg: CfgNode) -> Classifier:  # noqa: N802 - the name a YAML gives
    """Build a classifier on SlowFast."""
    return build_classifier(cfg)


@MODEL_REGISTRY.register()
def PTVResNet(cfg: CfgNode) -> Classifier:  # noqa: N802 - the name a YAML gives
    """Build a classifier on C2D, I3D or Slow."""
    return build_classifier(cfg)


@MODEL_REGISTRY.register()
def PTVSlowFast(cfg: CfgNode) -> Classifier:  # noqa: N802 - the name a YAML gives
    """Build a classifier on SlowFast."""
    return build_classifier(cfg)


@MODEL_REGISTRY.register()
def PTVCSN(cfg: CfgNode) -> Classifier:  # noqa: N802 - the name a YAML gives
    """Build a classifier on CSN."""
    return build_classifier(cfg)


@MODEL_REGISTRY.register()
def PTVR2plus1D(cfg: CfgNode) -> Classifier:  # noqa: N802 - the name a YAML gives
    """Build a classifier on R(2+1)D with bottlenecks."""
    return build_classifier(cfg)
