"""Samples in WebDataset tars: members whose names are equal up to the first dot.

Media members are read in place, as slices of their tar. The label of a sample is its member
``.cls`` (a number, or a name listed in ``classes.txt``), or the entry ``label`` of its ``.json``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from slowfast.config import ConfigValueError, UserError
from slowfast.datasets.annotations.files import is_ignored, split_of, split_within
from slowfast.datasets.annotations.label_text import Label, parse_label
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.utils.io import cache_dir

__all__ = ["index_tars", "tars_in", "tars_of_split"]

logger = logging.getLogger(__name__)

Chosen = Callable[[str], bool]
"""Returns whether a sample, named ``TAR/KEY``, is selected."""


def tars_in(folder: Path) -> list[Path]:
    """Return the sorted tars of a folder, not including its subfolders.

    Args:
        folder: Any folder.

    Returns:
        The files.
    """
    there = folder.glob("*.tar")
    return sorted(file for file in there if file.is_file() and not is_ignored(file.name))


def tars_of_split(folder: Path, split: str) -> list[Path]:
    """Return the tars of a split: all of ``train/``, or ``train-000.tar``, ``a_train_0.tar``, ...

    Args:
        folder: The folder of the tars.
        split: "train", "val" or "test".

    Returns:
        The tars; empty if neither their names nor that of the folder contain the split.

    Raises:
        UserError: If some names contain a split and others do not.
    """
    tars = tars_in(folder)
    splits = [split_within(file.stem) for file in tars]
    if not any(splits):
        return tars if (split_of(folder.name) or split_within(folder.name)) == split else []
    if None in splits:
        stray = tars[splits.index(None)]
        raise ConfigValueError(
            "DATA.PATH_TO_DATA_DIR",
            f"the name of {stray} contains no split, but other tars next to it have one. "
            "Expected names such as train-000.tar, or folders train, val, test.",
        )
    return [file for file, name in zip(tars, splits, strict=True) if name == split]


def index_tars(
    tars: list[Path],
    suffixes: frozenset[str],
    class_names: list[str],
    chosen: Chosen | None = None,
    *,
    multi_label: bool = False,
) -> Manifest:
    """List the media members of tars; the index is cached until a tar changes.

    Args:
        tars: The tars, in order.
        suffixes: Suffixes of the members to list, lower case.
        class_names: The classes of ``classes.txt``; may be empty.
        chosen: The selection of samples; None: all.
        multi_label: DATA.MULTI_LABEL, whether a sample has a list of classes.

    Returns:
        The manifest, memory-mapped from the cache folder if that is writable.

    Raises:
        UserError: If a tar is damaged or compressed, or a label cannot be read.
    """
    stamps = [(str(tar.absolute()), tar.stat().st_size, tar.stat().st_mtime_ns) for tar in tars]
    what = json.dumps([1, stamps, sorted(suffixes), class_names] + ["lists"] * multi_label)
    folder = cache_dir() / "manifests" / f"tars-{hashlib.sha256(what.encode()).hexdigest()[:24]}"
    if chosen is None and folder.exists():
        return Manifest.open(folder)
    labels = {name: label for label, name in enumerate(class_names)}
    rows = (
        row
        for tar in tars
        for key, row in _read_tar(tar, suffixes, labels, multi_label)
        if chosen is None or chosen(f"{tar.name}/{key}")
    )
    manifest = Manifest.from_rows(rows, class_names)
    if chosen is not None or not len(manifest):
        return manifest
    try:
        manifest.save(folder)
        return Manifest.open(folder)
    except OSError as error:
        logger.warning("the index of the tars is not cached: cannot write %s: %s", folder, error)
        return manifest


def _read_tar(
    tar: Path, suffixes: frozenset[str], labels: Mapping[str, int], multi_label: bool
) -> Iterator[tuple[str, VideoRecord]]:
    """Yield key and row of each media member; members of a sample follow each other."""
    media: list[tuple[int, int]] = []
    last, label = "", Label()
    for file, member in _members(tar):
        name = PurePosixPath(member.name)
        if not member.isfile() or any(is_ignored(part) for part in name.parts if part != "."):
            continue
        key = str(name.parent / name.name.partition(".")[0])
        if key != last:
            yield from ((last, _row(tar, part, label)) for part in media)
            media, last, label = [], key, Label()
        suffix = name.suffix.lower()
        if suffix in suffixes:
            if member.issparse():
                raise UserError(f"{tar}: {member.name} is sparse, which cannot be read in place.")
            media.append((member.offset_data, member.size))
        elif suffix in (".cls", ".json"):
            text = _label_text(file, member, suffix, f"{tar}:{member.name}")
            where = f"{tar}:{member.name}"
            found = parse_label([text], labels, where, multi_label=multi_label)
            label = found if suffix == ".cls" or label == Label() else label
    yield from ((last, _row(tar, part, label)) for part in media)


def _members(tar: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    try:
        with tarfile.open(tar, "r:") as file:
            while (member := file.next()) is not None:
                yield file, member
                file.members = []  # type: ignore[attr-defined]  # possibly millions: keep none
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(
            f"{tar}: cannot be read as a tar: {error}. Expected: an uncompressed, complete tar."
        ) from error


def _row(tar: Path, part: tuple[int, int], label: Label) -> VideoRecord:
    return VideoRecord(str(tar), label.label, offset=part[0], size=part[1], labels=label.labels)


def _label_text(file: tarfile.TarFile, member: tarfile.TarInfo, suffix: str, where: str) -> str:
    content = file.extractfile(member)
    text = b"" if content is None else content.read()
    if suffix == ".cls":
        return text.decode(errors="replace").strip()
    try:
        facts: Any = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where}: not valid json: {error}.") from error
    value = facts.get("label", facts.get("labels")) if isinstance(facts, dict) else None
    if isinstance(value, list):
        return f"[{'|'.join(map(str, value))}]"
    return "" if value is None else str(value).strip()
