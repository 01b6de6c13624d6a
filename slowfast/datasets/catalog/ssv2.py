"""Something-Something V2 with its official json lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slowfast.config import CfgNode, UserError
from slowfast.datasets.annotations.frame_lists import is_frame_list
from slowfast.datasets.annotations.manifest import NO_LABEL, Manifest, VideoRecord
from slowfast.datasets.annotations.match import Annotation, Locate, check_disjoint
from slowfast.datasets.annotations.split_files import data_root, read_json_file, read_lines
from slowfast.datasets.catalog.dataset import ListedDataset
from slowfast.datasets.catalog.listed_frames import read_frame_list
from slowfast.datasets.views.clip_sampling import SEGMENTS

__all__ = ["ssv2", "ssv2_test"]

_PREFIXES = ("something-something-v2-", "")
_LISTS = {"train": "train", "val": "validation", "test": "test"}
_ANSWERS = "test-answers.csv"


class _Ssv2Test(ListedDataset):
    """Something-Something V2; "test" is the official test split.

    A clip has one frame from each of NUM_FRAMES equal segments of the video. Its files have labels
    where ``test-answers.csv`` is among the split files. PySlowFast's frame lists next to them, or
    in the data folder, take precedence over files.
    """

    name = "ssv2"
    layout = (
        "ID.webm, or the frames of a video in a folder ID (in any folder), or PySlowFast's frame "
        "lists train.csv and val.csv with the images below DATA.PATH_PREFIX; and labels/ with "
        "train.json, validation.json, labels.json"
    )
    folders = ("labels", "annotations")
    files = tuple(f"{prefix}labels.json" for prefix in _PREFIXES)
    split_names = tuple(_LISTS)
    sampling = SEGMENTS

    def read(self, cfg: CfgNode, folder: Path, split: str) -> tuple[list[Annotation], list[str]]:
        """Read ``train.json`` and the like."""
        prefix = next(p for p in _PREFIXES if (folder / f"{p}labels.json").exists())
        classes = _read_classes(folder / f"{prefix}labels.json")
        lists = {
            name: list(_read_list(folder / f"{prefix}{_LISTS[name]}.json", classes))
            for name in dict.fromkeys(("train", "val", split))
        }
        check_disjoint(lists["train"], lists["val"])
        if split == "test":
            check_disjoint(lists["train"], lists["test"])
            return _with_answers(lists["test"], folder / _ANSWERS, classes), list(classes)
        return lists[split], list(classes)

    def find_frames(self, cfg: CfgNode, folder: Path, split: str) -> Locate | None:
        """Find entries in ``train.csv`` and ``val.csv``."""
        files = (root / f"{split}.csv" for root in (folder, data_root(cfg, self.layout)))
        file = next(filter(is_frame_list, files), None)
        if file is None:
            return None
        listed = read_frame_list(cfg, file, [])
        rows = {Path(listed.path(row)).name: listed.row(row) for row in range(len(listed))}

        def locate(entry: Annotation) -> VideoRecord | None:
            row = rows.get(Path(entry.name).stem)
            return row and row._replace(label=entry.label, labels=None)

        return locate


class _Ssv2(_Ssv2Test):
    """Something-Something V2; tested on validation, as the field reports it.

    "test" is "val" in the views of testing.
    """

    def splits(self, cfg: CfgNode) -> set[str]:
        """Return the names of the splits."""
        return {"train", "val"}

    def manifest(self, cfg: CfgNode, split: str) -> Manifest:
        """List the files of a split."""
        return super().manifest(cfg, "val" if split == "test" else split)


ssv2 = _Ssv2.register("ssv2")
ssv2_test = _Ssv2Test.register("ssv2_test")


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
