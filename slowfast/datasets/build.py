"""The registry of datasets, and the samples that a dataset returns."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from slowfast.config import CfgNode
from slowfast.datasets.annotations.labels import label_width
from slowfast.datasets.annotations.split_files import require_fold
from slowfast.datasets.base import ManifestDataset
from slowfast.utils.registry import Registry

__all__ = ["DATASET_REGISTRY", "SPLITS", "build_dataset", "has_split"]

# The splits of a dataset. "gallery" is the train split with the views of testing.
SPLITS = ("train", "val", "test", "gallery")

DATASET_REGISTRY = Registry(
    "dataset",
    "TRAIN.DATASET",
    ignore_case=True,
    filled_by="slowfast.datasets.catalog",
    splits=None,
    has_folds=False,
    audio_only=False,
    any_files=False,
)
DATASET_REGISTRY.__doc__ = """
``(cfg, split) -> Dataset``: a map-style dataset; ``dataset[(epoch, index)]`` is one sample, a dict
(V views, A temporal clips, T frames, N audio samples):

    video           uint8 (V, T, H, W, 3), RGB; absent in audio-only datasets
    audio           float32 (A, N), mono in [-1, 1] at AUDIO.SAMPLE_RATE; absent if AUDIO.ENABLE is
                    False
    audio_valid     bool (A,), False where the file has no audio for the clip
    label           int64, -1 if unknown; with DATA.MULTI_LABEL float32 (MODEL.NUM_CLASSES,), 1 for
                    the sample's classes, 0 for others, all -1 if unknown
    index           int64, the row of the manifest (not the index of a clip or a chunk of views)
    clip_start_sec  float32 (V,); (A,) in audio-only datasets
    clip_end_sec    the same shape, in evaluation: the end of the clip, at most that of the file
    view            int64 (V,); (A,) in audio-only datasets
    aug_seed        int64, the seed of all random numbers that are sampled on the device
    ...             in training also the fields of ``views.SampleViews``, such as video_small and
                    audio_start_sec; and the columns of DATA.ROW_FIELDS

A dataset with the attribute ``num_sample`` > 1 (AUG.NUM_SAMPLE) returns a list of as many samples.
It raises MediaError for a file that cannot be decoded. Names ignore case.
Capabilities: ``splits``, ``(cfg) -> set of the names of existing splits``; ``has_folds``, True if
the dataset reads DATA.FOLD; ``audio_only``, True if its samples have no video; ``any_files``, True
if it reads files of any origin, so that its name does not say what they are. A dataset has
``path(index)``, the file of a sample. If several samples come from one file, it also has
``manifest``, the list of the files, and ``row(index)``, the row of a sample's file. Base classes
are in ``catalog.dataset``. For multigrid training it has ``variants``: a dict from ``ClipShape`` to
a dataset of the same samples with clips of that shape.
"""


def build_dataset(name: str, cfg: CfgNode, split: str) -> Dataset[dict[str, Any]]:
    """Build a dataset by name.

    Args:
        name: TRAIN.DATASET or TEST.DATASET; case is ignored.
        cfg: The configuration.
        split: One of SPLITS.

    Returns:
        A map-style dataset; see DATASET_REGISTRY.

    Raises:
        KeyError: If the name is not registered.
        UserError: If the data is missing, or DATA.FOLD is not a fold of the dataset.
    """
    builder = DATASET_REGISTRY.get(name)
    if not DATASET_REGISTRY.capability(name, "has_folds"):
        require_fold(cfg, name, 0)
    dataset = builder(cfg, split)
    if isinstance(dataset, ManifestDataset):
        width = label_width(cfg, dataset.manifest, split)
        for each in (dataset, *dataset.variants.values()):
            each.label_width = width
    return dataset


def has_split(name: str, cfg: CfgNode, split: str) -> bool:
    """Return whether a dataset has a split.

    Args:
        name: TRAIN.DATASET or TEST.DATASET.
        cfg: The configuration.
        split: "train", "val" or "test".

    Returns:
        True if the split exists, or if the dataset does not declare its splits.
    """
    splits = DATASET_REGISTRY.capability(name, "splits")
    return splits is None or split in splits(cfg)
