"""Backbones, pooling, heads and losses, with their registries.

Importing this package, or any module of it, fills the registries.
"""

import slowfast.models.attentive
import slowfast.models.audio_classifier
import slowfast.models.audio_resnet
import slowfast.models.audio_vit
import slowfast.models.c3d
import slowfast.models.classifier
import slowfast.models.formats.caffe2
import slowfast.models.formats.image_resnet
import slowfast.models.heads
import slowfast.models.joint_stem
import slowfast.models.losses.cross_entropy
import slowfast.models.mvit.archs
import slowfast.models.mvit.checks
import slowfast.models.mvit.formats
import slowfast.models.mvit.models
import slowfast.models.pooling
import slowfast.models.resnet.archs
import slowfast.models.resnet.checks
import slowfast.models.resnet.csn
import slowfast.models.resnet.formats
import slowfast.models.resnet.slowfast_net
import slowfast.models.s3d.network
import slowfast.models.video_resnet
import slowfast.models.x3d.formats
import slowfast.models.x3d.network
import slowfast.models.zoo.published  # noqa: F401  (all of these register components)
from slowfast.models.build import MODEL_REGISTRY, build_model

__all__ = ["MODEL_REGISTRY", "build_model"]
