"""Steps whose loss or gradient is not finite change nothing; many of them end a run.

One broken sample or one overflow must not end a training of days, and must not get into its weights
either. The decision is made on the device: it needs no synchronization, and all processes agree as
they have the same gradient.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from slowfast.config import UserError
from slowfast.utils import distributed

__all__ = [
    "LOG_NAME",
    "STATE_NAME",
    "NotFiniteError",
    "RunningStatistics",
    "SkippedSteps",
    "StepRecord",
]

logger = logging.getLogger(__name__)

LOG_NAME = "skipped_steps.log"
STATE_NAME = "skipped_steps_state.pyth"
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_SHOWN_ROWS = 8


class NotFiniteError(UserError):
    """Too many steps in a row were not finite."""


class RunningStatistics:
    """Keeps the running statistics of batch norm, all that a forward pass changes, during a step.

    They are small. Banks and queues may be large, and change only after a step.

    Args:
        model: The model, with momentum encoders inside.
    """

    def __init__(self, model: nn.Module) -> None:
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for name, buffer in model.named_buffers():
            if name.endswith(_STATISTICS):
                by_dtype.setdefault(buffer.dtype, []).append(buffer.view(-1))
        self._live = list(by_dtype.values())
        self._kept = [torch.cat(live) for live in self._live]  # few operations on a GPU

    def keep(self) -> None:
        """Copy the statistics, before a step."""
        for live, kept in zip(self._live, self._kept, strict=True):
            torch.cat(live, out=kept)

    def restore_unless(self, stepped: bool | Tensor) -> None:
        """Undo what happened since ``keep`` if a step is skipped.

        Args:
            stepped: Whether it was taken; bool, a scalar, on a GPU, where it is not read.
        """
        if stepped is True:
            return
        for live, kept in zip(self._live, self._kept, strict=True):
            value = kept if stepped is False else torch.where(stepped, torch.cat(live), kept)
            torch._foreach_copy_(live, value.split([len(part) for part in live]))


class StepRecord(NamedTuple):
    """What is known of a step when losses are read.

    Attributes:
        losses: ``loss``, its components and ``grad_norm``: means over processes.
        rows: int64 (B,) for each batch of this process, rows of the manifest.
    """

    losses: Mapping[str, float]
    rows: Sequence[Tensor]


class SkippedSteps:
    """Counts skipped steps, logs which samples they had, and ends the run past a limit.

    Args:
        output_dir: OUTPUT_DIR; ``skipped_steps.log`` gets a line of JSON for each step.
        limit: TRAIN.MAX_SKIPPED_STEPS.
        has_scaler: Whether losses are scaled: then a gradient alone that is not finite is an
            overflow of float16, which the scaler handles.
    """

    def __init__(self, output_dir: Path, limit: int, *, has_scaler: bool) -> None:
        self._file, self._limit, self._has_scaler = output_dir / LOG_NAME, limit, has_scaler
        self.total = self.in_a_row = 0
        self._are_all = True

    def stats(self) -> dict[str, int]:
        """Return ``skipped_steps``, their number since this process started; empty if 0."""
        return {"skipped_steps": self.total} if self.total else {}

    def start_epoch(self) -> None:
        """Forget whether a step of the epoch before was finite."""
        self._are_all = True

    def check(self, step: StepRecord, number: int, where: str) -> bool:
        """Look at a step; every rank must call this with the same losses.

        Args:
            step: The step.
            number: Steps of the run up to and including this one.
            where: The same in words, for the error.

        Returns:
            Whether it is finite.

        Raises:
            NotFiniteError: If more than ``limit`` steps in a row are not.
        """
        broken = {k: v for k, v in step.losses.items() if not math.isfinite(v)}
        if not broken.keys() - ({"grad_norm"} if self._has_scaler else set()):
            self.in_a_row, self._are_all = 0, False
            return True
        self.total, self.in_a_row = self.total + 1, self.in_a_row + 1
        parts = ", ".join(f"{name} is {value}" for name, value in broken.items())
        own = [row for batch in step.rows for row in batch.tolist()]
        rows = [row for of_rank in distributed.gather_objects(own) for row in of_rank]
        if distributed.is_main_process():
            self._log(number, parts, step.losses, rows)
        if self.in_a_row > self._limit:
            self._stop(step.losses["loss"], where)
        return False

    def end_epoch(self, where: str) -> None:
        """End a run that skipped all steps of an epoch.

        Args:
            where: The epoch in words.

        Raises:
            NotFiniteError: If no step since ``start_epoch`` was finite.
        """
        if self._are_all and self.in_a_row:
            self._stop(math.nan, where)

    def _stop(self, loss: float, where: str) -> None:
        raise NotFiniteError(
            f"the loss is {loss} {where}: {self.in_a_row} step(s) in a row are not finite, and "
            f"TRAIN.MAX_SKIPPED_STEPS is {self._limit}. Lower SOLVER.BASE_LR, lengthen "
            "SOLVER.WARMUP_EPOCHS, or set SOLVER.CLIP_GRAD_L2NORM, and run the same command again: "
            "it resumes from the newest checkpoint. If only some samples cause it: "
            f"{self._file} lists them."
        )

    def _log(
        self, number: int, parts: str, losses: Mapping[str, float], rows: Sequence[int]
    ) -> None:
        shown = ", ".join(map(str, rows[:_SHOWN_ROWS])) + (
            ", ..." if len(rows) > _SHOWN_ROWS else ""
        )
        logger.warning(
            "step %d is skipped, as %s (%d in a row; TRAIN.MAX_SKIPPED_STEPS is %d). Rows of the "
            "manifest: %s",
            number, parts, self.in_a_row, self._limit, shown,
        )  # fmt: skip
        line = {"step": number, "losses": {k: repr(v) for k, v in losses.items()}, "rows": rows}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
