"""Official split files: finding and reading them, and which of their folds is meant."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.utils.io import text_encoding

__all__ = [
    "data_root",
    "find_split_dir",
    "media_root",
    "read_csv_lines",
    "read_json_file",
    "read_lines",
    "require_fold",
    "require_split",
]


def data_root(cfg: CfgNode, layout: str) -> Path:
    """Return the data folder.

    Returns:
        DATA.PATH_TO_DATA_DIR.

    Raises:
        UserError: If it is empty or missing.
    """
    if not cfg.DATA.PATH_TO_DATA_DIR:
        raise UserError(f"DATA.PATH_TO_DATA_DIR is empty: name a folder with {layout}.")
    root = Path(cfg.DATA.PATH_TO_DATA_DIR).expanduser()
    if not root.is_dir():
        raise ConfigValueError("DATA.PATH_TO_DATA_DIR", f"no such folder: {root}.")
    return root


def media_root(cfg: CfgNode, layout: str) -> Path:
    """Return the folder below which listed files are looked up.

    Returns:
        DATA.PATH_PREFIX, or DATA.PATH_TO_DATA_DIR if that is empty.

    Raises:
        UserError: If it is missing.
    """
    if not cfg.DATA.PATH_PREFIX:
        return data_root(cfg, layout)
    root = Path(cfg.DATA.PATH_PREFIX).expanduser()
    if not root.is_dir():
        raise ConfigValueError("DATA.PATH_PREFIX", f"no such folder: {root}.")
    return root


def find_split_dir(cfg: CfgNode, root: Path, folders: Sequence[str], files: Sequence[str]) -> Path:
    """Find the folder of the official split files.

    Args:
        cfg: The configuration.
        root: The data folder.
        folders: Official names of the folder, relative to the root, which itself is tried first.
        files: Names of files of which it must hold one; ``*`` stands for anything.

    Returns:
        DATA.PATH_TO_SPLIT_DIR, or the folder found inside of the data folder.

    Raises:
        UserError: If no folder holds such a file.
    """
    named = cfg.DATA.PATH_TO_SPLIT_DIR
    tried = [Path(named).expanduser()] if named else [root, *(root / name for name in folders)]
    for folder in tried:
        if any(next(folder.glob(pattern), None) for pattern in files):
            return folder
    raise ConfigValueError(
        "DATA.PATH_TO_SPLIT_DIR",
        f"found no {' or '.join(files)} in "
        f"{' or '.join(map(str, tried))}. Name the folder of the official split files.",
    )


def require_fold(cfg: CfgNode, name: str, num_folds: int) -> int:
    """Return the fold asked for.

    Args:
        cfg: The configuration.
        name: Name of the dataset.
        num_folds: How many it has; 0: it has none.

    Returns:
        DATA.FOLD, from 1; 0 for a dataset without folds.

    Raises:
        UserError: If there is no such fold.
    """
    fold = cfg.DATA.FOLD
    if not num_folds and fold:
        raise ConfigValueError(
            "DATA.FOLD", f"got {fold}, but the dataset {name} has no folds; use 0."
        )
    if num_folds and not 1 <= fold <= num_folds:
        raise ConfigValueError(
            "DATA.FOLD", f"the dataset {name} has folds 1 to {num_folds}; got {fold}. Choose one."
        )
    return fold


def require_split(name: str, split: str, known: Iterable[str]) -> str:
    """Return the split whose files are to be listed.

    Args:
        name: Name of the dataset.
        split: One of ``build.SPLITS``.
        known: Splits that the dataset has.

    Returns:
        The split; "train" for "gallery".

    Raises:
        UserError: If the dataset does not have it.
    """
    source = "train" if split == "gallery" else split
    if source not in known:
        have = ", ".join(sorted(known)) or "none"
        raise UserError(f"the dataset {name} has no {source} split (it has: {have}).")
    return source


def read_lines(file: Path) -> Iterator[tuple[str, str]]:
    """Read the lines of a list that are not empty.

    Yields:
        ``file:line``, and the line without space around it.

    Raises:
        UserError: If the file is missing or has no such line.
    """
    is_empty = True
    with _open(file) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                is_empty = False
                yield f"{file}:{number}", line.strip()
    if is_empty:
        raise UserError(f"{file}: the list is empty.")


def read_csv_lines(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Read a csv; lines that are empty or start with ``#`` are left out.

    Args:
        file: The csv; spaces after its commas are ignored.

    Yields:
        ``file:line``, and the stripped values.

    Raises:
        UserError: If the file is missing or has no such line.
    """
    for where, line in read_lines(file):
        if not line.startswith("#"):
            values = next(csv.reader([line], skipinitialspace=True))
            yield where, [value.strip() for value in values]


def read_json_file(file: Path, kind: type) -> Any:
    """Read a json file.

    Args:
        file: The file.
        kind: ``list`` or ``dict``, what it must hold.

    Returns:
        Its content.

    Raises:
        UserError: If it is missing, no json, or holds something else or nothing.
    """
    with _open(file) as text:
        try:
            content = json.load(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{file}:{error.lineno}: not valid json: {error.msg}.") from error
    if not isinstance(content, kind):
        raise UserError(f"{file}: expected a json {kind.__name__}, got {type(content).__name__}.")
    if not content:
        raise UserError(f"{file}: the list is empty.")
    return content


def _open(file: Path) -> Any:
    try:
        encoding = text_encoding(file)
        errors = "surrogateescape" if encoding == "utf-8-sig" else "replace"
        return file.open(encoding=encoding, errors=errors, newline="")
    except OSError as error:
        raise UserError(
            f"{file}: cannot read the split file: {error.strerror}. It belongs to the official "
            "split files; DATA.PATH_TO_SPLIT_DIR names their folder."
        ) from error
