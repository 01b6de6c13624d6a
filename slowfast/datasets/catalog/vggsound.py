"""VGGSound with its official list ``vggsound.csv``: clips of ten seconds from YouTube."""

from __future__ import annotations

from pathlib import Path

from slowfast.config import CfgNode, UserError
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.catalog.annotations import Annotation, check_disjoint, entries_to_manifest
from slowfast.datasets.catalog.media_index import MediaIndex
from slowfast.datasets.catalog.split_files import (
    data_root,
    find_split_dir,
    read_csv_lines,
    require_split,
)
from slowfast.datasets.catalog.youtube import match_by_youtube_segment, segment_entry
from slowfast.datasets.manifest import Manifest
from slowfast.datasets.video_dataset import VideoEvalDataset, VideoTrainDataset, build_video_dataset

__all__ = ["vggsound"]

_LAYOUT = "ID_START.mp4, START with six digits (in any folder), and vggsound.csv"
_FILE = "vggsound.csv"
_SPLITS = ("train", "test")
_CLIP_SEC = 10.0


@DATASET_REGISTRY.register(splits=lambda cfg: set(_SPLITS))
def vggsound(cfg: CfgNode, split: str) -> VideoTrainDataset | VideoEvalDataset:
    """Build a split of VGGSound.

    Args:
        cfg: The configuration.
        split: "train", "test" or "gallery".

    Returns:
        The dataset.
    """
    return build_video_dataset(cfg, _manifest(cfg, split), split)


def _manifest(cfg: CfgNode, split: str) -> Manifest:
    source = require_split("vggsound", split, _SPLITS)
    root = data_root(cfg, _LAYOUT)
    file = find_split_dir(cfg, root, ("data",), (_FILE,)) / _FILE
    lists, names = _read_list(file)
    check_disjoint(lists["train"], lists["test"])
    return entries_to_manifest(
        cfg,
        source,
        lists[source],
        match_by_youtube_segment(MediaIndex(root), lists[source]),
        class_names=names,
        layout=_LAYOUT,
    )


def _read_list(file: Path) -> tuple[dict[str, list[Annotation]], list[str]]:
    """Read "ID,30,class,train" lines: the segments of each split, and the sorted classes."""
    rows = []
    for where, cells in read_csv_lines(file):
        if len(cells) != 4 or not cells[1].isdigit() or cells[3] not in _SPLITS:
            raise UserError(
                f"{where}: expected 'ID,START,CLASS,SPLIT' with seconds and train or test, got "
                f"{','.join(cells)!r}."
            )
        rows.append((where, cells))
    names = sorted({cells[2] for _, cells in rows})
    labels = {name: label for label, name in enumerate(names)}
    lists: dict[str, list[Annotation]] = {split: [] for split in _SPLITS}
    for where, (video, start, name, split) in rows:
        start_sec = float(start)
        lists[split].append(
            segment_entry(video, start_sec, start_sec + _CLIP_SEC, label=labels[name], where=where)
        )
    return lists, names
