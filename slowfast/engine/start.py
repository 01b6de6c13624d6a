"""Where the weights of a training run come from.

In this order: the newest checkpoint of the run itself (TRAIN.AUTO_RESUME), the checkpoint that
TRAIN.CHECKPOINT_FILE_PATH names, and, as in PySlowFast, for a TASK that contains "ssl_eval" the
newest checkpoint of TASK "ssl" in the same OUTPUT_DIR. Else weights are random.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slowfast.config import CfgNode, ConfigValueError, Problem
from slowfast.engine.precision import Precision
from slowfast.engine.recorder import is_validated
from slowfast.engine.restart import (
    Restart,
    find_changes,
    load_own_weights,
    load_progress,
    load_rank_states,
)
from slowfast.models.weights import (
    RANDOM_WEIGHTS,
    can_resume,
    check_resumable,
    load_weights,
    read_checkpoint,
)
from slowfast.utils import distributed
from slowfast.utils.checkpoint import find_last_checkpoint, read_checkpoint_file, remove_drafts

__all__ = ["find_missing_weights", "find_pretrained", "start_training"]

logger = logging.getLogger(__name__)

_PRETRAINING = "ssl"
_EVALUATION = "ssl_eval"
_CLIPS = ("DATA.NUM_FRAMES", "DATA.SAMPLING_RATE", "DATA.TARGET_FPS", "DATA.TRAIN_CROP_SIZE")


def find_pretrained(cfg: CfgNode) -> str:
    """Find the checkpoint that training starts from when nothing is resumed.

    Args:
        cfg: Read: TASK, OUTPUT_DIR, TRAIN.CHECKPOINT_FILE_PATH.

    Returns:
        A path or URL; "" for random weights.
    """
    path = str(cfg.TRAIN.CHECKPOINT_FILE_PATH)
    if path == RANDOM_WEIGHTS:
        return ""
    if path or _EVALUATION not in cfg.TASK:
        return path
    return str(find_last_checkpoint(Path(cfg.OUTPUT_DIR), _PRETRAINING) or "")


def find_missing_weights(cfg: CfgNode) -> list[Problem]:
    """Find a frozen backbone whose weights nobody named.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one problem.
    """
    frozen = cfg.MODEL.DETACH_FINAL_FC or cfg.MODEL.FREEZE_BACKBONE
    if not cfg.TRAIN.ENABLE or not frozen or cfg.TRAIN.CHECKPOINT_FILE_PATH == RANDOM_WEIGHTS:
        return []
    resumes = cfg.TRAIN.AUTO_RESUME and find_last_checkpoint(Path(cfg.OUTPUT_DIR), cfg.TASK)
    if resumes or find_pretrained(cfg):
        return []
    where = (
        f", and OUTPUT_DIR {cfg.OUTPUT_DIR} has no checkpoint of TASK {_PRETRAINING}"
        if _EVALUATION in cfg.TASK
        else ""
    )
    message = (
        "is empty, but the backbone is frozen (MODEL.DETACH_FINAL_FC, MODEL.FREEZE_BACKBONE)"
        f"{where}. Name a checkpoint, or 'random' to probe an untrained one."
    )
    return [Problem("TRAIN.CHECKPOINT_FILE_PATH", message)]


def start_training(
    cfg: CfgNode,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    loader: Any,
    *,
    samples_per_step: int,
    is_constant: bool,
) -> Restart:
    """Load the weights that a training starts from, and with them what else it continues.

    Args:
        cfg: Read: TASK, OUTPUT_DIR, TRAIN.AUTO_RESUME, TRAIN.CHECKPOINT_*.
        model: The model to load, not wrapped.
        optimizer: Its optimizer.
        precision: Its scaler is loaded.
        loader: The training loader.
        samples_per_step: Samples of an optimizer step, over all processes.
        is_constant: Whether all steps have that size.

    Returns:
        Where the training continues; at the beginning with new weights.

    Raises:
        UserError: If weights are missing or do not fit, or the run has changed.
    """
    train, output_dir = cfg.TRAIN, Path(cfg.OUTPUT_DIR)

    def resume(content: dict[str, Any], path: str) -> Restart:
        restart = load_progress(content, path, optimizer, precision, loader)
        if restart.iteration:
            before = content.get("samples_per_step")
            restart = restart.with_samples_per_step(
                before, samples_per_step, is_constant=is_constant
            )
        logger.info(
            "resuming from %s: epoch %d, iteration %d", path, restart.epoch, restart.iteration
        )
        awaits = bool(content.get("awaits_validation"))
        awaits = awaits and not is_validated(output_dir, restart.epoch)
        return restart._replace(awaits_validation=awaits)

    if distributed.is_main_process():
        remove_drafts(output_dir)
    last = find_last_checkpoint(output_dir, cfg.TASK)
    if train.AUTO_RESUME and last is not None:
        content = read_checkpoint_file(last)
        check_resumable(content, last)
        load_own_weights(model, content, str(last))
        restart = resume(content, str(last))
        load_rank_states(model, content, str(last))
        return restart._replace(is_own=True, changes=tuple(find_changes(content, cfg).values()))
    for problem in find_missing_weights(cfg):
        raise ConfigValueError(problem.key, problem.message)
    path = find_pretrained(cfg)
    if not path:
        logger.info("starting from random weights")
        return Restart()
    content = read_checkpoint(path)
    load_weights(
        model,
        path,
        checkpoint_type=train.CHECKPOINT_TYPE,
        clear_patterns=tuple(train.CHECKPOINT_CLEAR_NAME_PATTERN),
        inflate_2d=train.CHECKPOINT_INFLATE,
        content=content,
    )
    clips = [line for key, line in find_changes(content, cfg).items() if key in _CLIPS]
    if clips:
        logger.info("%s was trained on other clips: %s", path, ", ".join(clips))
    is_of_task = path == train.CHECKPOINT_FILE_PATH
    if is_of_task and not train.CHECKPOINT_EPOCH_RESET and can_resume(content):
        return resume(content, path)
    return Restart()
