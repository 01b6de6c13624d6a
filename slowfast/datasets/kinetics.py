"""Kinetics, and every data set of one label per video in the layouts of ``manifest``."""

from __future__ import annotations

from pathlib import Path

from slowfast.config import CfgNode, UserError
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.manifest import Manifest, find_layout, load_manifest
from slowfast.datasets.video_dataset import TestVideos, TrainVideos, build_video_dataset

__all__ = ["kinetics", "manifest_from_cfg"]


def manifest_from_cfg(cfg: CfgNode, split: str) -> Manifest:
    """List the files of a split as the configuration says.

    Args:
        cfg: The configuration.
        split: One of ``build.SPLITS``.

    Returns:
        The manifest.

    Raises:
        UserError: If DATA.PATH_TO_DATA_DIR is empty or has no such split.
    """
    if not cfg.DATA.PATH_TO_DATA_DIR:
        raise UserError(
            "DATA.PATH_TO_DATA_DIR is empty: name a folder with train.csv, with "
            "train/CLASS/video files, or with just videos."
        )
    return load_manifest(
        Path(cfg.DATA.PATH_TO_DATA_DIR).expanduser(),
        "train" if split == "gallery" else split,
        prefix=cfg.DATA.PATH_PREFIX,
        separator=cfg.DATA.PATH_LABEL_SEPARATOR,
        skip_rows=cfg.DATA.SKIP_ROWS,
        test_fraction=cfg.DATA.FOLDER_TEST_FRACTION,
    )


@DATASET_REGISTRY.register()
def kinetics(cfg: CfgNode, split: str) -> TrainVideos | TestVideos:
    """Build a split of Kinetics, or of any data set in one of the layouts of ``manifest``.

    Args:
        cfg: The configuration.
        split: One of ``build.SPLITS``.

    Returns:
        The data set.
    """
    return build_video_dataset(cfg, manifest_from_cfg(cfg, split), split)


def _splits(cfg: CfgNode) -> set[str]:
    return set(find_layout(Path(cfg.DATA.PATH_TO_DATA_DIR).expanduser()).sources)


kinetics.splits = _splits
