"""When checkpoints are saved, written in the background, and which of them are kept."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

from torch import Tensor

from slowfast.config import CfgNode, UserError
from slowfast.utils import distributed
from slowfast.utils.checkpoint import list_checkpoints, remove_checkpoint, write_checkpoint_file

__all__ = ["CheckpointError", "CheckpointPolicy", "Checkpointer"]

logger = logging.getLogger(__name__)

_NEWEST = 2
"""Newest checkpoints that are always kept: a damaged one has another before it."""


class CheckpointError(UserError):
    """A checkpoint could not be written; the ones before it are intact."""


class CheckpointPolicy(NamedTuple):
    """When to save within an epoch, and what to keep.

    Attributes:
        every_steps: TRAIN.CHECKPOINT_PERIOD_ITERS; 0: not by steps.
        every_min: TRAIN.CHECKPOINT_PERIOD_MIN; 0: not by time.
        keep_last: TRAIN.CHECKPOINT_KEEP_LAST; 0: keep all checkpoints after an epoch.
        keep_every: TRAIN.CHECKPOINT_KEEP_EVERY, in epochs; 0: none beyond ``keep_last``.
    """

    every_steps: int = 0
    every_min: float = 0.0
    keep_last: int = 0
    keep_every: int = 0


class Checkpointer:
    """Writes the checkpoints of a run, in the main process.

    Args:
        output_dir: OUTPUT_DIR.
        task: TASK.
        policy: When to save, and what to keep.
    """

    def __init__(self, output_dir: Path, task: str, policy: CheckpointPolicy) -> None:
        self._output_dir, self._task, self._policy = output_dir, task, policy
        self._thread: threading.Thread | None = None
        self._error = ""
        self._last_start = time.monotonic()

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> Self:
        """Build it from TRAIN.CHECKPOINT_PERIOD_ITERS, _PERIOD_MIN, _KEEP_LAST, _KEEP_EVERY."""
        train = cfg.TRAIN
        policy = CheckpointPolicy(
            train.CHECKPOINT_PERIOD_ITERS,
            float(train.CHECKPOINT_PERIOD_MIN),
            train.CHECKPOINT_KEEP_LAST,
            train.CHECKPOINT_KEEP_EVERY,
        )
        return cls(Path(cfg.OUTPUT_DIR), cfg.TASK, policy)

    def is_due_by_steps(self, steps_done: int) -> bool:
        """Return whether to save after so many steps of the run; the same on every rank."""
        period = self._policy.every_steps
        return period > 0 and steps_done % period == 0

    def is_due_by_time(self) -> bool:
        """Return whether this process finds that it is time to save; False on other ranks."""
        period_sec = 60 * self._policy.every_min
        is_late = 0 < period_sec <= time.monotonic() - self._last_start
        return is_late and distributed.is_main_process()

    def write(self, path: Path, content: dict[str, Any], *, wait: bool = False) -> None:
        """Write a checkpoint; every rank must call this.

        The content is copied to memory, and written while training continues. If the checkpoint
        before is not written yet, it is waited for.

        Args:
            path: The file.
            content: Tensors, plain values and containers of them; used in the main process.
            wait: Return when it is written.

        Raises:
            CheckpointError: If this checkpoint (with ``wait``) or the one before could not be
                written; on every rank.
        """
        self.finish()
        self._last_start = time.monotonic()
        if distributed.is_main_process():
            copied = _copy_to_memory(content, {})
            self._thread = threading.Thread(
                target=self._write, args=(path, copied), name="checkpoint", daemon=True
            )
            self._thread.start()
        if wait:
            self.finish()

    def finish(self) -> None:
        """Wait until the last checkpoint is written; every rank must call this.

        Raises:
            CheckpointError: If it could not be written; on every rank.
        """
        self._join()
        errors = distributed.gather_objects(self._error)
        self._error = ""
        for error in filter(None, errors):
            raise CheckpointError(error)

    def close(self) -> None:
        """Wait for the thread of this process; log its error, as another one may be on its way."""
        self._join()
        if self._error:
            logger.error("%s", self._error)
            self._error = ""

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        try:
            write_checkpoint_file(path, content)
            self._remove_old()
        except Exception as error:  # torch raises RuntimeError where a disk is full
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            before = next(iter(list_checkpoints(self._output_dir, self._task)), None)
            last = f"the newest one is {before}" if before else "there is none before it"
            self._error = (
                f"OUTPUT_DIR: {path} could not be written: {reason}. Is the disk full? {last}. "
                "Make room and run the same command again to resume from it."
            )

    def _remove_old(self) -> None:
        """Remove checkpoints that are superseded."""
        policy, found = self._policy, list_checkpoints(self._output_dir, self._task)
        for number, path in enumerate(found):
            epochs, iteration = path.epochs_done, path.iteration
            is_kept = number < max(_NEWEST, policy.keep_last)
            if not iteration and (
                not policy.keep_last or (policy.keep_every and epochs % policy.keep_every == 0)
            ):
                is_kept = True
            if not is_kept:
                remove_checkpoint(path.path)


def _copy_to_memory(value: Any, known: dict[tuple[Any, ...], Tensor]) -> Any:
    """Copy all tensors to the CPU; those that share memory do so in the copy."""
    if isinstance(value, Tensor):
        key = (value.data_ptr(), value.dtype, value.shape, value.stride(), value.device)
        if value.numel() == 0 or key not in known:
            copied = value.detach().to("cpu", copy=True)
            if value.numel() == 0:
                return copied
            known[key] = copied
        return known[key]
    if isinstance(value, dict):
        return type(value)((k, _copy_to_memory(v, known)) for k, v in value.items())
    if isinstance(value, list):
        return [_copy_to_memory(item, known) for item in value]
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(_copy_to_memory(item, known) for item in value)
    return value
