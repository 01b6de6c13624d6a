"""AVE with its official lists: events that are seen and heard, in clips of ten seconds."""

from __future__ import annotations

import logging
from pathlib import Path

from slowfast.config import CfgNode, UserError
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.catalog.annotations import Annotation, entries_to_manifest, match_by_filename
from slowfast.datasets.catalog.media_index import MediaIndex
from slowfast.datasets.catalog.split_files import (
    data_root,
    find_split_dir,
    read_lines,
    require_split,
)
from slowfast.datasets.manifest import Manifest
from slowfast.datasets.video_dataset import VideoEvalDataset, VideoTrainDataset, build_video_dataset

__all__ = ["ave"]

logger = logging.getLogger(__name__)

_LAYOUT = "ID.mp4 (in any folder), and trainSet.txt, valSet.txt, testSet.txt"
_LISTS = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt"}
_FORMAT = "Category&VideoID&Quality&StartTime&EndTime"


@DATASET_REGISTRY.register(splits=lambda cfg: set(_LISTS))
def ave(cfg: CfgNode, split: str) -> VideoTrainDataset | VideoEvalDataset:
    """Build a split of AVE. Clips are cut from the whole of each file, not from its event alone.

    Args:
        cfg: The configuration.
        split: "train", "val", "test" or "gallery".

    Returns:
        The dataset.
    """
    return build_video_dataset(cfg, _manifest(cfg, split), split)


def _manifest(cfg: CfgNode, split: str) -> Manifest:
    source = require_split("ave", split, _LISTS)
    root = data_root(cfg, _LAYOUT)
    folder = find_split_dir(cfg, root, ("AVE_Dataset",), (_LISTS["train"],))
    rows = {name: _read_list(folder / file) for name, file in _LISTS.items()}
    names = sorted({category for part in rows.values() for _, category, _ in part})
    labels = {name: label for label, name in enumerate(names)}
    # A video may be listed for several events of its class.
    entries = {(c, v): Annotation(f"{v}.mp4", labels[c], where, v) for where, c, v in rows[source]}
    for name in _LISTS.keys() - {source}:
        both = {video for *_, video in rows[name]} & {video for _, video in entries}
        if both:
            logger.warning(
                "%d videos of %s are in %s, too, such as %s: testing on what was trained on "
                "flatters",
                len(both),
                folder / _LISTS[source],
                _LISTS[name],
                min(both),
            )
    return entries_to_manifest(
        cfg,
        source,
        entries.values(),
        match_by_filename(MediaIndex(root)),
        class_names=names,
        layout=_LAYOUT,
    )


def _read_list(file: Path) -> list[tuple[str, str, str]]:
    """Read "Church bell&RUhOCu3LNXM&good&0&10" lines: where, category and video of each."""
    rows = []
    for where, line in read_lines(file):
        cells = [cell.strip() for cell in line.rsplit("&", 4)]
        if cells[0] == "Category":
            continue
        if len(cells) != 5 or not cells[0] or not cells[1]:
            raise UserError(f"{where}: expected '{_FORMAT}', got {line!r}.")
        rows.append((where, cells[0], cells[1]))
    return rows
