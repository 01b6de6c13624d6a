"""Checkpoints in PySlowFast's layout and names, written atomically, holding plain values only.

``OUTPUT_DIR/checkpoints/checkpoint_epoch_00010.pyth`` after ten completed epochs;
``checkpoint_epoch_00010_iter_00000120.pyth`` when a run was stopped 120 iterations into the next.
A file holds ``epoch`` (0-based number of the last completed epoch), ``iteration`` (of the current
one), ``model_state``, ``optimizer_state``, ``scaler_state``, ``cfg`` (text), ``class_names``,
``rng_states`` (one per rank) and ``world_size``. ``checkpoint_best.pyth``, which
TEST.BEST_CHECKPOINT keeps, also has ``best``: the name and value of the metric. The SHA-256 of a
file is next to it, in ``NAME.sha256``.
"""

from __future__ import annotations

import functools
import glob
import logging
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from slowfast.config.problems import UserError
from slowfast.pyslowfast_names import names_of
from slowfast.utils.io import atomic_path, file_sha256, flush_to_disk, is_being_written
from slowfast.utils.pretrained_folder import WEIGHTS_NAME, is_pretrained_folder, read_pretrained
from slowfast.utils.safe_load import safe_load

__all__ = [
    "FoundCheckpoint",
    "best_checkpoint_path",
    "checkpoint_path",
    "find_last_checkpoint",
    "list_checkpoints",
    "read_checkpoint_file",
    "remove_checkpoint",
    "remove_drafts",
    "unwrap_model",
    "write_checkpoint_file",
]

logger = logging.getLogger(__name__)

_FOLDER = "checkpoints"
_NAME = re.compile(r"checkpoint_epoch_(\d+)(?:_iter_(\d+))?\.pyth$")


def unwrap_model(model: nn.Module) -> nn.Module:
    """Find the model inside a distributed wrapper.

    Args:
        model: Wrapped or not.

    Returns:
        The model itself.
    """
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def checkpoint_path(output_dir: Path, epochs_done: int, iteration: int = 0, task: str = "") -> Path:
    """Name a checkpoint.

    Args:
        output_dir: OUTPUT_DIR.
        epochs_done: Completed epochs.
        iteration: Iterations of the epoch after them.
        task: TASK; a prefix of the name when not empty.

    Returns:
        The path. Checkpoint names sort in the order of training.
    """
    prefix = f"{task}_" if task else ""
    suffix = f"_iter_{iteration:08d}" if iteration else ""
    return output_dir / _FOLDER / f"{prefix}checkpoint_epoch_{epochs_done:05d}{suffix}.pyth"


def best_checkpoint_path(output_dir: Path, task: str = "") -> Path:
    """Name the checkpoint with the best validation (TEST.BEST_CHECKPOINT).

    Args:
        output_dir: OUTPUT_DIR.
        task: TASK; a prefix of the name when not empty.

    Returns:
        The path. ``find_last_checkpoint`` does not find it: a run resumes from its newest.
    """
    return output_dir / _FOLDER / f"{f'{task}_' if task else ''}checkpoint_best.pyth"


class FoundCheckpoint(NamedTuple):
    """A checkpoint of a run.

    Attributes:
        epochs_done: Completed epochs.
        iteration: Iterations of the epoch after them.
        path: The file.
    """

    epochs_done: int
    iteration: int
    path: Path


def list_checkpoints(output_dir: Path, task: str = "") -> list[FoundCheckpoint]:
    """List the checkpoints of a run, damaged ones, too.

    Args:
        output_dir: OUTPUT_DIR.
        task: TASK of the run; checkpoints of other tasks are ignored.

    Returns:
        The newest first.
    """
    prefix = f"{task}_" if task else ""
    found = []
    for path in (output_dir / _FOLDER).glob(f"{glob.escape(prefix)}checkpoint_epoch_*.pyth"):
        match = _NAME.fullmatch(path.name.removeprefix(prefix))
        if match:
            found.append(FoundCheckpoint(int(match[1]), int(match[2] or 0), path))
    return sorted(found, reverse=True)


def find_last_checkpoint(output_dir: Path, task: str = "") -> Path | None:
    """Find the newest intact checkpoint of a run; a warning names each damaged one.

    Args:
        output_dir: OUTPUT_DIR.
        task: TASK of the run; checkpoints of other tasks are ignored.

    Returns:
        The newest intact checkpoint, or None if there is no checkpoint.

    Raises:
        UserError: If all of them are damaged.
    """
    found = list_checkpoints(output_dir, task)
    for checkpoint in found:
        if not _damage_of(checkpoint.path):
            return checkpoint.path
    if found:
        raise UserError(
            f"all {len(found)} checkpoints in {output_dir / _FOLDER} are damaged (the newest: "
            f"{_damage_of(found[0].path)}). Restore one of them, or remove them to start again."
        )
    return None


def _damage_of(path: Path) -> str:
    """Return why a file is not intact, "" if it is."""
    try:
        stat = path.stat()
        side = _hash_file(path)
        recorded = side.read_text(encoding="ascii", errors="replace") if side.is_file() else ""
    except OSError as error:
        return str(error)
    return _find_damage(path, recorded.split(" ")[0], stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _find_damage(path: Path, recorded: str, size: int, changed: int) -> str:
    """Check a file once; log what is wrong."""
    damage = ""
    if size == 0:
        damage = "it is empty"
    elif re.fullmatch("[0-9a-f]{64}", recorded):
        is_same = file_sha256(path) == recorded
        damage = "" if is_same else f"its SHA-256 is not that of {_hash_file(path).name}"
    else:
        with path.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        if is_zip and not zipfile.is_zipfile(path):
            damage = "it is truncated"
    if damage:
        logger.warning("%s is damaged: %s. The checkpoint before it is used", path, damage)
    return damage


def _hash_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint and its hash.

    Args:
        path: The file; it may be missing.
    """
    path.unlink(missing_ok=True)
    _hash_file(path).unlink(missing_ok=True)


def remove_drafts(output_dir: Path) -> None:
    """Remove temporary files of checkpoints that a killed process left.

    Args:
        output_dir: OUTPUT_DIR of a run that no other process writes to.
    """
    for path in (output_dir / _FOLDER).glob(".*checkpoint*.tmp"):
        if not is_being_written(path):  # by another trainer of this process, in the background
            logger.info("removed %s, the rest of an interrupted save", path)
            path.unlink(missing_ok=True)


def write_checkpoint_file(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint and its SHA-256 atomically: a crash never leaves a partial file.

    Args:
        path: From ``checkpoint_path``.
        content: Tensors, plain numbers, strings and containers of them.
    """
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
        flush_to_disk(temporary)
        digest = file_sha256(temporary)
        _hash_file(path).unlink(missing_ok=True)  # a crash in between leaves no wrong hash
    with atomic_path(_hash_file(path)) as temporary:
        temporary.write_text(f"{digest}  {path.name}\n", encoding="ascii")
        flush_to_disk(temporary)
    flush_to_disk(path.parent)
    logger.info("saved %s", path)


def read_checkpoint_file(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint of any zoo on the CPU, without running code from the file.

    Args:
        path: A file of torch or safetensors, a pickle of Caffe2's blobs, a folder in Hugging Face's
            layout, or the OUTPUT_DIR of a run, which stands for its newest checkpoint.

    Returns:
        What was saved; Caffe2's blobs as tensors under ``blobs``.

    Raises:
        UserError: If the file is missing, damaged, or would run code.
    """
    path = Path(path)
    folder = path.parent if path.name == WEIGHTS_NAME else path
    if is_pretrained_folder(folder):
        return read_pretrained(folder)
    if path.is_dir():
        last = find_last_checkpoint(path)
        if last is None:
            raise UserError(
                f"no checkpoint in {path / _FOLDER}. Name a file, the OUTPUT_DIR of a run, or a "
                "folder that slowfast export --format hf has written."
            )
        path = last
    if not path.is_file():
        raise UserError(f"checkpoint not found: {path}.")
    content = safe_load(path)
    if not isinstance(content, dict):
        raise UserError(
            f"{path} holds a {type(content).__name__}, expected a dict of tensors. Save the "
            "state_dict() of a model with torch.save."
        )
    return content


if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
