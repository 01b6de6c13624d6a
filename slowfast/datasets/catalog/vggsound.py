"""VGGSound with its official list ``vggsound.csv``: clips of ten seconds from YouTube."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slowfast.config import CfgNode, UserError
from slowfast.datasets.annotations.file_index import MediaIndex
from slowfast.datasets.annotations.match import Annotation, Locate, check_disjoint
from slowfast.datasets.annotations.split_files import read_csv_lines
from slowfast.datasets.catalog.dataset import ListedDataset
from slowfast.datasets.catalog.youtube import match_by_youtube_segment, segment_entry

__all__ = ["vggsound"]

_FILE = "vggsound.csv"
_CLIP_SEC = 10.0


class _VggSound(ListedDataset):
    """VGGSound."""

    name = "vggsound"
    layout = "ID_START.mp4, START with six digits (in any folder), and vggsound.csv"
    folders, files = ("data",), (_FILE,)

    def read(self, cfg: CfgNode, folder: Path, split: str) -> tuple[list[Annotation], list[str]]:
        """Read the one list of both splits."""
        lists, names = _read_list(folder / _FILE, self.split_names)
        check_disjoint(lists["train"], lists["test"])
        return lists[split], names

    def locate(self, index: MediaIndex, entries: Sequence[Annotation]) -> Locate:
        """Find files as downloaders call segments of YouTube videos."""
        return match_by_youtube_segment(index, entries)


vggsound = _VggSound.register("vggsound")


def _read_list(file: Path, splits: Sequence[str]) -> tuple[dict[str, list[Annotation]], list[str]]:
    """Read "ID,30,class,train" lines: the segments of each split, and the sorted classes."""
    rows = []
    for where, values in read_csv_lines(file):
        if len(values) != 4 or not values[1].isdigit() or values[3] not in splits:
            raise UserError(
                f"{where}: expected 'ID,START,CLASS,SPLIT' with seconds and train or test, got "
                f"{','.join(values)!r}."
            )
        rows.append((where, values))
    names = sorted({values[2] for _, values in rows})
    labels = {name: label for label, name in enumerate(names)}
    lists: dict[str, list[Annotation]] = {split: [] for split in splits}
    for where, (video, start, name, split) in rows:
        start_sec = float(start)
        lists[split].append(
            segment_entry(video, start_sec, start_sec + _CLIP_SEC, label=labels[name], where=where)
        )
    return lists, names
