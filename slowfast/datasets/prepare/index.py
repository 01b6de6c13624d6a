"""From checked files to ``train.csv``, ``val.csv``, ``test.csv`` and ``classes.txt``.

Folders named train, val and test are kept as splits. Otherwise the files of each class are split by
a hash of the seed and of their relative path without suffix: the same files and seed give the same
split, on any machine, for originals and for re-encoded copies. Duplicates stay in one split.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.config import UserError
from slowfast.datasets.annotations.files import (
    SPLITS,
    find_splits,
    folder_classes,
    unsplit,
)
from slowfast.datasets.annotations.manifest import NO_LABEL
from slowfast.datasets.inspect.duplicates import Duplicates
from slowfast.datasets.inspect.report import MediaReport
from slowfast.datasets.prepare.settings import IndexSettings
from slowfast.utils.io import atomic_path, read_record, write_json

__all__ = ["Index", "make_index", "write_index"]

_CLASSES, _RECORD = "classes.txt", "index.json"
_SAMPLED_FROM = 3
"""Of so many files of a class at least one goes to each split that is asked for."""


class _File(NamedTuple):
    """A file that is kept: ``name`` is its path below the folder, ``group`` its first duplicate."""

    path: str
    name: str
    group: str
    split: str | None
    label: int


class Index(NamedTuple):
    """What is written.

    Attributes:
        rows: Path and label of each file, by split; splits without files are left out.
        class_names: In the order of their labels; empty without labels.
        left_out: Paths of files that are in no split, by reason.
        remarks: What the user should know, a sentence each.
    """

    rows: dict[str, list[tuple[str, int]]]
    class_names: list[str]
    left_out: dict[str, list[str]]
    remarks: list[str]


def make_index(
    folder: Path,
    reports: Sequence[MediaReport],
    duplicates: Iterable[Duplicates],
    settings: IndexSettings,
) -> Index:
    """Decide which file goes to which split.

    Args:
        folder: Where the files are.
        reports: One per file, of level "sample" or "full".
        duplicates: The same files among them.
        settings: What to leave out, and how much goes where.

    Returns:
        The index.

    Raises:
        UserError: If the fractions leave nothing to train on, or no file is left.
    """
    val, test = settings.val_fraction, settings.test_fraction
    if min(val, test) < 0 or val + test >= 1:
        raise UserError(
            f"--val-fraction, --test-fraction: got {val:g} and {test:g}; expected shares from 0 "
            "on, together less than 1."
        )
    names = {report.path: os.path.relpath(report.path, folder.absolute()) for report in reports}
    folders = {Path(name).parts[0] for name in names.values() if len(Path(name).parts) > 1}
    splits = {name: split for split, name in find_splits(folders, folder).items()}
    if not splits:
        deque(unsplit(names, folder.absolute()), maxlen=0)  # raises where splits are further down
    classes = {} if settings.no_labels else folder_classes(names.values(), splits)
    class_names = sorted(set(classes.values()))
    groups = _groups(duplicates)
    has_videos = any(report.video is not None for report in reports)
    left_out: dict[str, list[str]] = defaultdict(list)
    files: list[_File] = []
    for report in reports:
        name, group = names[report.path], groups.get(report.path, report.path)
        split = splits.get(Path(name).parts[0])
        reason = _why_not(report, group, settings) or _why_nowhere(name, split, bool(splits))
        if not reason and has_videos and report.video is None:
            reason = "audio-only, among videos"
        if reason:
            left_out[reason].append(report.path)
            continue
        label = class_names.index(classes[name]) if name in classes else NO_LABEL
        files.append(_File(report.path, name, names.get(group, name), split, label))
    if not files:
        reasons = ", ".join(f"{reason} ({len(paths)})" for reason, paths in left_out.items())
        raise UserError(f"{folder}: no file is left for training: {reasons}.")
    if not splits:
        files = _assign_splits(files, settings)
    rows: dict[str, list[tuple[str, int]]] = {split: [] for split in SPLITS}
    for file in files:
        rows[file.split or ""].append((file.name if settings.relative else file.path, file.label))
    return Index(
        {split: chosen for split, chosen in rows.items() if chosen},
        class_names,
        dict(left_out),
        list(_remarks(files, class_names, has_splits=bool(splits))),
    )


def _groups(duplicates: Iterable[Duplicates]) -> dict[str, str]:
    """Map each file that has duplicates to the first of them."""
    first: dict[str, str] = {}

    def root(path: str) -> str:
        while first.get(path, path) != path:
            path = first[path]
        return path

    for group in duplicates:
        members = {*group.paths, *(root(path) for path in group.paths)}
        first |= dict.fromkeys(members, min(members))
    return {path: root(path) for path in first}


def _why_not(report: MediaReport, group: str, settings: IndexSettings) -> str:
    """Say why a file is left out, "" if it is kept."""
    if not report.is_usable:
        return "unusable"
    if settings.require_audio and not report.has_audio:
        return "without audio, or silent"
    if report.duration_sec < settings.min_sec:
        return f"shorter than {settings.min_sec:g} s"
    if settings.drop_duplicates and group != report.path:
        return "the same as another file"
    return ""


def _why_nowhere(name: str, split: str | None, has_splits: bool) -> str:
    if has_splits and split is None:
        return "next to the folders of the splits"
    return "a line break in its name" if "\n" in name or "\r" in name else ""


def _by_group(files: Iterable[_File]) -> list[list[_File]]:
    """Gather files that are the same."""
    groups: dict[str, list[_File]] = defaultdict(list)
    for file in files:
        groups[file.group].append(file)
    return list(groups.values())


def _assign_splits(files: Sequence[_File], settings: IndexSettings) -> list[_File]:
    """Split the files of every class; return the files in their order, each with its split."""
    by_label: dict[int, list[list[_File]]] = defaultdict(list)
    for same in _by_group(files):
        by_label[same[0].label].append(same)
    chosen: dict[_File, str] = {}
    for groups in by_label.values():
        groups.sort(key=lambda same: _hash(same[0].group, settings.seed))
        count = sum(len(same) for same in groups)
        num_test = _share(count, settings.test_fraction)
        num_val = _share(count, settings.val_fraction)
        taken = 0
        for same in groups:
            split = "test" if taken < num_test else "val" if taken < num_test + num_val else "train"
            chosen |= dict.fromkeys(same, split)
            taken += len(same)
    return [file._replace(split=chosen[file]) for file in files]


def _hash(name: str, seed: int) -> bytes:
    key = f"{seed}:".encode() + os.fsencode(os.path.splitext(name)[0])  # noqa: PTH122
    return hashlib.blake2b(key, digest_size=8).digest()


def _share(count: int, fraction: float) -> int:
    least = 1 if fraction > 0 and count >= _SAMPLED_FROM else 0
    return max(least, round(count * fraction))


def _remarks(
    files: Sequence[_File], class_names: Sequence[str], *, has_splits: bool
) -> Iterable[str]:
    if has_splits:
        yield "The splits are the folders train, val and test; no random split was made."
    if not class_names:
        yield "No labels: some files are in no class folder, or --no-labels is set."
    elif unlabeled := sorted({file.split or "" for file in files if file.label == NO_LABEL}):
        yield f"No labels in {', '.join(unlabeled)}: files there are in no class folder."
    groups = _by_group(files)
    torn = [same for same in groups if len({file.split for file in same}) > 1]
    if torn:
        yield (
            f"Duplicates are in several splits ({len(torn)}), {_named(torn[0])} for "
            "example: results on training files are too high. See --drop-duplicates."
        )
    mixed = [same for same in groups if len({file.label for file in same} - {NO_LABEL}) > 1]
    if mixed:
        example = _named(mixed[0])
        yield f"Duplicates have several labels ({len(mixed)}), {example} for example."
    trained = {file.label for file in files if file.split == "train"}
    missing = [name for label, name in enumerate(class_names) if label not in trained]
    if missing:
        yield f"Nothing to train on for classes ({len(missing)}): {', '.join(missing[:5])}."


def _named(files: Sequence[_File]) -> str:
    return " and ".join(file.name for file in files[:2])


def write_index(out: Path, index: Index, *, folder: Path, overwrite: bool = False) -> list[Path]:
    """Write the csv files, the names of the classes, and a record of what was written.

    Args:
        out: Where to; created.
        index: What to write.
        folder: Where the files are, for the record.
        overwrite: Replace files that were not written by this function.

    Returns:
        The files written. Those of an earlier index that are not wanted any more are removed.

    Raises:
        UserError: If a file is there that was not written by this function, or changed since.
    """
    texts = {f"{split}.csv": _csv_text(rows) for split, rows in index.rows.items()}
    if index.class_names:
        texts[_CLASSES] = "".join(f"{name}\n" for name in index.class_names)
    record = out / _RECORD
    written = read_record(record, files=dict).get("files", {})
    own_names = [*(f"{split}.csv" for split in SPLITS), _CLASSES]
    for file in (out / name for name in own_names):
        if file.exists() and not overwrite and written.get(file.name) != _digest(file):
            raise UserError(
                f"--out: {file} was not written by this command, or was changed since. Move it "
                "away, choose another folder, or add --overwrite."
            )
    for name in own_names:
        (out / name).unlink(missing_ok=True)
    for name, text in texts.items():
        with atomic_path(out / name) as temporary:
            temporary.write_bytes(os.fsencode(text))
    counts = {split: len(rows) for split, rows in index.rows.items()}
    digests = {name: _digest(out / name) for name in texts}
    write_json(record, {"folder": str(folder), "counts": counts, "files": digests})
    return [out / name for name in texts]


def _csv_text(rows: Iterable[tuple[str, int]]) -> str:
    return "".join(f"{_quoted(path)} {label}\n" for path, label in rows)


def _quoted(path: str) -> str:
    """Quote a path that would be taken for a quoted one."""
    return '"' + path.replace('"', '""') + '"' if path.startswith('"') else path


def _digest(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
