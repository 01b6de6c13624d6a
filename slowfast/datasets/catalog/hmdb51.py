"""HMDB-51 with its official lists ``testTrainMulti_7030_splits``: three folds of train and test."""

from __future__ import annotations

from pathlib import Path

from slowfast.config import CfgNode, UserError
from slowfast.datasets.annotations.match import Annotation, check_disjoint
from slowfast.datasets.annotations.split_files import read_lines, require_fold
from slowfast.datasets.catalog.dataset import ListedDataset

__all__ = ["hmdb51"]

_ENDING = "_test_split{}.txt"
_ALL_LISTS = "*" + _ENDING.format("[123]")
_SPLITS = {"1": "train", "2": "test"}
_UNUSED = "0"


class _Hmdb51(ListedDataset):
    """HMDB-51; DATA.FOLD is the official split, 1 to 3."""

    name = "hmdb51"
    layout = "CLASS/video.avi (in any folder) and testTrainMulti_7030_splits/CLASS_test_split1.txt"
    folders = ("testTrainMulti_7030_splits", "test_train_splits/testTrainMulti_7030_splits")
    files = (_ALL_LISTS,)
    has_folds = True

    def read(self, cfg: CfgNode, folder: Path, split: str) -> tuple[list[Annotation], list[str]]:
        """Read a list per class. Labels do not depend on the fold: the classes of all folds."""
        fold = require_fold(cfg, self.name, 3)
        ending = len(_ENDING.format(1))
        names = sorted({file.name[:-ending] for file in folder.glob(_ALL_LISTS)})
        lists: dict[str, list[Annotation]] = {name: [] for name in self.split_names}
        for label, name in enumerate(names):
            _read_list(folder / (name + _ENDING.format(fold)), name, label, lists)
        check_disjoint(lists["train"], lists["test"])
        return lists[split], names


hmdb51 = _Hmdb51.register("hmdb51")


def _read_list(file: Path, name: str, label: int, lists: dict[str, list[Annotation]]) -> None:
    """Read "video.avi 1" lines of a class into the lists of the splits."""
    for where, line in read_lines(file):
        video, _, mark = line.rpartition(" ")
        if not video or mark not in (*_SPLITS, _UNUSED):
            raise UserError(
                f"{where}: expected 'video.avi N' with N 1 (train), 2 (test) or 0 (unused), got "
                f"{line!r}."
            )
        if mark != _UNUSED:
            lists[_SPLITS[mark]].append(Annotation(f"{name}/{video.strip()}", label, where))
