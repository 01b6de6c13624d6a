"""Leaves out the files on the quarantine list when a split is read.

A dataset reads the lists of all checked folders (DATA.QUARANTINE_FILE_PATH ``auto``) or the named
one, and drops the rows of these files. A file whose size or modification time is no longer that of
the list is read again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from slowfast.config import CfgNode, ConfigValueError
from slowfast.datasets.annotations.manifest import Manifest, share_manifest
from slowfast.datasets.annotations.quarantine import (
    QUARANTINE_KEY,
    QuarantinedFile,
    RealPaths,
    known_lists,
    read_quarantine,
)
from slowfast.datasets.bad_media import record_missing
from slowfast.utils import distributed

__all__ = ["leave_out_quarantined"]

logger = logging.getLogger(__name__)

_AUTO = "auto"
_FOR_AUDIO = frozenset({"no_video"})
"""Codes of files that a dataset without video can use."""


def leave_out_quarantined(
    manifest: Manifest, cfg: CfgNode, split: str, *, audio_only: bool = False
) -> Manifest:
    """Drop the rows of a split whose files are on the quarantine list and have not changed since.

    They are recorded in ``bad_media.csv`` and do not count for DATA.MAX_BAD_FRACTION.

    Args:
        manifest: The files of the split.
        cfg: The configuration.
        split: Name of the split.
        audio_only: Whether the dataset reads only audio: files without video are kept.

    Returns:
        The same manifest if no file is dropped.

    Raises:
        ConfigValueError: If the named list cannot be read, or no file is left.
    """
    real_path = RealPaths()
    listed = _listed_files(cfg, real_path)
    if not listed:
        return manifest
    dropped: dict[str, tuple[QuarantinedFile, Path]] = {}
    kept, num_changed = [], 0
    names = {os.path.basename(path) for path in listed}  # noqa: PTH119
    for index in range(len(manifest)):
        path = manifest.path(index)
        name = path[path.rfind(os.sep) + 1 :]
        found = listed.get(real_path(path)) if name in names else None
        if found is not None and not (audio_only and found[0].code in _FOR_AUDIO):
            if path in dropped or not found[0].has_changed(path):
                dropped[path] = found
                continue
            num_changed += 1
        kept.append(index)
    _log(cfg, split, dropped, num_changed)
    if not dropped:
        return manifest
    if not kept:
        raise ConfigValueError(
            QUARANTINE_KEY,
            f"all {len(dropped)} files of the {split} split are on the quarantine list "
            f"({_named(file for _, file in dropped.values())}). Replace the files and check them "
            f'again, or read them nevertheless: {QUARANTINE_KEY} "".',
        )
    return share_manifest(manifest.take(kept))


def _log(
    cfg: CfgNode,
    split: str,
    dropped: dict[str, tuple[QuarantinedFile, Path]],
    num_changed: int,
) -> None:
    if dropped and distributed.is_main_process():
        reasons = ((path, f"in quarantine: {entry.reason}") for path, (entry, _) in dropped.items())
        record_missing(Path(cfg.OUTPUT_DIR), split, reasons)
    parts = []
    if dropped:
        count = "1 file" if len(dropped) == 1 else f"{len(dropped)} files"
        lists = _named(file for _, file in dropped.values())
        parts.append(
            f"skipping {count} that slowfast check could not read (list: {lists}; {QUARANTINE_KEY})"
        )
    if num_changed:
        parts.append(f"trying {num_changed} again, as they have changed since their check")
    if parts:
        logger.warning("%s split: %s", split, "; ".join(parts))


def _named(files: Iterable[Path]) -> str:
    return ", ".join(str(file) for file in dict.fromkeys(files))


def _listed_files(cfg: CfgNode, real_path: RealPaths) -> dict[str, tuple[QuarantinedFile, Path]]:
    """Return the quarantined files with their lists, by real path; later checks take precedence."""
    setting = cfg.DATA.QUARANTINE_FILE_PATH
    if not setting:
        return {}
    roots = [cfg.DATA.PATH_TO_DATA_DIR, cfg.DATA.PATH_PREFIX]
    roots = [str(Path(root).expanduser()) for root in roots if root]
    lists = known_lists() if setting == _AUTO else [("", Path(setting).expanduser())]
    listed: dict[str, tuple[QuarantinedFile, Path]] = {}
    for folder, file in lists:
        listed = {p: v for p, v in listed.items() if not Path(p).is_relative_to(folder)}
        for entry in read_quarantine(file):
            for root in ("",) if Path(entry.path).is_absolute() else roots:
                listed[real_path(os.path.join(root, entry.path))] = entry, file  # noqa: PTH118
    return listed
