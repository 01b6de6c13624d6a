"""Imports every module of the framework that registers parts or checks."""

import slowfast.datasets.checks
import slowfast.datasets.demo_set
import slowfast.datasets.kinetics
import slowfast.engine.checks
import slowfast.engine.protocols
import slowfast.models.audio_resnet
import slowfast.models.checks
import slowfast.models.classifier
import slowfast.models.heads
import slowfast.models.losses.cross_entropy
import slowfast.models.pooling
import slowfast.models.video_resnet  # noqa: F401
