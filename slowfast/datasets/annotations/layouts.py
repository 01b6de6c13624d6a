"""Detection of the layout of a data folder, and the files of its splits.

Four layouts are recognized: ``SPLIT.csv`` (see ``csv_rows``); class folders
``SPLIT/CLASS/file``; WebDataset tars (see ``tars``); and a plain folder of media files without
labels, which are split by a hash of their relative paths. The rules for splits, classes and media
files are in ``files``.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from slowfast.config import ConfigValueError, UserError
from slowfast.datasets.annotations.csv_rows import (
    CsvFormat,
    read_classes,
    read_csv,
    splits_in,
)
from slowfast.datasets.annotations.files import (
    MEDIA_SUFFIXES,
    OWN_TABLES,
    SPLITS,
    VIDEO_SUFFIXES,
    class_folders,
    find_splits,
    is_ignored,
    is_media,
    media_files,
    subfolders,
    unsplit,
)
from slowfast.datasets.annotations.label_text import CLASSES_FILE
from slowfast.datasets.annotations.list_index import indexed_manifest, indexed_value
from slowfast.datasets.annotations.manifest import NO_LABEL, Manifest, VideoRecord, share_manifest
from slowfast.datasets.annotations.tars import index_tars, tars_in, tars_of_split
from slowfast.utils.io import name_some

__all__ = ["Layout", "find_layout", "load_manifest", "pick_split"]

logger = logging.getLogger(__name__)


class Layout(NamedTuple):
    """The layout of a data folder.

    Attributes:
        kind: "csv", "class_folders", "tars" or "folder".
        sources: The csv file or folder of each split that exists.
        unread: Names of folders, and of csv and media files next to them, that belong to no split.
    """

    kind: str
    sources: dict[str, Path]
    unread: tuple[str, ...] = ()


def find_layout(root: Path, form: CsvFormat | None = None) -> Layout:
    """Detect the layout of a data folder.

    Args:
        root: DATA.PATH_TO_DATA_DIR.
        form: Settings of reading a csv; None: the defaults.

    Returns:
        The layout with the splits that exist.

    Raises:
        UserError: If the folder is missing, or several files or folders stand for the same split.
    """
    if not root.is_dir():
        raise ConfigValueError("DATA.PATH_TO_DATA_DIR", f"no such folder: {root}.")
    csvs = {
        entry.stem: entry
        for entry in sorted(root.iterdir())
        if entry.suffix.lower() == ".csv" and _may_list(entry.name) and entry.is_file()
    }
    by_name = find_splits(csvs, root)
    if by_name:
        unread = sorted(csvs[name].name for name in csvs.keys() - set(by_name.values()))
        return Layout("csv", {s: csvs[name] for s, name in by_name.items()}, tuple(unread))
    if listed := _list_of_all_splits(csvs.values(), form or CsvFormat()):
        return listed
    folders = subfolders(root)
    found = find_splits(folders, root)
    loose = sorted(e.name for e in os.scandir(root) if is_media(e.name)) if found else []
    others = (
        *(f for f in folders if f not in found.values()),
        *(f.name for f in csvs.values()),
        *loose,
    )
    if found and all(tars_in(root / name) for name in found.values()):
        return Layout("tars", {s: root / name for s, name in found.items()}, others)
    if found:
        return Layout("class_folders", {s: root / name for s, name in found.items()}, others)
    if tars_in(root):
        there = [s for s in SPLITS if tars_of_split(root, s)] or ["train", "test"]
        return Layout("tars", dict.fromkeys(there, root), tuple(folders))
    return Layout("folder", {"train": root, "test": root}, tuple(f.name for f in csvs.values()))


def _may_list(name: str) -> bool:
    return not is_ignored(name) and name not in OWN_TABLES


def load_manifest(
    root: Path,
    split: str,
    form: CsvFormat | None = None,
    *,
    test_fraction: float = 0.1,
    suffixes: frozenset[str] = VIDEO_SUFFIXES,
    lists: Path | None = None,
) -> Manifest:
    """List the files of one split and log the detected layout.

    Args:
        root: DATA.PATH_TO_DATA_DIR.
        split: "train", "val" or "test". If there is no test split, "test" falls back to "val".
        form: Settings of reading a csv.
        test_fraction: DATA.FOLDER_TEST_FRACTION, for a plain folder.
        suffixes: Suffixes of the files to list in folders: video files, or all media files.
        lists: DATA.PATH_TO_SPLIT_DIR, the folder of the csv files; None: ``root``.

    Returns:
        The manifest, memory-mapped from the cache folder if that is writable.

    Raises:
        UserError: If the split is missing or empty, or a row cannot be read.
    """
    form = form or CsvFormat()
    layout = find_layout(lists or root, form)
    source_split, source = pick_split(layout, lists or root, split)
    class_names: list[str] = []
    if layout.kind in ("csv", "tars"):
        class_names = read_classes((lists or root) / CLASSES_FILE)
        form = form._replace(labels={name: label for label, name in enumerate(class_names)})
    if layout.kind == "tars":
        return _tar_manifest(layout, source_split, form, class_names, suffixes, test_fraction)
    if layout.kind == "csv":
        manifest = _csv_manifest(source, root, form, source_split, class_names)
    elif layout.kind == "class_folders":
        class_names = _class_names(layout, suffixes)
        manifest = Manifest.from_rows(
            _class_folder_rows(source, class_names, suffixes), class_names
        )
    else:
        manifest = Manifest.from_rows(
            _folder_rows(source, source_split, test_fraction, suffixes), class_names
        )
    if not len(manifest):
        raise UserError(_describe_empty(root, split, layout, source, suffixes))
    _log(manifest, source_split, layout, source, form)
    return manifest if manifest.folder is not None else share_manifest(manifest)


def _csv_manifest(
    file: Path, root: Path, form: CsvFormat, split: str, class_names: list[str]
) -> Manifest:
    """Read a csv, or its index."""
    where = (str(root.absolute()), str(Path.cwd()))  # relative paths depend on both
    return indexed_manifest(
        file,
        repr((where, split, class_names, _settings(form))),
        lambda: Manifest.from_rows(read_csv(file, root, form, split), class_names),
    )


def _settings(form: CsvFormat) -> CsvFormat:
    """Return settings whose text is always the same; labels are those of ``class_names``."""
    return form._replace(suffixes=tuple(sorted(form.suffixes)), labels={})  # type: ignore[arg-type]


def pick_split(layout: Layout, root: Path, split: str) -> tuple[str, Path]:
    """Return a split and its source; "test" falls back to "val".

    Args:
        layout: The layout.
        root: The folder, for the error message.
        split: "train", "val" or "test".

    Returns:
        The name of the split, and its csv file or folder.

    Raises:
        UserError: If the split does not exist.
    """
    name = "val" if split == "test" and "test" not in layout.sources else split
    if name not in layout.sources:
        have = ", ".join(sorted(layout.sources)) or "none"
        raise ConfigValueError(
            "DATA.PATH_TO_DATA_DIR", f"{root} has no {split} split (found: {have})."
        )
    return name, layout.sources[name]


def _tar_manifest(
    layout: Layout,
    split: str,
    form: CsvFormat,
    class_names: list[str],
    suffixes: frozenset[str],
    test_fraction: float,
) -> Manifest:
    """List the samples of WebDataset tars."""
    source = layout.sources[split]
    tars = tars_of_split(source, split)
    chosen = None if tars else (lambda name: _is_test(name, test_fraction) == (split == "test"))
    manifest = index_tars(
        tars or tars_in(source), suffixes, class_names, chosen, multi_label=form.multi_label
    )
    if not len(manifest):
        raise ConfigValueError(
            "DATA.PATH_TO_DATA_DIR",
            f"the {split} split, tars of {source}, is empty. Members with "
            f"these suffixes are read: {' '.join(sorted(suffixes))}.",
        )
    _log(manifest, split, layout, source, form)
    return manifest


def _is_test(name: str, test_fraction: float) -> bool:
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8).digest()
    return int.from_bytes(digest) < test_fraction * 2**64


def _list_of_all_splits(csvs: Iterable[Path], form: CsvFormat) -> Layout | None:
    """Find the csv that has a column ``split``."""
    named = {file: _splits_of(file, form) for file in csvs}
    lists = [file for file, splits in named.items() if splits]
    if len(lists) > 1:
        raise ConfigValueError(
            "DATA.PATH_TO_DATA_DIR",
            "several csv files have a column split: "
            f"{', '.join(map(str, lists))}. Keep one of them.",
        )
    if not lists:
        return None
    unread = tuple(file.name for file in named if file not in lists)
    return Layout("csv", {s: lists[0] for s in SPLITS if s in named[lists[0]]}, unread)


def _splits_of(file: Path, form: CsvFormat) -> list[str]:
    """Return the splits in the column ``split`` of a csv, from its index if there is one."""
    dialect = form.dialect(file)
    if "split" not in (dialect.columns or ()):
        return []
    what = repr(("splits", _settings(form)))
    splits: list[str] = indexed_value(file, what, lambda: splits_in(file, form, dialect))
    return splits


def _log(manifest: Manifest, split: str, layout: Layout, source: Path, form: CsvFormat) -> None:
    num_classes = len(manifest.class_names) or len(manifest.summary.class_counts)
    how = {
        "csv": lambda: f"csv, columns: {form.dialect(source)}",
        "class_folders": lambda: "a folder per class" if manifest.class_names else "no classes",
        "tars": lambda: "WebDataset tars, read in place",
        "folder": lambda: "no folders of splits, see DATA.FOLDER_TEST_FRACTION",
    }[layout.kind]()
    unlabeled = len(manifest) - manifest.summary.num_labeled
    labels = f" of {num_classes} classes" if unlabeled < len(manifest) else " without labels"
    logger.info(
        "%s split: %d files%s%s from %s (%s); splits: %s%s",
        split,
        len(manifest),
        f", {unlabeled} of them without label," if 0 < unlabeled < len(manifest) else "",
        labels,
        source,
        how,
        ", ".join(f"{name} ({path.name})" for name, path in layout.sources.items()),
        f"; not read: {name_some(layout.unread)}" if layout.unread else "",
    )


def _describe_empty(
    root: Path, split: str, layout: Layout, source: Path, suffixes: frozenset[str]
) -> str:
    text = f"DATA.PATH_TO_DATA_DIR: the {split} split of {root} ({layout.kind}: {source}) is empty."
    if layout.kind == "csv":
        return text
    if layout.kind == "folder" and (count := sum(1 for _ in media_files(source, suffixes))):
        return (
            f"{text} All {count} files are in the other split: DATA.FOLDER_TEST_FRACTION is the "
            "fraction for testing; change it, or add files."
        )
    others = sum(1 for _ in media_files(source, MEDIA_SUFFIXES - suffixes))
    hint = f" It has {others} audio-only files: use the dataset audio_folder for them."
    found = f" Files with these suffixes are read: {' '.join(sorted(suffixes))}."
    return text + (hint if others else "") + found


def _class_names(layout: Layout, suffixes: frozenset[str]) -> list[str]:
    """Return the sorted names of the classes of all splits: folders that contain media files."""
    names: set[str] = set()
    empty: set[str] = set()
    for folder in layout.sources.values():
        with_media, without = class_folders(folder, suffixes)
        names |= set(with_media)
        empty |= set(without)
    if empty - names:
        logger.warning(
            "%d folders without media files are not used as classes: %s",
            len(empty - names),
            ", ".join(sorted(empty - names)[:5]),
        )
    return sorted(names)


def _class_folder_rows(
    folder: Path, class_names: list[str], suffixes: frozenset[str]
) -> Iterator[VideoRecord]:
    if not class_names or not class_folders(folder, suffixes)[0]:  # the test split of Kinetics
        yield from (
            VideoRecord(path, NO_LABEL) for path in media_files(folder, suffixes, frames=True)
        )
        return
    stray = [e.name for e in os.scandir(folder) if is_media(e.name, suffixes)]
    if stray:
        logger.warning(
            "%s: skipped %d files that are in no class folder, e.g. %s",
            folder,
            len(stray),
            min(stray),
        )
    for label, name in enumerate(class_names):
        if (folder / name).is_dir():
            yield from (
                VideoRecord(path, label)
                for path in media_files(folder / name, suffixes, frames=True)
            )


def _folder_rows(
    root: Path, split: str, test_fraction: float, suffixes: frozenset[str]
) -> Iterator[VideoRecord]:
    for path in unsplit(media_files(root, suffixes, frames=True), root):
        if _is_test(os.path.relpath(path, root), test_fraction) == (split == "test"):
            yield VideoRecord(path, NO_LABEL)
