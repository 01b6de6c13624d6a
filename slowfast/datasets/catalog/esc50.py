"""ESC-50 and ESC-10: audio files with a table of their classes and folds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slowfast.config import CfgNode, UserError
from slowfast.datasets.audio_dataset import AudioEvalDataset, AudioTrainDataset, build_audio_dataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.catalog.annotations import (
    Annotation,
    check_disjoint,
    entries_to_manifest,
    match_by_filename,
)
from slowfast.datasets.catalog.media_index import MediaIndex
from slowfast.datasets.catalog.split_files import (
    data_root,
    find_split_dir,
    read_csv_lines,
    require_fold,
    require_split,
)
from slowfast.datasets.files import MEDIA_SUFFIXES
from slowfast.datasets.manifest import Manifest

__all__ = ["esc10", "esc50"]

_LAYOUT = "audio/*.wav and meta/esc50.csv, or CLASS/file and meta.csv"
_FOLDERS = ("meta", "ESC-50-master/meta", "ESC-50/meta")
_FILES = ("esc50.csv", "meta.csv")
_COLUMNS = {"file": ("filename", "file"), "fold": ("fold",), "category": ("category", "label")}
"""What is needed, and what it is called; ``target`` and ``esc10`` are read where they are."""
_SPLITS = ("train", "test")


class _Sound(NamedTuple):
    """A line of the table."""

    file: str
    fold: int
    category: str
    target: str
    in_esc10: bool
    where: str


@DATASET_REGISTRY.register(splits=lambda cfg: set(_SPLITS), has_folds=True, sound_only=True)
def esc50(cfg: CfgNode, split: str) -> AudioTrainDataset | AudioEvalDataset:
    """Build a split of ESC-50, or of another folder with such a table.

    Args:
        cfg: The configuration; DATA.FOLD is the fold that is tested.
        split: "train", "test" or "gallery".

    Returns:
        The dataset.
    """
    return build_audio_dataset(cfg, _manifest(cfg, split, "esc50"), split)


@DATASET_REGISTRY.register(splits=lambda cfg: set(_SPLITS), has_folds=True, sound_only=True)
def esc10(cfg: CfgNode, split: str) -> AudioTrainDataset | AudioEvalDataset:
    """Build a split of ESC-10: the ten classes that the table of ESC-50 marks as such.

    Args:
        cfg: The configuration; DATA.FOLD is the fold that is tested.
        split: "train", "test" or "gallery".

    Returns:
        The dataset; labels count from 0 to 9.
    """
    return build_audio_dataset(cfg, _manifest(cfg, split, "esc10"), split)


def _manifest(cfg: CfgNode, split: str, name: str) -> Manifest:
    source = require_split(name, split, _SPLITS)
    root = data_root(cfg, _LAYOUT)
    folder = find_split_dir(cfg, root, _FOLDERS, _FILES)
    table = next(file for name in _FILES if (file := folder / name).exists())
    sounds = [sound for sound in _read_table(table) if sound.in_esc10 or name == "esc50"]
    if not sounds:
        raise UserError(f"{table}: it lists no file of {name}.")
    fold = require_fold(cfg, name, max(sound.fold for sound in sounds))
    names = _class_names(sounds)
    labels = {category: label for label, category in enumerate(names)}
    lists: dict[str, list[Annotation]] = {"train": [], "test": []}
    for sound in sounds:
        entry = Annotation(sound.file, labels[sound.category], sound.where)
        lists["test" if sound.fold == fold else "train"].append(entry)
    check_disjoint(lists["train"], lists["test"])
    locate = match_by_filename(MediaIndex(root, MEDIA_SUFFIXES))
    return entries_to_manifest(
        cfg, source, lists[source], locate, class_names=names, layout=_LAYOUT
    )


def _read_table(file: Path) -> Iterator[_Sound]:
    """Read a csv with a header."""
    lines = read_csv_lines(file)
    where, header = next(lines)
    columns = {
        name: next((word for word in words if word in header), "")
        for name, words in _COLUMNS.items()
    }
    if not all(columns.values()):
        raise UserError(
            f"{where}: expected a header with the columns file (or filename), fold, and category "
            f"(or label), got {','.join(header)!r}."
        )
    for where, cells in lines:
        row = dict(zip(header, cells, strict=False))
        fold = row.get("fold", "")
        if len(cells) != len(header) or not fold.isdigit() or int(fold) < 1:
            raise UserError(
                f"{where}: expected {len(header)} cells as in the header, and a fold from 1; got "
                f"{','.join(cells)!r}."
            )
        yield _Sound(
            file=row[columns["file"]],
            fold=int(fold),
            category=row[columns["category"]],
            target=row.get("target", ""),
            in_esc10=row.get("esc10", "true").lower() in ("true", "1"),
            where=where,
        )


def _class_names(sounds: list[_Sound]) -> list[str]:
    """Return the classes in the order of their official numbers, where there are such."""
    targets: dict[str, str] = {}
    for sound in sounds:
        known = targets.setdefault(sound.category, sound.target)
        if known != sound.target:
            raise UserError(
                f"{sound.where}: class {sound.category} is number {sound.target} here and {known} "
                "above."
            )
    if any(targets.values()) and len(set(targets.values())) < len(targets):
        raise UserError(f"{sounds[0].where}: two classes of the table have one number (target).")
    return sorted(targets, key=lambda name: (len(targets[name]), targets[name], name))
