"""What a run takes from its own checkpoint, and the checks that it may.

A checkpoint of an epoch that is not finished fits only the train split that it was saved with: the
order of samples would be another.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import yaml
from torch import nn

from slowfast.config import CfgNode, ConfigValueError, UserError
from slowfast.config.machine_keys import changes_training
from slowfast.config.values import differences, flatten
from slowfast.engine.precision import Precision
from slowfast.models.architecture import saved_settings
from slowfast.models.method import call_hook
from slowfast.models.optimizer import load_optimizer_state
from slowfast.utils import distributed
from slowfast.utils.random import set_rng_state

__all__ = [
    "Restart",
    "describe_data",
    "find_changes",
    "load_own_weights",
    "load_progress",
    "load_rank_states",
]

logger = logging.getLogger(__name__)


class Restart(NamedTuple):
    """Where a run continues.

    Attributes:
        epoch: Completed epochs.
        iteration: Completed iterations of the next epoch.
        awaits_validation: Whether the validation after the last epoch is not done.
        is_own: Whether this is from a checkpoint of the run itself.
        changes: Settings of training that the checkpoint was saved with other values of.
    """

    epoch: int = 0
    iteration: int = 0
    awaits_validation: bool = False
    is_own: bool = False
    changes: tuple[str, ...] = ()

    def with_samples_per_step(
        self, before: int | None, now: int, *, is_constant: bool = True
    ) -> Restart:
        """Continue within an epoch at the same sample, with steps of another size.

        Args:
            before: Samples of an optimizer step when the checkpoint was saved; None: unknown.
            now: Samples of an optimizer step of this run.
            is_constant: Whether all steps have that size; with MULTIGRID they have not.

        Returns:
            The position in steps of this run.

        Raises:
            ConfigValueError: If no step of this run starts at that sample.
        """
        if before is None or before == now:
            return self
        done = self.iteration * before
        if done % now or not is_constant:
            raise ConfigValueError(
                "TRAIN.BATCH_SIZE",
                f"a step has {now} samples (all processes and accumulated batches), but the "
                f"checkpoint was saved within an epoch after {done} samples, with steps of "
                f"{before}: no step starts there. Resume with steps of {before}, or of a divisor "
                f"of {done}, up to the end of the epoch.",
            )
        logger.info("steps have %d samples, %d before: %d samples are done", now, before, done)
        return self._replace(iteration=done // now)


def find_changes(content: Mapping[str, Any], cfg: CfgNode) -> dict[str, str]:
    """Find what a training would do differently from the one that saved a checkpoint.

    Args:
        content: The checkpoint.
        cfg: The configuration of this run.

    Returns:
        Key -> "KEY: before -> now", for keys that training depends on (``changes_training``).
    """
    now = flatten(yaml.safe_load(cfg.dump()))
    found = differences(saved_settings(content.get("cfg")), now)
    return {key: line for key, line in found.items() if changes_training(key)}


def load_own_weights(model: nn.Module, content: dict[str, Any], path: str) -> None:
    """Load the weights of the run's own checkpoint.

    Args:
        model: The model, not wrapped.
        content: The checkpoint.
        path: Its path, for messages.

    Raises:
        ConfigValueError: If they are of another model.
    """
    try:
        model.load_state_dict(content["model_state"])
    except (KeyError, RuntimeError) as error:
        raise ConfigValueError(
            "TRAIN.AUTO_RESUME",
            f"{path} does not fit this model: {str(error)[:500]} Choose "
            "another OUTPUT_DIR, or set TRAIN.AUTO_RESUME False.",
        ) from error


def load_progress(
    content: dict[str, Any],
    path: str,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    loader: Any,
) -> Restart:
    """Load optimizer and scaler, and find where the run continues.

    Args:
        content: The checkpoint.
        path: Its path, for messages.
        optimizer: The optimizer to load.
        precision: Its scaler is loaded. Another dtype than before is logged.
        loader: The training loader, whose data must be that of the checkpoint.

    Returns:
        Where the run continues.

    Raises:
        UserError: If the data has changed or the optimizer is another.
    """
    _check_data(describe_data(loader), content.get("data", {}), path)
    try:
        load_optimizer_state(optimizer, content["optimizer_state"])
    except (ValueError, KeyError) as error:
        raise UserError(
            f"the optimizer state of {path} does not fit ({error}). To start again from its "
            "weights, set TRAIN.CHECKPOINT_EPOCH_RESET True."
        ) from error
    if content.get("scaler_state"):
        precision.scaler.load_state_dict(content["scaler_state"])
    before, now = content.get("precision"), precision.dtype_name
    if before not in (None, now):
        logger.warning(
            "%s was trained in %s, this run computes in %s (TRAIN.MIXED_PRECISION): it resumes, "
            "but not bit for bit.",
            path,
            before,
            now,
        )
    return Restart(int(content["epoch"]) + 1, int(content.get("iteration", 0)))


def load_rank_states(model: nn.Module, content: dict[str, Any], path: str) -> None:
    """Load random numbers and the method's state of this process.

    Args:
        model: The model, not wrapped.
        content: The checkpoint; with another number of processes nothing is loaded.
        path: Its path, for messages.
    """
    states = content.get("rng_states", [])
    if len(states) != distributed.world_size():
        logger.warning(
            "%s was saved by %d processes, this run has %d: it resumes, but not bit for bit.",
            path,
            len(states),
            distributed.world_size(),
        )
        return
    set_rng_state(states[distributed.rank()])
    of_rank = content.get("rank_states", [None] * len(states))[distributed.rank()]
    if of_rank:
        call_hook(model, "load_rank_state", of_rank)


def describe_data(loader: Any) -> dict[str, Any]:
    """Return the number of clips of the train split, and their hash.

    Args:
        loader: The training loader.

    Returns:
        ``num_clips`` and ``digest``.
    """
    manifest = loader.manifest
    return {
        "num_clips": len(loader.dataset),
        "digest": "" if manifest is None else manifest.digest(),
    }


def _check_data(now: dict[str, Any], before: dict[str, Any], path: str) -> None:
    """Raise if the train split has changed since the checkpoint."""
    if not before or before == now:
        return
    difference = (
        f"{before['num_clips']} clips before, {now['num_clips']} now"
        if before["num_clips"] != now["num_clips"]
        else f"{now['num_clips']} clips as before, but other files, labels or order"
    )
    raise ConfigValueError(
        "DATA.PATH_TO_DATA_DIR",
        f"the train split differs from that of {path}: {difference}. Restore "
        "the list of files, and that of DATA.QUARANTINE_FILE_PATH. To train on the new one, choose "
        "another OUTPUT_DIR; with "
        "TRAIN.CHECKPOINT_FILE_PATH and TRAIN.CHECKPOINT_EPOCH_RESET True it starts from these "
        "weights.",
    )
