"""Where the weights of a training run come from.

In this order: the newest checkpoint of the run itself (TRAIN.AUTO_RESUME), the checkpoint that
TRAIN.CHECKPOINT_FILE_PATH names, and, as in PySlowFast, for a TASK that contains "ssl_eval" the
newest checkpoint of TASK "ssl" in the same OUTPUT_DIR. Else weights are random.
"""

from __future__ import annotations

from pathlib import Path

from slowfast.config import CfgNode, Problem
from slowfast.models.weights import RANDOM_WEIGHTS
from slowfast.utils.checkpoint import find_last_checkpoint

__all__ = ["find_missing_weights", "find_pretrained"]

_PRETRAINING = "ssl"
_EVALUATION = "ssl_eval"


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
