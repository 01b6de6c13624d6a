"""The datasets by name, one module each; importing this package registers all of them."""

import slowfast.datasets.catalog.audioset
import slowfast.datasets.catalog.ave
import slowfast.datasets.catalog.charades
import slowfast.datasets.catalog.dcase2014
import slowfast.datasets.catalog.demo_set
import slowfast.datasets.catalog.esc50
import slowfast.datasets.catalog.fake
import slowfast.datasets.catalog.hmdb51
import slowfast.datasets.catalog.imagenet
import slowfast.datasets.catalog.ssv2
import slowfast.datasets.catalog.ucf101
import slowfast.datasets.catalog.vggsound
import slowfast.datasets.catalog.video_folder  # noqa: F401
