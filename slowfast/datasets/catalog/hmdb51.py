"""HMDB-51 with its official lists ``testTrainMulti_7030_splits``: three folds of train and test."""

from __future__ import annotations

from pathlib import Path

from slowfast.config import CfgNode, UserError
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
from slowfast.datasets.manifest import Manifest
from slowfast.datasets.video_dataset import VideoEvalDataset, VideoTrainDataset, build_video_dataset

__all__ = ["hmdb51"]

_LAYOUT = "CLASS/video.avi (in any folder) and testTrainMulti_7030_splits/CLASS_test_split1.txt"
_FOLDERS = ("testTrainMulti_7030_splits", "test_train_splits/testTrainMulti_7030_splits")
_ENDING = "_test_split{}.txt"
_SPLITS = {"train": "1", "test": "2"}
_UNUSED = "0"


@DATASET_REGISTRY.register(splits=lambda cfg: set(_SPLITS), has_folds=True)
def hmdb51(cfg: CfgNode, split: str) -> VideoTrainDataset | VideoEvalDataset:
    """Build a split of HMDB-51.

    Args:
        cfg: The configuration; DATA.FOLD is the official split, 1 to 3.
        split: "train", "test" or "gallery".

    Returns:
        The dataset.
    """
    return build_video_dataset(cfg, _manifest(cfg, split), split)


def _manifest(cfg: CfgNode, split: str) -> Manifest:
    source = require_split("hmdb51", split, _SPLITS)
    fold = require_fold(cfg, "hmdb51", 3)
    root = data_root(cfg, _LAYOUT)
    folder = find_split_dir(cfg, root, _FOLDERS, ("*" + _ENDING.format("[123]"),))
    names = _class_names(folder)
    lists: dict[str, list[Annotation]] = {name: [] for name in _SPLITS}
    for label, name in enumerate(names):
        _read_list(folder / (name + _ENDING.format(fold)), name, label, lists)
    check_disjoint(lists["train"], lists["test"])
    locate = match_by_filename(MediaIndex(root))
    return entries_to_manifest(
        cfg, source, lists[source], locate, class_names=names, layout=_LAYOUT
    )


def _class_names(folder: Path) -> list[str]:
    """Return the classes of all folds: labels must not depend on the fold."""
    files = folder.glob("*" + _ENDING.format("[123]"))
    return sorted({file.name[: -len(_ENDING.format(1))] for file in files})


def _read_list(file: Path, name: str, label: int, lists: dict[str, list[Annotation]]) -> None:
    """Read "video.avi 1" lines of a class into the lists of the splits."""
    splits = {mark: split for split, mark in _SPLITS.items()}
    for where, line in read_lines(file):
        video, _, mark = line.rpartition(" ")
        if not video or mark not in (*splits, _UNUSED):
            raise UserError(
                f"{where}: expected 'video.avi N' with N 1 (train), 2 (test) or 0 (unused), got "
                f"{line!r}."
            )
        if mark != _UNUSED:
            lists[splits[mark]].append(Annotation(f"{name}/{video.strip()}", label, where))
