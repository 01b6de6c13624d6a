"""Data folders of empty files, the configuration that reads them, and what is listed then."""

from __future__ import annotations

import math
from pathlib import Path

from slowfast.config import get_cfg
from slowfast.datasets.annotations.manifest import Manifest


def touch(path: Path) -> Path:
    """Make an empty file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def write(path: Path, *lines: str) -> Path:
    """Write a list, one entry a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def data_cfg(root: Path, *words: object):
    """Make a configuration for a data folder; its OUTPUT_DIR is next to it."""
    cfg = get_cfg()
    cfg.merge_from_list(["DATA.PATH_TO_DATA_DIR", str(root), "AUDIO.ENABLE", "True"])
    cfg.merge_from_list(["OUTPUT_DIR", str(root.parent / "output"), *map(str, words)])
    return cfg


def listed(manifest: Manifest) -> list[tuple[str, int]]:
    """Return path and label of each row."""
    return [(manifest.path(i), manifest.label(i)) for i in range(len(manifest))]


def names(manifest: Manifest) -> list[tuple[str, int]]:
    """Return file name and label of each row."""
    return [(Path(path).name, label) for path, label in listed(manifest)]


def windows(manifest: Manifest) -> list[tuple[float, float]]:
    """Return the window of each row."""
    rows = [manifest.row(i) for i in range(len(manifest))]
    return [(row.start_sec, row.end_sec) for row in rows]


WHOLE = (0.0, math.inf)
