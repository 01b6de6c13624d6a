"""Imports every module of the framework that registers parts or checks."""

import slowfast.datasets.checks
import slowfast.datasets.sets.audio_folder
import slowfast.datasets.sets.audioset
import slowfast.datasets.sets.ave
import slowfast.datasets.sets.dcase2014
import slowfast.datasets.sets.demo_set
import slowfast.datasets.sets.esc50
import slowfast.datasets.sets.hmdb51
import slowfast.datasets.sets.kinetics
import slowfast.datasets.sets.ssv2
import slowfast.datasets.sets.ucf101
import slowfast.datasets.sets.vggsound
import slowfast.engine.checks
import slowfast.engine.protocols
import slowfast.models.checks  # noqa: F401  (the package itself registers the models)
