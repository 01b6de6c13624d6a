"""Training log: log lines, ``json_stats.log``, TensorBoard, and the check for a diverged loss."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.config import CfgNode, UserError
from slowfast.engine.collapse import CollapseWatch
from slowfast.engine.skipped_steps import SkippedSteps, StepRecord
from slowfast.models.losses.chance import LossWithChance
from slowfast.utils import distributed
from slowfast.utils.checkpoint import unwrap_model
from slowfast.utils.logging import log_json_stats, read_stats
from slowfast.utils.meters import IterationTimer, LossMeter, memory
from slowfast.utils.tensorboard import TensorboardWriter

__all__ = ["Recorder", "is_validated"]

logger = logging.getLogger(__name__)

_LEARNING_STEPS = 200
"""Steps after which a loss should be below its chance level, if the warm-up is over."""
_CLOSE_TO_CHANCE = 0.98
_SILENT_CLIPS = 64
"""Clips without audio in a row, from the start, that are worth a warning."""
_LOGGED_PARTS = ("wait", "copy")
_TAGS = {"top1_err": "Top1_err", "top5_err": "Top5_err", "map": "mAP"}
"""PySlowFast's tags in TensorBoard."""


class Recorder:
    """Collects the losses of each iteration; reports every LOG_PERIOD and after each epoch.

    Losses stay tensors until they are reported, to avoid a GPU synchronization at every step.

    Args:
        cfg: The configuration.
        max_steps: Iterations of the training.
        device: Device of the training.
        has_scaler: Whether losses are scaled, see ``SkippedSteps``.
    """

    def __init__(
        self, cfg: CfgNode, max_steps: int, device: torch.device, *, has_scaler: bool = False
    ) -> None:
        self._output_dir = Path(cfg.OUTPUT_DIR)
        self._period, self._device = cfg.LOG_PERIOD, device
        self._steps_before = self._steps = self._unseen = 0
        self._max_epoch, self._warmup = cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.WARMUP_EPOCHS
        self._max_steps = cfg.TRAIN.MAX_STEPS or max_steps
        self._explosion = cfg.TRAIN.KILL_LOSS_EXPLOSION_FACTOR
        self._meter = LossMeter(cfg.LOG_PERIOD)
        self._timer = IterationTimer(cfg.LOG_PERIOD)
        self._pending: list[tuple[dict[str, Tensor], list[Tensor]]] = []
        self._skipped = SkippedSteps(
            self._output_dir, cfg.TRAIN.MAX_SKIPPED_STEPS, has_scaler=has_scaler
        )
        self._losses: list[float] = []
        self._progress: dict[str, Any] = {}
        self._lowest: dict[str, float] = {}
        self._chance: ChanceLevel | None = None
        self._collapse, self._spread = CollapseWatch(), dict[str, float]()
        self._silent_clips: int | None = 0  # None: decided
        is_logged = cfg.TENSORBOARD.ENABLE and distributed.is_main_process()
        self._board = TensorboardWriter(cfg) if is_logged else None
        keys = cfg.TENSORBOARD.MODEL_VIS
        self._writes_weights = keys.ENABLE and keys.MODEL_WEIGHTS

    def start_epoch(self, steps_before: int, steps: int, *, done: int = 0) -> None:
        """Reset the means of the last epoch.

        Args:
            steps_before: Iterations of all epochs before.
            steps: Iterations of this epoch.
            done: Of these, iterations before the run was resumed; they are not in the means.
        """
        self._steps_before, self._steps, self._unseen = steps_before, steps, done
        self._meter.reset()
        self._skipped.start_epoch()

    def resume(self, steps_done: int) -> None:
        """Take over the best validation so far of a resumed run.

        Args:
            steps_done: Iterations that are done.
        """
        for stats in read_stats(self._output_dir):
            if stats["_type"] == "val_epoch" and stats.get("step", steps_done + 1) <= steps_done:
                self._lowest = {k: v for k, v in stats.items() if k.startswith("min_")}

    def start_iteration(self) -> None:
        """Start timing an iteration."""
        self._timer.start()

    def part(self, name: str) -> AbstractContextManager[None]:
        """Time a part of an iteration: "wait" for the data loader, "copy" to the device.

        Other parts are not timed: the device computes them later (``engine/benchmark.py`` waits).
        """
        return self._timer.part(name) if name in _LOGGED_PARTS else nullcontext()

    def data_ready(self) -> None:
        """Mark the end of data loading."""
        self._timer.data_ready()

    def compare_with_chance(self, criterion: Any, outputs: Any) -> None:
        """Log the chance level of a loss that knows it, and watch the loss from now on.

        Args:
            criterion: The loss; only a ``LossWithChance`` has a chance level.
            outputs: Outputs of the model for the first batch.
        """
        if self._chance is None and isinstance(criterion, LossWithChance):
            self._chance = ChanceLevel(criterion.chance_level(outputs))
            if distributed.is_main_process():
                self._chance.announce()

    def watch_embeddings(self, outputs: Any, model: nn.Module, batch_size: int, step: int) -> None:
        """Measure the spread of embeddings in the last step of an epoch, and warn of a collapse.

        Args:
            outputs: Outputs of the model for a batch of this process, detached.
            model: The model, wrapped or not.
            batch_size: Samples of the batch.
            step: Iterations of the run up to and including this one.
        """
        if not self._is_last(step) or not distributed.is_main_process():
            return
        dims = getattr(unwrap_model(model), "output_batch_dims", {})
        may_warn = self._should_have_learned(step)
        self._spread = self._collapse.look(outputs, dims, batch_size, may_warn=may_warn)

    def watch_audio(self, batch: Mapping[str, Tensor]) -> None:
        """Warn once if no clip of the first batches of this process has audio.

        Args:
            batch: A loaded batch, on the CPU.
        """
        valid = batch.get("audio_valid")
        if valid is None or self._silent_clips is None:
            return
        self._silent_clips += valid.numel()
        if bool(valid.any()):
            self._silent_clips = None
        elif self._silent_clips >= _SILENT_CLIPS:
            logger.warning(
                "none of the first %d clips has audio: nothing is learned from it, and a loss "
                "between video and audio stays 0. Check the files (slowfast check), AUDIO.CLIP_SEC "
                "(clips must be mostly inside of the audio), or set AUDIO.ENABLE False.",
                self._silent_clips,
            )
            self._silent_clips = None

    def end_iteration(
        self,
        epoch: int,
        iteration: int,
        losses: dict[str, Tensor],
        lr: float,
        rows: Sequence[Tensor] = (),
    ) -> None:
        """Add the losses of an iteration, and report if it is due.

        Args:
            epoch: Completed epochs.
            iteration: Completed iterations of this epoch, from 1.
            losses: Scalars: ``loss``, its components, and ``grad_norm``, the norm of the gradient.
            lr: Learning rate of the step.
            rows: int64 (B,) for each batch of the step, rows of the manifest.

        Raises:
            UserError: If too many losses are not finite, or the loss explodes.
        """
        self._timer.stop()
        self._pending.append((losses, list(rows)))
        is_last = iteration == self._steps
        if iteration % self._period and not is_last:
            return
        self._flush(epoch, iteration)
        if not distributed.is_main_process():
            return
        done = self._steps_before + iteration
        timing = self._timer.record()
        self._progress = {
            **timing,
            "eta": str(timedelta(seconds=int(timing["dt"] * (self._max_steps - done)))),
            "lr": lr,
        }
        stats = {
            "_type": "train_iter",
            "epoch": f"{epoch + 1}/{self._max_epoch}",
            "iter": f"{iteration}/{self._steps}",
            "step": done,
            **self._progress,
            **self._meter.median(),
            **self._skipped.stats(),
            **memory(self._device),
        }
        log_json_stats(stats, self._output_dir)
        logger.info("%s", _human(stats))
        self._write_board("Train", {**self._meter.median(), "lr": lr}, done)

    def end_epoch(self, epochs_done: int) -> None:
        """Report the means of an epoch.

        Args:
            epochs_done: Completed epochs.
        """
        if not distributed.is_main_process():
            return
        epoch = f"{epochs_done}/{self._max_epoch}"
        step = self._steps_before + self._steps
        means = {
            "_type": "train_epoch",
            "epoch": epoch,
            "step": step,
            **self._progress,
            **self._meter.mean(),
            **self._spread,
            **self._skipped.stats(),
            **memory(self._device),
        }
        log_json_stats(means, self._output_dir)
        logger.info("epoch %s done%s", epoch, self._describe_mean(means))
        if self._chance is not None and "loss" in means and self._should_have_learned(step):
            self._chance.check(float(means["loss"]), step)

    def _describe_mean(self, means: Mapping[str, Any]) -> str:
        if self._unseen == self._steps:
            return " before the run was resumed"
        of = f" of its last {self._steps - self._unseen} steps" if self._unseen else ""
        return f": mean loss{of} {means.get('loss', math.nan):.4f}"

    def end_validation(self, epochs_done: int, step: int, measurements: dict[str, float]) -> None:
        """Report metrics that were measured after an epoch.

        Args:
            epochs_done: Completed epochs.
            step: Iterations since the start of training.
            measurements: Metric name -> value; may be empty.
        """
        if measurements and distributed.is_main_process():
            epoch = f"{epochs_done}/{self._max_epoch}"
            errors = _errors(measurements)
            for name, value in errors.items():
                self._lowest[f"min_{name}"] = min(value, self._lowest.get(f"min_{name}", value))
            stats = {"_type": "val_epoch", "epoch": epoch, "step": step, **measurements}
            stats |= {**errors, **self._lowest, **memory(self._device)}
            log_json_stats(stats, self._output_dir)
            text = ", ".join(f"{name} {value:.4f}" for name, value in measurements.items())
            logger.info("validation after epoch %s: %s", epoch, text)
            self._write_board("Val", {**measurements, **errors}, step)

    def write_weights(self, model: nn.Module, step: int) -> None:
        """Write histograms of weights and gradients, after the last backward pass of an epoch.

        Args:
            model: The model, wrapped or not, with its gradients.
            step: Iterations of the run up to and including this one.
        """
        if self._board is None or not self._writes_weights or not self._is_last(step):
            return
        for name, parameter in unwrap_model(model).named_parameters():
            tensors = {"Weights": parameter.detach(), "Gradients": parameter.grad}
            for group, values in tensors.items():
                if values is not None and values.numel() and values.isfinite().all():
                    tag = f"{group}/{name.replace('.', '/')}"
                    self._board.writer.add_histogram(tag, values.float(), step)

    def _is_last(self, step: int) -> bool:
        """Return whether this step of the run is the last one of its epoch."""
        return step == self._steps_before + self._steps

    def close(self) -> None:
        """Flush and close TensorBoard."""
        if self._board is not None:
            self._board.close()

    def _should_have_learned(self, step: int) -> bool:
        """Whether a plateau at the start of training should be over."""
        return step >= max(_LEARNING_STEPS, self._warmup * self._steps)

    def _flush(self, epoch: int, iteration: int) -> None:
        """Average the pending losses over ranks and check them."""
        names, count = list(self._pending[0][0]), len(self._pending)
        values = torch.stack(
            [
                torch.stack([losses[n].double().reshape(()) for n in names])
                for losses, _ in self._pending
            ]
        )  # (iterations, losses)
        values = distributed.all_reduce_sum(values) / distributed.world_size()
        of_steps = [rows for _, rows in self._pending]
        self._pending.clear()
        where = f"in epoch {epoch + 1} near iteration {iteration}"
        for i, (row, rows) in enumerate(zip(values.tolist(), of_steps, strict=True)):
            losses = dict(zip(names, row, strict=True))
            number = self._steps_before + iteration - count + i + 1
            step = StepRecord(losses, rows)
            if self._skipped.check(step, number, where):
                self._check(losses["loss"], where)
                self._meter.update(losses)
        if iteration == self._steps:
            self._skipped.end_epoch(where)

    def _check(self, loss: float, where: str) -> None:
        typical = statistics.median(self._losses) if self._losses else loss
        if self._explosion > 0 and loss > self._explosion * typical:
            raise UserError(
                f"the loss is {loss:.4g} {where}, more than TRAIN.KILL_LOSS_EXPLOSION_FACTOR "
                f"({self._explosion:g}) times its median {typical:.4g}."
            )
        self._losses = [*self._losses[-99:], loss]

    def _write_board(self, group: str, values: dict[str, float], step: int) -> None:
        if self._board is not None:
            tags = {name: f"{group}/{_TAGS.get(name, name)}" for name in values}
            self._board.add_scalars({tags[name]: value for name, value in values.items()}, step)


class ChanceLevel:
    """Warns once if a loss stays at its chance level.

    Args:
        level: The loss when all embeddings are equal.
    """

    def __init__(self, level: float) -> None:
        self.level, self._has_warned = level, False

    def announce(self) -> None:
        """Log the chance level, to compare losses with."""
        if math.isfinite(self.level):
            logger.info("chance level of the loss: %.4g (all embeddings are equal)", self.level)

    def check(self, loss: float, step: int) -> None:
        """Warn if a loss is at the chance level.

        Args:
            loss: Mean loss of an epoch.
            step: Steps until its end.
        """
        if self._has_warned or not loss > self.level * _CLOSE_TO_CHANCE:
            return
        self._has_warned = True
        logger.warning(
            "the loss is %.4g after %d steps, its chance level is %.4g: nothing is learned yet. "
            "Change SOLVER.BASE_LR, or the temperature or the batch size of the "
            "method; softer augmentation helps on small datasets.",
            loss,
            step,
            self.level,
        )


def is_validated(output_dir: Path, epochs_done: int) -> bool:
    """Return whether the log of a run has the validation after its newest such epoch.

    Args:
        output_dir: OUTPUT_DIR.
        epochs_done: Completed epochs.
    """
    number, last = f"{epochs_done}/", ""
    for stats in read_stats(output_dir):
        if str(stats.get("epoch", "")).startswith(number):
            last = stats["_type"] if stats["_type"] in ("train_epoch", "val_epoch") else last
    return last == "val_epoch"


def _errors(measurements: dict[str, float]) -> dict[str, float]:
    """Return PySlowFast's errors in percent for measured accuracies."""
    return {
        f"top{k}_err": 100.0 * (1.0 - measurements[f"top{k}_acc"])
        for k in (1, 5)
        if f"top{k}_acc" in measurements
    }


def _human(stats: dict[str, Any]) -> str:
    """Format an iteration's statistics as one line."""
    fixed = {"_type", "epoch", "iter", "step", "dt", "dt_data", "dt_net", "eta", "lr"}
    fixed |= {"gpu_mem", "RAM", "RAM_peak", "share_wait", "share_copy"}
    losses = " ".join(f"{k} {v:.4g}" for k, v in stats.items() if k not in fixed)
    memory = f" mem {stats['gpu_mem']}" if stats["gpu_mem"] != "0.00G" else ""
    return (
        f"epoch {stats['epoch']} iter {stats['iter']} {losses} lr {stats['lr']:.3g} "
        f"{stats['dt']:.3f} s/it (data {stats['dt_data']:.3f}){memory} eta {stats['eta']}"
    )
