"""Imports every module of the framework that registers parts or checks."""

import slowfast.datasets.audio_folder
import slowfast.datasets.audioset
import slowfast.datasets.checks
import slowfast.datasets.dcase2014
import slowfast.datasets.demo_set
import slowfast.datasets.esc50
import slowfast.datasets.hmdb51
import slowfast.datasets.kinetics
import slowfast.datasets.ssv2
import slowfast.datasets.ucf101
import slowfast.datasets.vggsound
import slowfast.engine.checks
import slowfast.engine.protocols
import slowfast.models.checks  # noqa: F401  (the package itself registers the models)
