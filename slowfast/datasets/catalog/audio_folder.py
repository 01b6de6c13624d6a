"""Audio files in the layouts of ``layouts``: csv files, class folders, a plain folder."""

from __future__ import annotations

from slowfast.config import CfgNode
from slowfast.datasets.audio_dataset import AudioEvalDataset, AudioTrainDataset, build_audio_dataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.catalog.video_folder import manifest_from_cfg, splits_from_cfg
from slowfast.datasets.files import MEDIA_SUFFIXES

__all__ = ["audio_folder"]


@DATASET_REGISTRY.register(splits=splits_from_cfg, sound_only=True)
def audio_folder(cfg: CfgNode, split: str) -> AudioTrainDataset | AudioEvalDataset:
    """Build a split of a folder of audio files, or of files of which only the audio is wanted.

    Args:
        cfg: The configuration.
        split: One of ``build.SPLITS``.

    Returns:
        The dataset.
    """
    return build_audio_dataset(cfg, manifest_from_cfg(cfg, split, MEDIA_SUFFIXES), split)
