"""Checkpoints for scripts with a training loop of their own, under PySlowFast's names.

Files are those of the trainer: a script resumes a run of the trainer and vice versa.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn
from torch.optim import Optimizer

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.models.optimizer import load_optimizer_state
from slowfast.models.weights import (
    AUTOMATIC,
    RANDOM_WEIGHTS,
    LoadReport,
    can_resume,
    check_resumable,
    load_weights,
    read_checkpoint,
)
from slowfast.utils import distributed
from slowfast.utils.checkpoint import (
    best_checkpoint_path,
    checkpoint_path,
    find_last_checkpoint,
    unwrap_model,
    write_checkpoint_file,
)
from slowfast.utils.random import rng_state

__all__ = [
    "TestedWeights",
    "load_checkpoint",
    "load_test_checkpoint",
    "load_tested",
    "load_train_checkpoint",
    "save_checkpoint",
]

logger = logging.getLogger(__name__)


def load_checkpoint(  # noqa: PLR0913 - PySlowFast's arguments
    path_to_checkpoint: str | Path,
    model: nn.Module,
    data_parallel: bool = True,
    optimizer: Optimizer | None = None,
    scaler: Any = None,
    inflation: bool = False,
    convert_from_caffe2: bool = False,
    epoch_reset: bool = False,
    clear_name_pattern: tuple[str, ...] = (),
) -> int:
    """Load a checkpoint into a model, and its progress into the optimizer.

    Args:
        path_to_checkpoint: As for ``weights.read_checkpoint``.
        model: The model, wrapped or not.
        data_parallel: Not needed: a wrapper is recognized.
        optimizer: Receives the optimizer state.
        scaler: Receives the state of loss scaling.
        inflation: Inflate weights of image networks.
        convert_from_caffe2: Require Caffe2's format; it is recognized in any case.
        epoch_reset: Load weights only.
        clear_name_pattern: The first occurrence of each is removed from each key of the file.

    Returns:
        The 0-based number of the last completed epoch; -1 with ``epoch_reset``, and for files
        without training progress of this framework.

    Raises:
        UserError: If the file cannot be used.
    """
    content = read_checkpoint(path_to_checkpoint)
    load_weights(
        unwrap_model(model),
        path_to_checkpoint,
        checkpoint_type="caffe2" if convert_from_caffe2 else AUTOMATIC,
        clear_patterns=tuple(clear_name_pattern),
        inflate_2d=inflation,
        content=content,
    )
    if epoch_reset or not can_resume(content):
        return -1
    if content["iteration"]:
        logger.warning(
            "%s was saved within an epoch, after %d iterations: the epoch starts again.",
            path_to_checkpoint,
            content["iteration"],
        )
    if optimizer is not None:
        try:
            load_optimizer_state(optimizer, content["optimizer_state"])
        except (ValueError, KeyError) as error:
            raise UserError(
                f"the optimizer state of {path_to_checkpoint} does not fit ({error}). For its "
                "weights alone: epoch_reset=True."
            ) from error
    if scaler is not None and content.get("scaler_state"):
        scaler.load_state_dict(content["scaler_state"])
    return int(content["epoch"])


def save_checkpoint(
    path_to_job: str | Path,
    model: nn.Module,
    optimizer: Optimizer,
    epoch: int,
    cfg: CfgNode,
    scaler: Any = None,
) -> Path | None:
    """Save a checkpoint after an epoch, in the main process.

    Args:
        path_to_job: OUTPUT_DIR.
        model: The model, wrapped or not.
        optimizer: Its optimizer.
        epoch: 0-based number of the completed epoch.
        cfg: The configuration; TASK is a prefix of the file's name.
        scaler: State of loss scaling; None: none.

    Returns:
        The file, ``checkpoints/checkpoint_epoch_00001.pyth`` for epoch 0; None in other processes.
    """
    if not distributed.is_main_process():
        return None
    path = checkpoint_path(Path(path_to_job), epoch + 1, task=cfg.TASK)
    content = {
        "epoch": epoch,
        "iteration": 0,
        "model_state": unwrap_model(model).state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "cfg": cfg.dump(),
        "rng_states": [rng_state()] if distributed.world_size() == 1 else [],
        "world_size": distributed.world_size(),
    }
    if scaler is not None:
        content["scaler_state"] = scaler.state_dict()
    write_checkpoint_file(path, content)
    return path


def load_train_checkpoint(
    cfg: CfgNode, model: nn.Module, optimizer: Optimizer, scaler: Any = None
) -> int:
    """Resume the run in OUTPUT_DIR, else load TRAIN.CHECKPOINT_FILE_PATH.

    Args:
        cfg: Read: OUTPUT_DIR, TASK, TRAIN.
        model: The model, wrapped or not.
        optimizer: Its optimizer.
        scaler: Loss scaling, or None.

    Returns:
        The epoch to train next; 0 for random weights.

    Raises:
        UserError: If the checkpoint cannot be used.
    """
    train = cfg.TRAIN
    last = find_last_checkpoint(Path(cfg.OUTPUT_DIR), cfg.TASK)
    if train.AUTO_RESUME and last is not None:
        check_resumable(read_checkpoint(last), last)
        return load_checkpoint(last, model, optimizer=optimizer, scaler=scaler) + 1
    if train.CHECKPOINT_FILE_PATH in ("", RANDOM_WEIGHTS):
        logger.info("starting from random weights")
        return 0
    epoch = load_checkpoint(
        train.CHECKPOINT_FILE_PATH,
        model,
        optimizer=optimizer,
        scaler=scaler,
        inflation=train.CHECKPOINT_INFLATE,
        convert_from_caffe2=train.CHECKPOINT_TYPE == "caffe2",
        epoch_reset=train.CHECKPOINT_EPOCH_RESET,
        clear_name_pattern=tuple(train.CHECKPOINT_CLEAR_NAME_PATTERN),
    )
    return epoch + 1


def load_test_checkpoint(cfg: CfgNode, model: nn.Module) -> bool:
    """Load the weights to test; see ``load_tested``.

    Args:
        cfg: The configuration.
        model: The model, wrapped or not.

    Returns:
        Whether random weights were asked for; they are tested only on request.
    """
    return load_tested(cfg, model).is_random


class TestedWeights(NamedTuple):
    """The weights of a test.

    Attributes:
        is_random: Whether random weights were asked for.
        class_names: Names of the classes of the checkpoint; empty if it has none.
        report: What was loaded; None for random weights.
        key: Config key of the path.
    """

    is_random: bool
    class_names: list[str]
    report: LoadReport | None = None
    key: str = ""


def load_tested(cfg: CfgNode, model: nn.Module) -> TestedWeights:
    """Load the weights to test: those named, else the newest of OUTPUT_DIR, else the trained ones.

    Args:
        cfg: Read: TEST, OUTPUT_DIR, TASK, TRAIN.
        model: The model, wrapped or not.

    Returns:
        What was loaded.

    Raises:
        UserError: If there is no checkpoint to test, or it cannot be used.
    """
    model = unwrap_model(model)
    named = cfg.TEST.CHECKPOINT_FILE_PATH
    last = _own_checkpoint(cfg)
    if not named and last is not None:
        content = read_checkpoint(last, key="OUTPUT_DIR")
        report = load_weights(model, last, key="OUTPUT_DIR", content=content)  # no conversion
        return TestedWeights(False, content.get("class_names", []), report, "OUTPUT_DIR")
    section, key = (cfg.TEST, "TEST") if named else (cfg.TRAIN, "TRAIN")
    path = section.CHECKPOINT_FILE_PATH
    if path == RANDOM_WEIGHTS:
        logger.warning("%s.CHECKPOINT_FILE_PATH is 'random': testing the untrained model", key)
        return TestedWeights(True, [])
    if not path:
        raise ConfigValueError(
            "TEST.CHECKPOINT_FILE_PATH",
            f"nothing to test: OUTPUT_DIR {cfg.OUTPUT_DIR} has no "
            "checkpoint and none is named. Name one, or 'random' for the untrained model.",
        )
    path_key = f"{key}.CHECKPOINT_FILE_PATH"
    content = read_checkpoint(path, key=path_key)
    report = load_weights(
        model,
        path,
        checkpoint_type=section.CHECKPOINT_TYPE,
        clear_patterns=tuple(cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN),
        inflate_2d=cfg.TRAIN.CHECKPOINT_INFLATE and not named,
        key=path_key,
        content=content,
    )
    return TestedWeights(False, content.get("class_names", []), report, path_key)


def _own_checkpoint(cfg: CfgNode) -> Path | None:
    """Return the newest checkpoint in OUTPUT_DIR, or the best with TEST.BEST_CHECKPOINT."""
    output_dir = Path(cfg.OUTPUT_DIR)
    if not cfg.TEST.BEST_CHECKPOINT:
        return find_last_checkpoint(output_dir, cfg.TASK)
    best = best_checkpoint_path(output_dir, cfg.TASK)
    if not best.is_file():
        raise ConfigValueError(
            "TEST.BEST_CHECKPOINT",
            f"got True, but {best} does not exist: training with this key saves it after each "
            "validation that is better than all before. Train with it, or use False.",
        )
    return best
