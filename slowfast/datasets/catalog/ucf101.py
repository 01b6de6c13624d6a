"""UCF-101 with its official lists ``ucfTrainTestlist``: three folds of train and test."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from slowfast.config import CfgNode, UserError
from slowfast.datasets.annotations.match import Annotation, check_disjoint
from slowfast.datasets.annotations.split_files import read_lines, require_fold
from slowfast.datasets.catalog.dataset import ListedDataset

__all__ = ["ucf101"]


class _Ucf101(ListedDataset):
    """UCF-101; DATA.FOLD is the official split, 1 to 3."""

    name = "ucf101"
    layout = "UCF-101/CLASS/v_CLASS_gNN_cNN.avi (UCF-101/ may be left out) and ucfTrainTestlist/"
    folders, files = ("ucfTrainTestlist",), ("classInd.txt",)
    has_folds = True
    # The lists say HandStandPushups where class and folder are called HandstandPushups.
    fold_case = True

    def read(self, cfg: CfgNode, folder: Path, split: str) -> tuple[list[Annotation], list[str]]:
        """Read ``trainlist01.txt`` and the like."""
        fold = require_fold(cfg, self.name, 3)
        classes = _read_classes(folder / "classInd.txt")
        lists = {
            name: _read_list(folder / f"{name}list{fold:02d}.txt", classes)
            for name in self.split_names
        }
        check_disjoint(lists["train"], lists["test"])
        return lists[split], list(classes)


ucf101 = _Ucf101.register("ucf101")


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
