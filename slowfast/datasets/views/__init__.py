"""What a sample shows: clips in time, crops in space, augmentation; uint8 in, uint8 out."""

from slowfast.datasets.views.crop import RandomResizedCrop, ShortSideCrop
from slowfast.datasets.views.sample_views import (
    VIEW_REGISTRY,
    Reverse,
    SampleViews,
    TemporalTransform,
    ViewSpec,
    build_views,
)
from slowfast.datasets.views.transform import TrainTransform, build_train_transform

__all__ = [
    "VIEW_REGISTRY",
    "RandomResizedCrop",
    "Reverse",
    "SampleViews",
    "ShortSideCrop",
    "TemporalTransform",
    "TrainTransform",
    "ViewSpec",
    "build_train_transform",
    "build_views",
]
