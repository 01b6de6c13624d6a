"""Something-Something V2 with its official json lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    read_json_file,
    read_lines,
    require_split,
)
from slowfast.datasets.manifest import NO_LABEL, Manifest
from slowfast.datasets.video_dataset import VideoEvalDataset, VideoTrainDataset, build_video_dataset

__all__ = ["ssv2", "ssv2_test"]

_LAYOUT = "ID.webm (in any folder) and labels/ with train.json, validation.json, labels.json"
_FOLDERS = ("labels", "annotations")
_PREFIXES = ("something-something-v2-", "")
_LISTS = {"train": "train", "val": "validation", "test": "test"}
_ANSWERS = "test-answers.csv"


@DATASET_REGISTRY.register(splits=lambda cfg: {"train", "val"})
def ssv2(cfg: CfgNode, split: str) -> VideoTrainDataset | VideoEvalDataset:
    """Build a split of Something-Something V2; tested on validation, as the field reports it.

    Args:
        cfg: The configuration.
        split: "train", "val", "gallery", or "test", which is "val" in the views of testing.

    Returns:
        The dataset.
    """
    return build_video_dataset(cfg, _manifest(cfg, "val" if split == "test" else split), split)


@DATASET_REGISTRY.register(splits=lambda cfg: set(_LISTS))
def ssv2_test(cfg: CfgNode, split: str) -> VideoTrainDataset | VideoEvalDataset:
    """Build a split of Something-Something V2; "test" is the official test split.

    Args:
        cfg: The configuration.
        split: One of ``build.SPLITS``. The files of "test" have labels where
            ``test-answers.csv`` is among the split files.

    Returns:
        The dataset.
    """
    return build_video_dataset(cfg, _manifest(cfg, split), split)


def _manifest(cfg: CfgNode, split: str) -> Manifest:
    source = require_split("ssv2", split, _LISTS)
    root = data_root(cfg, _LAYOUT)
    names = [prefix + "labels.json" for prefix in _PREFIXES]
    folder = find_split_dir(cfg, root, _FOLDERS, names)
    prefix = next(p for p in _PREFIXES if (folder / f"{p}labels.json").exists())
    classes = _read_classes(folder / f"{prefix}labels.json")
    lists = {
        name: list(_read_list(folder / f"{prefix}{part}.json", classes))
        for name, part in _LISTS.items()
        if name in ("train", "val", source)
    }
    check_disjoint(lists["train"], lists["val"])
    if source == "test":
        check_disjoint(lists["train"], lists["test"])
        lists["test"] = _with_answers(lists["test"], folder / _ANSWERS, classes)
    locate = match_by_filename(MediaIndex(root))
    return entries_to_manifest(
        cfg, source, lists[source], locate, class_names=list(classes), layout=_LAYOUT
    )


def _read_classes(file: Path) -> dict[str, int]:
    """Read {"Holding something": "12", ...}: class name -> label, in the order of the labels."""
    content = read_json_file(file, dict)
    labels = {str(name): str(number) for name, number in content.items()}
    ordered = sorted(labels, key=lambda name: (len(labels[name]), labels[name]))
    for label, name in enumerate(ordered):
        if labels[name] != str(label):
            raise UserError(
                f"{file}: expected one class per number from 0 to {len(labels) - 1}, got "
                f"{labels[name]!r} for {name!r}."
            )
    return {name: label for label, name in enumerate(ordered)}


def _read_list(file: Path, classes: dict[str, int]) -> Iterator[Annotation]:
    """Read [{"id": "7", "template": "Holding [something]"}, ...]; test has no templates."""
    for number, item in enumerate(read_json_file(file, list), start=1):
        where = f"{file}: entry {number}"
        if not isinstance(item, dict) or not str(item.get("id", "")):
            raise UserError(f"{where}: expected an object with an id, got {item!r}.")
        label = _label(item["template"], classes, where) if "template" in item else NO_LABEL
        yield Annotation(f"{item['id']}.webm", label, where)


def _label(template: Any, classes: dict[str, int], where: str) -> int:
    """Find the class of a template: its name, but for the brackets around what is to be filled."""
    name = str(template).replace("[", "").replace("]", "")
    if name not in classes:
        raise UserError(f"{where}: the template {name!r} is not a class of labels.json.")
    return classes[name]


def _with_answers(
    entries: list[Annotation], file: Path, classes: dict[str, int]
) -> list[Annotation]:
    """Add the labels of "7;Holding something" lines, if there is such a file."""
    if not file.exists():
        return entries
    answers = {}
    for where, line in read_lines(file):
        video, found, name = line.partition(";")
        if not found:
            raise UserError(f"{where}: expected 'ID;class', got {line!r}.")
        answers[f"{video.strip()}.webm"] = _label(name.strip().strip('"'), classes, where)
    return [entry._replace(label=answers.get(entry.name, NO_LABEL)) for entry in entries]
