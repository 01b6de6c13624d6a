"""Checkpoints in PySlowFast's layout and names, written atomically, holding plain values only.

``OUTPUT_DIR/checkpoints/checkpoint_epoch_00010.pyth`` after ten completed epochs;
``checkpoint_epoch_00010_iter_00000120.pyth`` when a run was stopped 120 iterations into the next.
A file holds ``epoch`` (0-based number of the last completed epoch), ``iteration`` (of the current
one), ``model_state``, ``optimizer_state``, ``scaler_state``, ``cfg`` (text), ``class_names``,
``rng_states`` (one per rank) and ``world_size``. ``checkpoint_best.pyth``, which
TEST.BEST_CHECKPOINT keeps, also has ``best``: the name and value of the metric.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from slowfast.config.problems import UserError
from slowfast.pyslowfast_names import names_of
from slowfast.utils.io import atomic_path
from slowfast.utils.safe_load import safe_load

__all__ = [
    "best_checkpoint_path",
    "checkpoint_path",
    "find_last_checkpoint",
    "read_checkpoint_file",
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


def find_last_checkpoint(output_dir: Path, task: str = "") -> Path | None:
    """Find the newest checkpoint of a run.

    Args:
        output_dir: OUTPUT_DIR.
        task: TASK of the run; checkpoints of other tasks are ignored.

    Returns:
        The newest checkpoint, or None.
    """
    prefix = f"{task}_" if task else ""
    found = []
    for path in (output_dir / _FOLDER).glob(f"{prefix}checkpoint_epoch_*.pyth"):
        match = _NAME.fullmatch(path.name.removeprefix(prefix))
        if match:
            found.append((int(match[1]), int(match[2] or 0), path))
    return max(found)[2] if found else None


def write_checkpoint_file(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint atomically: a crash never leaves a partial file.

    Args:
        path: From ``checkpoint_path``.
        content: Tensors, plain numbers, strings and containers of them.
    """
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
    logger.info("saved %s", path)


def read_checkpoint_file(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint of any zoo on the CPU, without running code from the file.

    Args:
        path: A file of torch, a pickle of Caffe2's blobs, or the OUTPUT_DIR of a run, which stands
            for its newest checkpoint.

    Returns:
        What was saved; Caffe2's blobs as tensors under ``blobs``.

    Raises:
        UserError: If the file is missing, damaged, or would run code.
    """
    path = Path(path)
    if path.is_dir():
        last = find_last_checkpoint(path)
        if last is None:
            raise UserError(
                f"no checkpoint in {path / _FOLDER}. Name a file, or the OUTPUT_DIR of a run."
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
