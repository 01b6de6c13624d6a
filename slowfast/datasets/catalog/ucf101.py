"""UCF-101 with its official lists ``ucfTrainTestlist``: three folds of train and test."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

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

__all__ = ["ucf101"]

_LAYOUT = "UCF-101/CLASS/v_CLASS_gNN_cNN.avi (UCF-101/ may be left out) and ucfTrainTestlist/"
_SPLITS = ("train", "test")


@DATASET_REGISTRY.register(splits=lambda cfg: set(_SPLITS), has_folds=True)
def ucf101(cfg: CfgNode, split: str) -> VideoTrainDataset | VideoEvalDataset:
    """Build a split of UCF-101.

    Args:
        cfg: The configuration; DATA.FOLD is the official split, 1 to 3.
        split: "train", "test" or "gallery".

    Returns:
        The dataset.
    """
    return build_video_dataset(cfg, _manifest(cfg, split), split)


def _manifest(cfg: CfgNode, split: str) -> Manifest:
    source = require_split("ucf101", split, _SPLITS)
    fold = require_fold(cfg, "ucf101", 3)
    root = data_root(cfg, _LAYOUT)
    folder = find_split_dir(cfg, root, ("ucfTrainTestlist",), ("classInd.txt",))
    classes = _read_classes(folder / "classInd.txt")
    lists = {name: _read_list(folder / f"{name}list{fold:02d}.txt", classes) for name in _SPLITS}
    check_disjoint(lists["train"], lists["test"])
    # The lists say HandStandPushups where class and folder are called HandstandPushups.
    locate = match_by_filename(MediaIndex(root, fold_case=True))
    return entries_to_manifest(
        cfg, source, lists[source], locate, class_names=list(classes), layout=_LAYOUT
    )


def _read_classes(file: Path) -> dict[str, int]:
    """Read "1 ApplyEyeMakeup" lines: class name -> label, which counts from 0."""
    classes: dict[str, int] = {}
    for where, line in read_lines(file):
        number, _, name = line.partition(" ")
        if not number.isdigit() or int(number) != len(classes) + 1 or not name:
            raise UserError(f"{where}: expected '{len(classes) + 1} CLASS', got {line!r}.")
        classes[name.strip()] = len(classes)
    return classes


def _read_list(file: Path, classes: dict[str, int]) -> list[Annotation]:
    """Read "CLASS/v_x.avi 1" lines; lists to test on have no number."""
    labels = {name.casefold(): label for name, label in classes.items()}
    entries = []
    for where, line in read_lines(file):
        name, _, number = line.partition(" ")
        folder = PurePosixPath(name).parent.name
        label = labels.get(folder.casefold())
        if label is None:
            raise UserError(
                f"{where}: expected 'CLASS/video.avi' with a class of classInd.txt, got {line!r}."
            )
        if number.strip() not in ("", str(label + 1)):
            raise UserError(f"{where}: class {folder} is number {label + 1}, got {line!r}.")
        entries.append(Annotation(name, label, where))
    return entries
