"""Imports every module of the framework that registers components or checks."""

import slowfast.datasets.catalog.audioset
import slowfast.datasets.catalog.ave
import slowfast.datasets.catalog.charades
import slowfast.datasets.catalog.dcase2014
import slowfast.datasets.catalog.demo_set
import slowfast.datasets.catalog.esc50
import slowfast.datasets.catalog.hmdb51
import slowfast.datasets.catalog.imagenet
import slowfast.datasets.catalog.ssv2
import slowfast.datasets.catalog.ucf101
import slowfast.datasets.catalog.vggsound
import slowfast.datasets.catalog.video_folder
import slowfast.datasets.checks
import slowfast.datasets.multigrid_checks
import slowfast.datasets.preprocess.batch
import slowfast.engine.checks
import slowfast.engine.class_names
import slowfast.engine.protocols
import slowfast.engine.save_results
import slowfast.models.checks  # noqa: F401  (the package itself registers the models)
