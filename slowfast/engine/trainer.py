"""The training loop of all methods: a model returns outputs, a criterion returns losses."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from tqdm import tqdm

from slowfast.config import CfgNode, UserError
from slowfast.datasets.annotations.labels import check_labels
from slowfast.datasets.loader import (
    construct_train_loader,
    local_batch_size,
    samples_per_batch,
)
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.engine.agreement import require_same_restart
from slowfast.engine.best import BestCheckpoint
from slowfast.engine.checkpointer import Checkpointer
from slowfast.engine.class_weights import with_class_weights
from slowfast.engine.precise_bn import update_bn_stats
from slowfast.engine.precision import Precision
from slowfast.engine.recorder import Recorder
from slowfast.engine.restart import describe_data
from slowfast.engine.skipped_steps import STATE_NAME, NotFiniteError
from slowfast.engine.start import start_training
from slowfast.engine.step import TrainingStep
from slowfast.models.batch_norm import share_statistics
from slowfast.models.build import LOSS_REGISTRY, construct_model
from slowfast.models.complexity import log_model_info
from slowfast.models.data_parallel import distribute, share_buffers
from slowfast.models.method import DatasetInfo, Progress, call_hook
from slowfast.models.optimizer import construct_optimizer, get_epoch_lr, set_lr
from slowfast.utils import checkpoint as cu
from slowfast.utils import distributed
from slowfast.utils.multigrid import MultigridSchedule
from slowfast.utils.random import rng_state, set_rng_state
from slowfast.utils.stop_signals import (
    NotedSignals,
    StopSignal,
    noted_signals,
    raising_on_signals,
)

__all__ = ["Trainer", "TrainingStoppedError"]

logger = logging.getLogger(__name__)


class TrainingStoppedError(UserError):
    """Training was stopped by a signal; a checkpoint is saved.

    Attributes:
        number: The signal.
    """

    number: int = signal.SIGTERM

    @classmethod
    def after(cls, number: int, what: str) -> Self:
        """Build it from the signal and what is saved."""
        error = cls(f"stopped by {signal.Signals(number).name} {what}")
        error.number = number
        return error


class Trainer:
    """Trains a model: one iteration is one optimizer step of ACCUMULATE_STEPS batches.

    Args:
        cfg: The configuration.
        device: Device to train on.
    """

    def __init__(self, cfg: CfgNode, device: torch.device) -> None:
        self.schedule = MultigridSchedule.from_cfg(cfg)
        self._construct_loader = partial(construct_train_loader, cfg)
        self.cfg, self.device = self.schedule.resolve(cfg), device
        self.output_dir = Path(cfg.OUTPUT_DIR)
        self.precision = Precision.from_cfg(cfg, device)
        self.loader = self._construct_loader()
        self.accumulate = cfg.SOLVER.ACCUMULATE_STEPS
        self.epoch = self.iteration = 0
        prepare = build_preprocess(cfg, train=True, mix=True).to(device)
        model = construct_model(cfg)
        call_hook(model, "setup", self._describe_dataset())
        model = model.to(device)
        self._check_labels(model)
        if cfg.LOG_MODEL_INFO and distributed.is_main_process():
            log_model_info(model, cfg)
        weighted = with_class_weights(cfg, self.loader.manifest)
        criterion = LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(weighted)
        self.optimizer = construct_optimizer(model, cfg)
        self._noted = NotedSignals()
        self._best = BestCheckpoint.from_cfg(cfg)
        self.checkpoints = Checkpointer.from_cfg(cfg)
        restart = start_training(
            self.cfg,
            model,
            self.optimizer,
            self.precision,
            self.loader,
            samples_per_step=self._samples_per_step(),
            is_constant=not self.schedule.is_on,
        )
        require_same_restart(restart)
        self.epoch, self.iteration = restart.epoch, restart.iteration
        self.awaits_validation = restart.awaits_validation
        self.changes = restart.changes
        if self._best is not None and restart.is_own:
            self._best.resume()
        if cfg.DEVICE.COMPILE:
            model.compile()  # in place, so that the names in the state dict stay
        self.model = distribute(model, device)
        max_steps = self.loader.batches.steps_before(self.cfg.SOLVER.MAX_EPOCH)
        has_scaler = self.precision.scaler.is_enabled()
        self.recorder = Recorder(self.cfg, max_steps, device, has_scaler=has_scaler)
        if self.steps_done:
            self.recorder.resume(self.steps_done)
        self.step = TrainingStep(
            self.cfg,
            model=self.model,
            criterion=criterion,
            optimizer=self.optimizer,
            precision=self.precision,
            prepare=prepare,
            recorder=self.recorder,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of the current epoch."""
        return self.loader.batches.steps_in(self.epoch)

    @property
    def steps_done(self) -> int:
        """Optimizer steps since the start of training."""
        return self.loader.batches.steps_before(self.epoch) + self.iteration

    @property
    def is_finished(self) -> bool:
        """Whether MAX_EPOCH or MAX_STEPS is reached."""
        limit = self.cfg.TRAIN.MAX_STEPS
        return self.epoch >= self.cfg.SOLVER.MAX_EPOCH or (0 < limit <= self.steps_done)

    def train(self, after_epoch: Callable[[int], dict[str, float]] = lambda epoch: {}) -> None:
        """Train to the end, from the start or a checkpoint.

        Args:
            after_epoch: Called after each epoch with the number of completed epochs; returns
                metrics to log, maybe none.

        Raises:
            TrainingStoppedError: After a signal of ``slowfast.utils.stop_signals``, with a
                checkpoint saved. A second signal ends the process.
            CheckpointError: If a checkpoint cannot be written.
            UserError: If the loss is not finite or explodes.
        """
        self.loader.batches.start_at(self.epoch, self.iteration * self.accumulate)
        with (
            noted_signals(_announce) as self._noted,
            contextlib.closing(self.checkpoints),
            contextlib.closing(iter(self.loader)) as batches,
        ):
            if self.awaits_validation:
                self._end_epoch(self._validate(after_epoch))
            while not self.is_finished:
                self._train_epoch(batches)
                if self.iteration < self.steps_per_epoch:  # MAX_STEPS ends within an epoch
                    self._update_bn_stats(self.epoch)
                    self.save()
                    break
                self.epoch, self.iteration = self.epoch + 1, 0
                self._finish_epoch(after_epoch)
            self.checkpoints.finish()
        self.recorder.close()
        if self._noted.number:
            raise TrainingStoppedError.after(
                self._noted.number,
                "when training was complete. It is saved; run the same command again for what "
                "comes after it.",
            )

    def _train_epoch(self, batches: Iterator[dict[str, Tensor]]) -> None:
        self._start_stage()
        self.model.train()
        steps = self.steps_per_epoch
        before = self.loader.batches.steps_before(self.epoch)
        self.recorder.start_epoch(before, steps, done=self.iteration)
        bar = tqdm(
            total=steps,
            initial=self.iteration,
            desc=f"epoch {self.epoch + 1}/{self.cfg.SOLVER.MAX_EPOCH}",
            disable=not (sys.stderr.isatty() and distributed.is_main_process()),
            leave=False,
        )
        with bar:
            while self.iteration < steps and not self.is_finished:
                self.recorder.start_iteration()
                if self.iteration == 0:
                    with torch.no_grad():
                        call_hook(cu.unwrap_model(self.model), "before_epoch", self.progress())
                lr = self._learning_rate()
                set_lr(self.optimizer, lr)
                losses, rows = self.step.take(batches, self.progress())
                self.iteration += 1
                self._record(losses, rows, lr)
                bar.update()
                stopped_by, is_late = self._is_stopped_or_late()
                if stopped_by:
                    self.save(wait=True)
                    raise TrainingStoppedError.after(
                        stopped_by,
                        f"after {self.steps_done} steps; a checkpoint is saved: run the same "
                        "command again to resume.",
                    )
                is_due = is_late or self.checkpoints.is_due_by_steps(self.steps_done)
                if is_due and self.iteration < steps and not self.is_finished:
                    self.save()

    def _start_stage(self) -> None:
        """Let batch norm see as many samples as in any other stage of the long cycle."""
        if not self.schedule.is_on:
            return
        text = self.schedule.describe(self.epoch)
        if self.schedule.stages:
            size = local_batch_size(self.cfg, "train")
            sync, splits = self.schedule.batch_norm(self.epoch, size)
            share_statistics(self.model, sync=sync, num_splits=splits)
            text += f"; batch norm {'over all processes' if sync else f'in {splits} split(s)'}"
        logger.info("epoch %d: %s", self.epoch + 1, text)

    def _learning_rate(self) -> float:
        """Compute the learning rate of the next step from the fractional epoch."""
        epoch = self.epoch + self.iteration / self.steps_per_epoch
        return get_epoch_lr(epoch, self.cfg, self._samples_per_step())

    def _record(self, losses: dict[str, Tensor], rows: list[Tensor], lr: float) -> None:
        """Record a step; save the model apart from the checkpoints if too many were skipped."""
        try:
            self.recorder.end_iteration(self.epoch, self.iteration, losses, lr, rows)
        except NotFiniteError:
            self.save(self.output_dir / STATE_NAME, wait=True)
            raise

    def progress(self) -> Progress:
        """Return where the training is, for the hooks of the method."""
        return Progress(
            step=self.steps_done,
            epoch=self.epoch,
            epoch_float=self.epoch + self.iteration / self.steps_per_epoch,
            max_epoch=self.cfg.SOLVER.MAX_EPOCH,
            steps_per_epoch=self.steps_per_epoch,
        )

    def _finish_epoch(self, after_epoch: Callable[[int], dict[str, float]]) -> None:
        saves = self.is_due(self.cfg.TRAIN.CHECKPOINT_PERIOD)
        if saves or self.is_due(self.cfg.TRAIN.EVAL_PERIOD):
            self._update_bn_stats(self.epoch - 1)
            share_buffers(self.model)
        self.recorder.end_epoch(self.epoch)
        # With a best checkpoint the validation comes first: a run that is killed in it resumes from
        # the checkpoint before and validates this epoch again.
        if self._best is not None:
            self._end_epoch(self._validate(after_epoch))
            if saves:
                self.save()
            return
        if saves:
            self.save(awaits_validation=self.cfg.TRAIN.EVAL_PERIOD > 0)
        self._end_epoch(self._validate(after_epoch, is_saved=saves))

    def _validate(
        self, after_epoch: Callable[[int], dict[str, float]], *, is_saved: bool = False
    ) -> dict[str, float]:
        """Validate after an epoch; a signal ends it where it is, if no other process is needed."""
        if not is_saved and distributed.world_size() > 1:
            return after_epoch(self.epoch)  # a signal waits for the next step, to save together
        try:
            with raising_on_signals():
                return after_epoch(self.epoch)
        except StopSignal as stop:
            if not is_saved:
                self.save(wait=True, awaits_validation=True)
            raise TrainingStoppedError.after(
                stop.number,
                f"in the validation after epoch {self.epoch}; a checkpoint of before it is saved: "
                "run the same command again to validate and resume.",
            ) from stop

    def _end_epoch(self, measurements: dict[str, float]) -> None:
        if self._best is not None and self._best.improves(measurements):
            self.save(self._best.path, best=self._best.describe())
        self.recorder.end_validation(self.epoch, self.steps_done, measurements)
        self.awaits_validation = False

    def _update_bn_stats(self, epoch: int) -> None:
        """Recompute batch norm's statistics on an epoch's batches, if BN.USE_PRECISE_STATS."""
        if not self.cfg.BN.USE_PRECISE_STATS:
            return
        state = rng_state()  # of dropout, which must not depend on when statistics are computed
        loader = self._construct_loader(short_cycle=False)
        loader.batches.start_at(epoch, 0)
        with contextlib.closing(iter(loader)) as batches:
            update_bn_stats(
                self.model,
                map(build_preprocess(self.cfg, train=True).to(self.device), batches),
                self.cfg.BN.NUM_BATCHES_PRECISE,
                self.precision,
            )
        set_rng_state(state)

    def _describe_dataset(self) -> DatasetInfo:
        dataset = self.loader.dataset
        return DatasetInfo(
            num_rows=dataset.num_files,
            num_samples=len(dataset),
            steps_per_epoch=self.steps_per_epoch,
            batch_size=samples_per_batch(self.cfg),
            world_size=distributed.world_size(),
        )

    def _check_labels(self, model: nn.Module) -> None:
        """Check that labels are within a classifier's head, before any video is decoded."""
        classes = getattr(model, "num_classes", None)
        manifest = self.loader.manifest
        if classes is not None and manifest is not None:
            check_labels(manifest, classes, "MODEL.NUM_CLASSES")

    def is_due(self, period: int) -> bool:
        """Return whether to evaluate or save now, after an epoch; the last one is always due.

        Args:
            period: TRAIN.EVAL_PERIOD or TRAIN.CHECKPOINT_PERIOD.
        """
        return self.is_finished or self.schedule.is_due(self.epoch, period)

    def save(self, path: Path | None = None, *, wait: bool = False, **extra: Any) -> None:
        """Save a checkpoint with everything needed to resume; every rank must call this.

        Args:
            path: The file; None: the name of the checkpoint after this epoch and iteration.
            wait: Return when it is written; else it is written while training continues.
            extra: Further entries.

        Raises:
            CheckpointError: If this checkpoint, or the one before, could not be written.
        """
        model, manifest = cu.unwrap_model(self.model), self.loader.manifest
        of_ranks = distributed.gather_objects((rng_state(), call_hook(model, "rank_state")))
        name = (self.output_dir, self.epoch, self.iteration, self.cfg.TASK)
        content = {
            "epoch": self.epoch - 1,
            "iteration": self.iteration,
            "samples_per_step": self._samples_per_step(),
            "model_state": model.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "scaler_state": self.precision.scaler.state_dict(),
            "precision": self.precision.dtype_name,
            "cfg": self.cfg.dump(),
            "data": describe_data(self.loader),
            "class_names": list(manifest.class_names) if manifest is not None else [],
            "rng_states": [rng for rng, _ in of_ranks],
            "rank_states": [state for _, state in of_ranks],
            "world_size": distributed.world_size(),
            **extra,
        }
        self.checkpoints.write(path or cu.checkpoint_path(*name), content, wait=wait)

    def _samples_per_step(self) -> int:
        """Samples of an optimizer step, over all processes and accumulated batches."""
        return local_batch_size(self.cfg, "train") * distributed.world_size() * self.accumulate

    def _is_stopped_or_late(self) -> tuple[int, bool]:
        """Return the signal that arrived, or 0, and whether TRAIN.CHECKPOINT_PERIOD_MIN is over.

        All ranks agree; with several, every LOG_PERIOD steps only, as this synchronizes them.
        """
        own = (self._noted.number, self.checkpoints.is_due_by_time())
        if distributed.world_size() == 1:
            return own
        if self.iteration % self.cfg.LOG_PERIOD:
            return 0, False
        of_ranks = distributed.gather_no_gradient(torch.tensor([own], dtype=torch.int64))  # (W, 2)
        stopped_by, late = of_ranks.amax(0).tolist()
        return stopped_by, late > 0


def _announce(number: int) -> None:
    logger.info("%s: finishing this iteration, then saving", signal.Signals(number).name)
