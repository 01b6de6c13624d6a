"""Charades with PySlowFast's frame lists: several actions per video, frames as image files."""

from __future__ import annotations

from pathlib import Path

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.datasets.annotations.csv_dialect import read_lines
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.annotations.split_files import data_root, find_split_dir
from slowfast.datasets.catalog.dataset import CatalogDataset
from slowfast.datasets.catalog.listed_frames import read_frame_list

__all__ = ["charades"]

_LAYOUT = "train.csv and val.csv, PySlowFast's frame lists, and the images below DATA.PATH_PREFIX"
_FOLDERS = ("frame_lists",)
_CLASSES = "Charades_v1_classes.txt"


class _Charades(CatalogDataset):
    """Charades, or another dataset of frame lists; "test" is "val" in the views of testing.

    A training clip has the classes of its frames, as in PySlowFast; a tested video has those of all
    its frames.
    """

    def splits(self, cfg: CfgNode) -> set[str]:
        """Return the names of the splits."""
        return {"train", "val"}

    def manifest(self, cfg: CfgNode, split: str) -> Manifest:
        """List the videos of a split."""
        name = "train" if split in ("train", "gallery") else "val"
        root = data_root(cfg, _LAYOUT)
        folder = find_split_dir(cfg, root, _FOLDERS, ("train.csv", "val.csv"))
        file = folder / f"{name}.csv"
        if not file.is_file():
            raise ConfigValueError("DATA.PATH_TO_DATA_DIR", f"no such file: {file}. {_LAYOUT}.")
        return read_frame_list(cfg, file, _read_classes(folder / _CLASSES))


charades = _Charades.register("charades")


def _read_classes(file: Path) -> list[str]:
    """Read "c000 Holding some clothes" lines; none without the file."""
    names: list[str] = []
    for number, line in read_lines(file, "utf-8-sig") if file.is_file() else ():
        code, _, name = line.partition(" ")
        if code != f"c{len(names):03d}":
            raise UserError(f"{file}:{number}: got {line!r}; expected 'c{len(names):03d} NAME'.")
        names.append(name.strip())
    return names
