"""AVE with its official lists: events that are seen and heard, in clips of ten seconds."""

from __future__ import annotations

import logging
from pathlib import Path

from slowfast.config import CfgNode, UserError
from slowfast.datasets.annotations.match import Annotation
from slowfast.datasets.annotations.split_files import read_lines
from slowfast.datasets.catalog.dataset import ListedDataset

__all__ = ["ave"]

logger = logging.getLogger(__name__)

_FORMAT = "Category&VideoID&Quality&StartTime&EndTime"


class _Ave(ListedDataset):
    """AVE. Clips are sampled from the full files, not only from the annotated events."""

    name = "ave"
    layout = "ID.mp4 (in any folder), and trainSet.txt, valSet.txt, testSet.txt"
    folders, files = ("AVE_Dataset",), ("trainSet.txt",)
    split_names = ("train", "val", "test")

    def read(self, cfg: CfgNode, folder: Path, split: str) -> tuple[list[Annotation], list[str]]:
        """Read ``trainSet.txt`` and the like."""
        rows = {name: _read_list(folder / f"{name}Set.txt") for name in self.split_names}
        names = sorted({category for part in rows.values() for _, category, _ in part})
        # A video may be listed for several events of its class.
        entries = {
            (category, video): Annotation(f"{video}.mp4", names.index(category), where, video)
            for where, category, video in rows[split]
        }
        for name in rows.keys() - {split}:
            both = {video for *_, video in rows[name]} & {video for _, video in entries}
            if both:
                logger.warning(
                    "%d videos of %s are also in %s, e.g. %s: results on training videos are too "
                    "high",
                    len(both),
                    folder / f"{split}Set.txt",
                    f"{name}Set.txt",
                    min(both),
                )
        return list(entries.values()), names


ave = _Ave.register("ave")


def _read_list(file: Path) -> list[tuple[str, str, str]]:
    """Read "Church bell&RUhOCu3LNXM&good&0&10" lines: where, category and video of each."""
    rows = []
    for where, line in read_lines(file):
        values = [value.strip() for value in line.rsplit("&", 4)]
        if values[0] == "Category":
            continue
        if len(values) != 5 or not values[0] or not values[1]:
            raise UserError(f"{where}: expected '{_FORMAT}', got {line!r}.")
        rows.append((where, values[0], values[1]))
    return rows
