"""The registry of datasets, and what they return."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from slowfast.config import CfgNode
from slowfast.datasets.catalog.split_files import require_fold
from slowfast.utils.registry import Registry

__all__ = ["DATASET_REGISTRY", "SPLITS", "build_dataset", "has_split"]

# What a dataset can be asked for. "gallery" is the train split seen as in testing.
SPLITS = ("train", "val", "test", "gallery")

DATASET_REGISTRY = Registry(
    "dataset", "TRAIN.DATASET", splits=None, has_folds=False, sound_only=False
)
DATASET_REGISTRY.__doc__ = """
``(cfg, split) -> Dataset``: a map-style dataset; ``dataset[(epoch, index)]`` is one sample, a dict
(V views, A temporal clips, T frames, N audio samples):

    video           uint8 (V, T, H, W, 3), RGB; absent in datasets of audio alone
    audio           float32 (A, N), mono in [-1, 1] at AUDIO.SAMPLE_RATE; absent without audio
    audio_valid     bool (A,), False where the file has no audio for the clip
    label           int64, -1 when unknown
    index           int64, the row of the manifest (not of a clip or a chunk of views)
    clip_start_sec  float32 (V,); (A,) without video
    view            int64 (V,); (A,) without video
    aug_seed        int64, from which everything that is drawn on the device follows
    ...             of training: what ``views.SampleViews`` adds, such as video_small and
                    audio_start_sec; and the columns of DATA.ROW_FIELDS

It raises MediaError for a file that cannot be used. Names are lower case; looking one up ignores
the case. Capabilities: ``splits``, ``(cfg) -> set of split names that exist``; ``has_folds``, True
if it reads DATA.FOLD; ``sound_only``, True if its samples have no video. Base classes are in
``catalog.dataset``. The dataset has ``path(index)``, the file of a sample; if samples share files
also ``manifest``, which lists them, and ``row(index)``, the file's number.
"""


def build_dataset(name: str, cfg: CfgNode, split: str) -> Dataset[dict[str, Any]]:
    """Build a dataset by name.

    Args:
        name: TRAIN.DATASET or TEST.DATASET; upper and lower case are the same.
        cfg: The configuration.
        split: One of SPLITS.

    Returns:
        A map-style dataset; see DATASET_REGISTRY.

    Raises:
        KeyError: If no dataset has that name.
        UserError: If the data is missing, or DATA.FOLD is not one of its folds.
    """
    builder = DATASET_REGISTRY.get(name.lower())
    if not DATASET_REGISTRY.capability(name.lower(), "has_folds"):
        require_fold(cfg, name, 0)
    return builder(cfg, split)


def has_split(name: str, cfg: CfgNode, split: str) -> bool:
    """Say whether a dataset has a split.

    Args:
        name: TRAIN.DATASET or TEST.DATASET.
        cfg: The configuration.
        split: "train", "val" or "test".

    Returns:
        True also for a dataset that does not tell.
    """
    splits = DATASET_REGISTRY.capability(name.lower(), "splits")
    return splits is None or split in splits(cfg)
