"""The acoustic scenes of DCASE (2013, used as "DCASE2014"): thirty seconds of ten places.

Three layouts: the official folders, whose files are called after their class; lists of folds in
``evaluation_setup``; class folders or csv files.
"""

from __future__ import annotations

from pathlib import Path

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.datasets.audio_dataset import AudioEvalDataset, AudioTrainDataset, build_audio_dataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.catalog.annotations import (
    Annotation,
    check_disjoint,
    entries_to_manifest,
    match_by_filename,
)
from slowfast.datasets.catalog.media_index import MediaIndex
from slowfast.datasets.catalog.split_files import (
    data_root,
    find_split_dir,
    read_lines,
    require_fold,
    require_split,
)
from slowfast.datasets.catalog.video_folder import manifest_from_cfg, splits_from_cfg
from slowfast.datasets.files import MEDIA_SUFFIXES, media_files
from slowfast.datasets.manifest import Manifest, VideoRecord, share_manifest

__all__ = ["dcase2014"]

_LAYOUT = "scenes_stereo/bus01.wav and scenes_stereo_testset/bus01.wav, or class folders"
_FOLDERS = {"train": "scenes_stereo", "test": "scenes_stereo_testset"}
_SETUP = "evaluation_setup"
_LISTS = {"train": ("fold{}_train.txt",), "test": ("fold{}_evaluate.txt", "fold{}_test.txt")}


def _splits(cfg: CfgNode) -> set[str]:
    root = data_root(cfg, _LAYOUT)
    if _folds(cfg, root):
        return set(_LISTS)
    return set(_official(root)) or splits_from_cfg(cfg)


@DATASET_REGISTRY.register(splits=_splits, has_folds=True, sound_only=True)
def dcase2014(cfg: CfgNode, split: str) -> AudioTrainDataset | AudioEvalDataset:
    """Build a split of the acoustic scenes.

    Args:
        cfg: The configuration; DATA.FOLD chooses a list of ``evaluation_setup``, 0 the official
            split into train and test set.
        split: One of ``build.SPLITS``; "val" only in class folders.

    Returns:
        The dataset.
    """
    return build_audio_dataset(cfg, _manifest(cfg, split), split)


def _manifest(cfg: CfgNode, split: str) -> Manifest:
    root = data_root(cfg, _LAYOUT)
    folders = _official(root)
    num_folds = _folds(cfg, root)
    if num_folds and (cfg.DATA.FOLD or not folders):
        return _fold_manifest(cfg, split, root, require_fold(cfg, "dcase2014", num_folds))
    require_fold(cfg, "dcase2014", 0)
    if not folders:
        return manifest_from_cfg(cfg, split, MEDIA_SUFFIXES)
    return _official_manifest(require_split("dcase2014", split, folders), folders)


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
            "DATA.PATH_TO_DATA_DIR", f"{folders[split]} holds no audio files. Expected: {_LAYOUT}."
        )
    rows = (VideoRecord(path, names.index(_scene(path))) for path in files[split])
    return share_manifest(Manifest.from_rows(rows, names))


def _scene(path: str) -> str:
    stem = Path(path).stem
    name = stem.rstrip("0123456789")
    if not name or name == stem:
        raise UserError(f"{path}: expected the name of a class and a number, such as bus01.wav.")
    return name


def _setup_dir(cfg: CfgNode, root: Path) -> Path:
    return find_split_dir(cfg, root, (_SETUP,), (_LISTS["train"][0].format("*"),))


def _folds(cfg: CfgNode, root: Path) -> int:
    """Count the folds of ``evaluation_setup``; 0 without such lists."""
    try:
        folder = _setup_dir(cfg, root)
    except UserError:
        if cfg.DATA.PATH_TO_SPLIT_DIR:
            raise
        return 0
    return len(list(folder.glob(_LISTS["train"][0].format("*"))))


def _fold_manifest(cfg: CfgNode, split: str, root: Path, fold: int) -> Manifest:
    source = require_split("dcase2014", split, _LISTS)
    folder = _setup_dir(cfg, root)
    lines = {
        name: [
            _cells(where, line)
            for where, line in read_lines(_first(folder, [n.format(fold) for n in patterns]))
        ]
        for name, patterns in _LISTS.items()
    }
    names = sorted({scene for _, scene, _ in lines["train"]})
    labels = {name: label for label, name in enumerate(names)}
    lists = {
        name: [Annotation(file, _label(scene, labels, where), where) for file, scene, where in part]
        for name, part in lines.items()
    }
    check_disjoint(lists["train"], lists["test"])
    locate = match_by_filename(MediaIndex(root, MEDIA_SUFFIXES))
    return entries_to_manifest(
        cfg, source, lists[source], locate, class_names=names, layout=_LAYOUT
    )


def _first(folder: Path, names: list[str]) -> Path:
    """Return the first file that is there; the first of all where none is, to be reported."""
    return next((file for name in names if (file := folder / name).exists()), folder / names[0])


def _cells(where: str, line: str) -> tuple[str, str, str]:
    """Read "audio/bus01.wav<tab>bus": file, class, and where that is said."""
    cells = line.split("\t") if "\t" in line else line.split()
    if len(cells) < 2:
        raise UserError(f"{where}: expected a file, a tab and its class, got {line!r}.")
    return cells[0].strip(), cells[1].strip(), where


def _label(scene: str, labels: dict[str, int], where: str) -> int:
    if scene not in labels:
        raise UserError(f"{where}: the class {scene!r} is not in the list to train on.")
    return labels[scene]
