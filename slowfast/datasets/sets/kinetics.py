"""Kinetics, and every data set of one label per video in the layouts of ``layouts``."""

from __future__ import annotations

from slowfast.config import CfgNode
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.layouts import VIDEO_SUFFIXES, find_layout, load_manifest
from slowfast.datasets.manifest import Manifest
from slowfast.datasets.sets.split_files import data_root
from slowfast.datasets.video_dataset import TestVideos, TrainVideos, build_video_dataset

__all__ = ["kinetics", "manifest_from_cfg"]

_LAYOUT = "train.csv, with train/CLASS/file, or with just videos"


def manifest_from_cfg(
    cfg: CfgNode, split: str, suffixes: frozenset[str] = VIDEO_SUFFIXES
) -> Manifest:
    """List the files of a split as the configuration says.

    Args:
        cfg: The configuration.
        split: One of ``build.SPLITS``.
        suffixes: Of the files to list in folders. Audio extracted beside its video is not.

    Returns:
        The manifest.

    Raises:
        UserError: If DATA.PATH_TO_DATA_DIR is empty or has no such split.
    """
    return load_manifest(
        data_root(cfg, _LAYOUT),
        "train" if split == "gallery" else split,
        prefix=cfg.DATA.PATH_PREFIX,
        separator=cfg.DATA.PATH_LABEL_SEPARATOR,
        skip_rows=cfg.DATA.SKIP_ROWS,
        test_fraction=cfg.DATA.FOLDER_TEST_FRACTION,
        suffixes=suffixes,
    )


@DATASET_REGISTRY.register()
def kinetics(cfg: CfgNode, split: str) -> TrainVideos | TestVideos:
    """Build a split of Kinetics, or of any data set in one of the layouts of ``layouts``.

    Args:
        cfg: The configuration.
        split: One of ``build.SPLITS``.

    Returns:
        The data set.
    """
    return build_video_dataset(cfg, manifest_from_cfg(cfg, split), split)


kinetics.splits = lambda cfg: set(find_layout(data_root(cfg, _LAYOUT)).sources)
