"""Video and audio files in the layouts of ``layouts``: csv files, class folders, a plain folder.

Kinetics is one of them: PySlowFast calls the dataset of videos so.
"""

from __future__ import annotations

from pathlib import Path

from slowfast.config import CfgNode
from slowfast.datasets.annotations.csv_rows import CsvFormat
from slowfast.datasets.annotations.files import MEDIA_SUFFIXES, VIDEO_SUFFIXES
from slowfast.datasets.annotations.layouts import Layout, find_layout, load_manifest
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.annotations.split_files import data_root
from slowfast.datasets.catalog.dataset import CatalogDataset
from slowfast.datasets.catalog.kinetics import is_official, official_manifest

__all__ = ["audio_folder", "manifest_from_cfg", "splits_from_cfg", "video_folder"]

_LAYOUT = "train.csv, with train/CLASS/file, or with just videos"


def manifest_from_cfg(
    cfg: CfgNode, split: str, suffixes: frozenset[str] = VIDEO_SUFFIXES
) -> Manifest:
    """List the files of a split as the configuration says.

    Args:
        cfg: The configuration.
        split: One of ``build.SPLITS``.
        suffixes: Of the files that count in folders.

    Returns:
        The manifest.

    Raises:
        UserError: If DATA.PATH_TO_DATA_DIR is empty or has no such split.
    """
    source = "train" if split == "gallery" else split
    lists, form = _lists(cfg), _csv_format(cfg)
    layout = find_layout(lists, form)
    if layout.kind == "csv" and is_official(layout, form):
        return official_manifest(cfg, source, layout, form, lists=lists, suffixes=suffixes)
    return load_manifest(
        data_root(cfg, _LAYOUT),
        source,
        form,
        test_fraction=_test_fraction(cfg, layout),
        suffixes=suffixes,
        lists=lists,
    )


def _test_fraction(cfg: CfgNode, layout: Layout) -> float:
    """Return the fraction of a folder without splits to test on: all of it for predictions alone.

    A classifier cannot have been trained on a plain folder, which has no labels.
    """
    only_predicts = not cfg.TRAIN.ENABLE and list(cfg.TEST.PROTOCOLS) == ["classification"]
    is_plain = layout.kind == "folder"
    return 1.0 if only_predicts and is_plain else float(cfg.DATA.FOLDER_TEST_FRACTION)


def _lists(cfg: CfgNode) -> Path:
    """Return the folder of the csv files."""
    named = cfg.DATA.PATH_TO_SPLIT_DIR
    return Path(named).expanduser() if named else data_root(cfg, _LAYOUT)


def _csv_format(cfg: CfgNode) -> CsvFormat:
    data = cfg.DATA
    return CsvFormat(
        data.PATH_PREFIX,
        data.PATH_LABEL_SEPARATOR,
        data.SKIP_ROWS,
        MEDIA_SUFFIXES,
        fields=tuple(data.ROW_FIELDS),
        multi_label=data.MULTI_LABEL,
    )


def splits_from_cfg(cfg: CfgNode) -> set[str]:
    """Return the splits that DATA.PATH_TO_DATA_DIR holds."""
    return set(find_layout(_lists(cfg), _csv_format(cfg)).sources)


class _VideoFolder(CatalogDataset):
    """A folder of videos, or a list of them."""

    any_files = True

    def splits(self, cfg: CfgNode) -> set[str]:
        """Return the splits that DATA.PATH_TO_DATA_DIR holds."""
        return splits_from_cfg(cfg)

    def manifest(self, cfg: CfgNode, split: str) -> Manifest:
        """List the files of a split."""
        return manifest_from_cfg(cfg, split, MEDIA_SUFFIXES if self.audio_only else VIDEO_SUFFIXES)


class _AudioFolder(_VideoFolder):
    """A folder of audio files, or of files of which only the audio is wanted."""

    audio_only = True


video_folder = _VideoFolder.register("video_folder", "kinetics")
audio_folder = _AudioFolder.register("audio_folder")
