"""How a data folder is laid out, and the files of its splits.

Three layouts are recognized: ``SPLIT.csv`` (see ``csv_rows``); class folders
``SPLIT/CLASS/file``; and a plain folder of media files without labels, split by a hash of each
file's relative path. Splits may have any of the usual names, in letters of either case. Names that
start with a dot are not looked at, and a folder without media files is no class.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slowfast.config import UserError
from slowfast.datasets.csv_rows import CsvFormat, read_csv
from slowfast.datasets.manifest import NO_LABEL, Manifest, Row, share_manifest

__all__ = [
    "AUDIO_SUFFIXES",
    "MEDIA_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Layout",
    "find_layout",
    "load_manifest",
    "media_files",
]

VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".mpg", ".mpeg"),
        *(".ts", ".m2ts", ".mts", ".3gp", ".ogv", ".gif", ".vob"),
    )
)
"""Suffixes of video files, lower case."""

AUDIO_SUFFIXES = frozenset((".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac"))
"""Suffixes of sound files, lower case."""

MEDIA_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES
"""Suffixes of everything that can be read, lower case."""

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Names of csv files and folders, lower case -> the split they hold."""

logger = logging.getLogger(__name__)


class Layout(NamedTuple):
    """How a data folder is laid out.

    Attributes:
        kind: "csv", "class_folders" or "folder".
        sources: Split name -> csv file or folder. Only splits that exist.
    """

    kind: str
    sources: dict[str, Path]


def find_layout(root: Path) -> Layout:
    """Recognise how a data folder is laid out.

    Args:
        root: DATA.PATH_TO_DATA_DIR.

    Returns:
        The layout with the splits that exist.

    Raises:
        UserError: If the folder is missing, or two csv files or folders hold the same split.
    """
    if not root.is_dir():
        raise UserError(f"DATA.PATH_TO_DATA_DIR: no such folder: {root}.")
    csvs: dict[str, Path] = {}
    folders: dict[str, Path] = {}
    for entry in sorted(root.iterdir()):
        name = entry.name.lower()
        if name.removesuffix(".csv") in _SPLIT_NAMES and name.endswith(".csv") and entry.is_file():
            _add_split(csvs, name.removesuffix(".csv"), entry)
        elif name in _SPLIT_NAMES and entry.is_dir():
            _add_split(folders, name, entry)
    if csvs:
        return Layout("csv", csvs)
    if folders:
        return Layout("class_folders", folders)
    return Layout("folder", {"train": root, "test": root})


def _add_split(sources: dict[str, Path], name: str, path: Path) -> None:
    split = _SPLIT_NAMES[name]
    if split in sources:
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR: {sources[split]} and {path} both name the {split} split; "
            "rename or move one of them."
        )
    sources[split] = path


def load_manifest(
    root: Path,
    split: str,
    *,
    prefix: str = "",
    separator: str = " ",
    skip_rows: int = 0,
    test_fraction: float = 0.1,
    suffixes: frozenset[str] = MEDIA_SUFFIXES,
) -> Manifest:
    """List the files of one split.

    Args:
        root: DATA.PATH_TO_DATA_DIR.
        split: "train", "val" or "test". Where one of val and test is missing, test falls back to
            val; val does not fall back.
        prefix: DATA.PATH_PREFIX, for the relative paths of a csv.
        separator: DATA.PATH_LABEL_SEPARATOR.
        skip_rows: DATA.SKIP_ROWS.
        test_fraction: DATA.FOLDER_TEST_FRACTION, for a plain folder.
        suffixes: Of the files to list in folders, lower case.

    Returns:
        The manifest, memory-mapped from the cache folder where that can be written.

    Raises:
        UserError: If the split is missing or empty, or a row cannot be read.
    """
    layout = find_layout(root)
    source_split = "val" if split == "test" and "test" not in layout.sources else split
    source = layout.sources.get(source_split)
    if source is None:
        have = ", ".join(sorted(layout.sources)) or "none"
        raise UserError(f"DATA.PATH_TO_DATA_DIR: {root} has no {split} split (found: {have}).")
    class_names: list[str] = []
    if layout.kind == "csv":
        rows = read_csv(source, root, CsvFormat(prefix, separator, skip_rows, MEDIA_SUFFIXES))
    elif layout.kind == "class_folders":
        class_names = _class_names(layout, suffixes)
        rows = _class_folder_rows(source, class_names, suffixes)
    else:
        rows = _folder_rows(source, source_split, test_fraction, suffixes)
    manifest = Manifest.from_rows(rows, class_names)
    if not len(manifest):
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR: the {split} split of {root} ({layout.kind}: {source}) is "
            f"empty. Files are found by their suffix: {' '.join(sorted(suffixes))}."
        )
    classes = f"{len(class_names)} classes" if class_names else "no class names"
    logger.info(
        "%s split: %d files, %s, from %s (%s)",
        split,
        len(manifest),
        classes,
        source,
        layout.kind.replace("_", " "),
    )
    return share_manifest(manifest)


def media_files(folder: Path, suffixes: frozenset[str] = MEDIA_SUFFIXES) -> Iterator[str]:
    """Walk a folder in sorted order; dangling links are listed, so that they are reported.

    Args:
        folder: Where to start. Links to folders are followed, but not back to where they lie in.
        suffixes: Of the files wanted, lower case.

    Yields:
        Paths that start with ``folder``.
    """
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _is_loop(parent, name)
        )
        for name in sorted(files):
            dot = name.rfind(".")  # millions of files: no object for each
            if dot > 0 and name[0] != "." and name[dot:].lower() in suffixes:
                yield f"{parent}{os.sep}{name}"


def _is_loop(parent: str, name: str) -> bool:
    """Whether a folder is a link to one that holds it, which a walk would never leave."""
    path = Path(parent, name)
    return path.is_symlink() and Path(parent).resolve().is_relative_to(path.resolve())


def _class_names(layout: Layout, suffixes: frozenset[str]) -> list[str]:
    entries = [
        entry
        for folder in layout.sources.values()
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not entry.name.startswith(".")
    ]
    names = {e.name for e in entries if next(media_files(e, suffixes), None) is not None}
    empty = sorted({entry.name for entry in entries} - names)
    if empty and names:
        logger.warning("no class: folders without media files: %s", ", ".join(empty))
    return sorted(names)


def _class_folder_rows(
    folder: Path, class_names: list[str], suffixes: frozenset[str]
) -> Iterator[Row]:
    if not class_names:
        yield from (Row(path, NO_LABEL) for path in media_files(folder, suffixes))
    for label, name in enumerate(class_names):
        if (folder / name).is_dir():
            yield from (Row(path, label) for path in media_files(folder / name, suffixes))


def _folder_rows(
    root: Path, split: str, test_fraction: float, suffixes: frozenset[str]
) -> Iterator[Row]:
    for path in media_files(root, suffixes):
        digest = hashlib.blake2b(os.fsencode(os.path.relpath(path, root)), digest_size=8).digest()
        is_test = int.from_bytes(digest) < test_fraction * 2**64
        if is_test == (split == "test"):
            yield Row(path, NO_LABEL)
