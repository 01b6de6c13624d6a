"""The acoustic scenes of DCASE 2013, used as "DCASE2014": recordings of 30 s, ten classes.

Three layouts: the official folders, whose files are named after their class; lists of folds in
``evaluation_setup``; class folders or csv files.
"""

from __future__ import annotations

from pathlib import Path

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.datasets.annotations.files import MEDIA_SUFFIXES, media_files
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord, share_manifest
from slowfast.datasets.annotations.match import Annotation, check_disjoint
from slowfast.datasets.annotations.split_files import (
    data_root,
    find_split_dir,
    read_lines,
    require_fold,
    require_split,
)
from slowfast.datasets.catalog.dataset import ListedDataset
from slowfast.datasets.catalog.video_folder import manifest_from_cfg, splits_from_cfg

__all__ = ["dcase2014"]

_LAYOUT = "scenes_stereo/bus01.wav and scenes_stereo_testset/bus01.wav, or class folders"
_FOLDERS = {"train": "scenes_stereo", "test": "scenes_stereo_testset"}
_LISTS = {"train": ("fold{}_train.txt",), "test": ("fold{}_evaluate.txt", "fold{}_test.txt")}


class _Dcase2014(ListedDataset):
    """The acoustic scenes.

    DATA.FOLD selects a fold of ``evaluation_setup``; 0 is the official split into train and test
    set. "val" exists only in class folders.
    """

    name = "dcase2014"
    layout = _LAYOUT
    folders, files = ("evaluation_setup",), (_LISTS["train"][0].format("*"),)
    has_folds = audio_only = True

    def splits(self, cfg: CfgNode) -> set[str]:
        """Return the names of the splits that exist."""
        if self._num_folds(cfg):
            return super().splits(cfg)
        return set(_official(data_root(cfg, _LAYOUT))) or splits_from_cfg(cfg)

    def manifest(self, cfg: CfgNode, split: str) -> Manifest:
        """List the files of a split, in any of the layouts."""
        folders, num_folds = _official(data_root(cfg, _LAYOUT)), self._num_folds(cfg)
        if num_folds and (cfg.DATA.FOLD or not folders):
            return super().manifest(cfg, split)
        require_fold(cfg, self.name, 0)
        if not folders:
            return manifest_from_cfg(cfg, split, MEDIA_SUFFIXES)
        return _official_manifest(require_split(self.name, split, folders), folders)

    def _num_folds(self, cfg: CfgNode) -> int:
        """Count the folds of ``evaluation_setup``; 0 without such lists."""
        try:
            folder = find_split_dir(cfg, data_root(cfg, _LAYOUT), self.folders, self.files)
        except UserError:
            if cfg.DATA.PATH_TO_SPLIT_DIR:
                raise
            return 0
        return len(list(folder.glob(self.files[0])))

    def read(self, cfg: CfgNode, folder: Path, split: str) -> tuple[list[Annotation], list[str]]:
        """Read the lists of a fold."""
        fold = require_fold(cfg, self.name, self._num_folds(cfg))
        lines = {
            name: [
                _values(where, line)
                for where, line in read_lines(_first(folder, [n.format(fold) for n in patterns]))
            ]
            for name, patterns in _LISTS.items()
        }
        names = sorted({scene for _, scene, _ in lines["train"]})
        labels = {name: label for label, name in enumerate(names)}
        lists = {
            name: [
                Annotation(file, _label(scene, labels, where), where) for file, scene, where in part
            ]
            for name, part in lines.items()
        }
        check_disjoint(lists["train"], lists["test"])
        return lists[split], names


dcase2014 = _Dcase2014.register("dcase2014")


def _official(root: Path) -> dict[str, Path]:
    """Return the folders of the official zips that are there."""
    folders = {split: root / name for split, name in _FOLDERS.items()}
    return {split: folder for split, folder in folders.items() if folder.is_dir()}


def _official_manifest(split: str, folders: dict[str, Path]) -> Manifest:
    """List files such as ``bus01.wav``: class and number."""
    files = {name: list(media_files(folder, MEDIA_SUFFIXES)) for name, folder in folders.items()}
    names = sorted({_scene(path) for paths in files.values() for path in paths})
    if not files[split]:
        raise ConfigValueError(
            "DATA.PATH_TO_DATA_DIR", f"{folders[split]} has no audio files. Expected: {_LAYOUT}."
        )
    rows = (VideoRecord(path, names.index(_scene(path))) for path in files[split])
    return share_manifest(Manifest.from_rows(rows, names))


def _scene(path: str) -> str:
    stem = Path(path).stem
    name = stem.rstrip("0123456789")
    if not name or name == stem:
        raise UserError(f"{path}: expected the name of a class and a number, e.g. bus01.wav.")
    return name


def _first(folder: Path, names: list[str]) -> Path:
    """Return the first file that exists; the first name if none exists, to be reported."""
    return next((file for name in names if (file := folder / name).exists()), folder / names[0])


def _values(where: str, line: str) -> tuple[str, str, str]:
    """Parse "audio/bus01.wav<tab>bus": file, class, and the line for messages."""
    values = line.split("\t") if "\t" in line else line.split()
    if len(values) < 2:
        raise UserError(f"{where}: expected a file, a tab and its class, got {line!r}.")
    return values[0].strip(), values[1].strip(), where


def _label(scene: str, labels: dict[str, int], where: str) -> int:
    if scene not in labels:
        raise UserError(f"{where}: the class {scene!r} is not in the training list.")
    return labels[scene]
