"""Backbones, pooling, heads, losses, and the registries they are found in.

Importing this package fills the registries.
"""

from slowfast.models import (
    attentive,
    audio_classifier,
    audio_resnet,
    classifier,
    heads,
    pooling,
    video_resnet,
)
from slowfast.models.losses import cross_entropy

__all__ = [
    "attentive",
    "audio_classifier",
    "audio_resnet",
    "classifier",
    "cross_entropy",
    "heads",
    "pooling",
    "video_resnet",
]
