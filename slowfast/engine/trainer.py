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

from slowfast.config import CfgNode, ConfigValueError, UserError
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
from slowfast.engine.grad_cache import backward_in_chunks
from slowfast.engine.precise_bn import update_bn_stats
from slowfast.engine.precision import Precision
from slowfast.engine.recorder import Recorder, is_validated
from slowfast.engine.restart import (
    Restart,
    describe_data,
    load_own_weights,
    load_progress,
    load_rank_states,
)
from slowfast.engine.skipped_steps import STATE_NAME, NotFiniteError, RunningStatistics
from slowfast.engine.start import find_missing_weights, find_pretrained
from slowfast.models.batch_norm import share_statistics
from slowfast.models.build import LOSS_REGISTRY, construct_model
from slowfast.models.complexity import log_model_info
from slowfast.models.data_parallel import distribute, synchronized
from slowfast.models.method import DatasetInfo, Progress, call_hook, detached, without_media
from slowfast.models.optimizer import (
    clip_gradients,
    construct_optimizer,
    get_epoch_lr,
    set_lr,
)
from slowfast.models.weights import (
    can_resume,
    check_resumable,
    load_weights,
    read_checkpoint,
)
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
        self.awaits_validation = False
        self.prepare = build_preprocess(cfg, train=True, mix=True).to(device)
        model = construct_model(cfg)
        call_hook(model, "setup", self._describe_dataset())
        model = model.to(device)
        self._check_labels(model)
        if cfg.LOG_MODEL_INFO and distributed.is_main_process():
            log_model_info(model, cfg)
        weighted = with_class_weights(cfg, self.loader.manifest)
        self.criterion = LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(weighted)
        self.optimizer = construct_optimizer(model, cfg)
        self._statistics = RunningStatistics(model)
        self._noted = NotedSignals()
        self._best = BestCheckpoint.from_cfg(cfg)
        self.checkpoints = Checkpointer.from_cfg(cfg)
        self._restore(model)
        require_same_restart(Restart(self.epoch, self.iteration))
        self._forward: Callable[..., tuple[Any, dict[str, Tensor]]] = self._outputs_and_losses
        if cfg.DEVICE.COMPILE:
            # In place, so that the names in the state dict stay.
            model.compile()
            self._forward = torch.compile(self._outputs_and_losses)
        self.model = distribute(model, device)
        max_steps = self.loader.batches.steps_before(self.cfg.SOLVER.MAX_EPOCH)
        has_scaler = self.precision.scaler.is_enabled()
        self.recorder = Recorder(self.cfg, max_steps, device, has_scaler=has_scaler)
        if self.steps_done:
            self.recorder.resume(self.steps_done)

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
        self.recorder.start_epoch(self.loader.batches.steps_before(self.epoch), steps)
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
                lr = self._learning_rate()
                set_lr(self.optimizer, lr)
                losses, rows = self._step(batches)
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

    def _step(self, batches: Iterator[dict[str, Tensor]]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Take one optimizer step; gradients of its batches are averaged (models/method.py).

        Returns:
            The losses and ``grad_norm``, means over the batches; the rows of the manifest of each.
        """
        # 1. The method prepares the epoch and the step.
        progress = self._progress()
        if self.iteration == 0:
            self._call("before_epoch", progress)
        self._call("before_step", progress)
        self._statistics.keep()
        # 2. Each batch: preprocess, forward, loss, backward.
        total: dict[str, Tensor] = {}
        kept: list[tuple[Any, dict[str, Tensor]]] = []
        for micro in range(self.accumulate):
            with self.recorder.part("wait"):
                loaded = next(batches)
            self.recorder.watch_audio(loaded)
            with self.recorder.part("copy"):
                batch = self.prepare(loaded)
            if micro == 0:
                self.recorder.data_ready()
            outputs, losses = self._forward_backward(batch, is_last=micro == self.accumulate - 1)
            kept.append((detached(outputs), without_media(batch)))
            self.recorder.compare_with_chance(self.criterion, outputs)
            for name, value in losses.items():
                total[name] = total.get(name, 0.0) + value.detach() / self.accumulate
        # 3. Gradients: unscale, let the method change them, clip.
        with self.recorder.part("optimizer"):
            self.precision.unscale(self.optimizer)
        self._call("after_backward", progress)
        self.recorder.write_weights(self.model, self.iteration + 1)
        outputs, batch = kept[-1]
        self.recorder.watch_embeddings(outputs, self.model, len(batch["index"]), self.iteration + 1)
        solver = self.cfg.SOLVER
        with self.recorder.part("optimizer"):
            grad_norm = clip_gradients(
                self.model, clip_value=solver.CLIP_GRAD_VAL, clip_norm=solver.CLIP_GRAD_L2NORM
            )
            # 4. The optimizer steps, unless the gradient is not finite.
            is_finite = grad_norm.isfinite()
            stepped = self.precision.step(self.optimizer, is_finite)
            self._statistics.restore_unless(is_finite)
            self.optimizer.zero_grad(set_to_none=True)
        progress = progress._replace(stepped=stepped)
        # 5. The method updates banks and queues, then moving averages.
        for outputs, batch in kept:
            self._call("after_batch", outputs, batch, progress)
        self._call("after_step", progress)
        return {**total, "grad_norm": grad_norm}, [batch["index"] for _, batch in kept]

    def _forward_backward(
        self, batch: dict[str, Tensor], *, is_last: bool
    ) -> tuple[Any, dict[str, Tensor]]:
        """Add the gradient of a batch; the last one of a step synchronizes across processes."""

        def scale(loss: Tensor) -> Tensor:
            # A loss that is not finite makes the gradients so, in all processes.
            mark = torch.where(loss.detach().isfinite(), 1.0, torch.nan)
            return self.precision.scaler.scale(loss * mark / self.accumulate)

        if 0 < self.cfg.SOLVER.GRAD_CACHE_CHUNK < len(batch["index"]):
            with self.recorder.part("forward and backward"):
                return backward_in_chunks(
                    self.model,
                    self.criterion,
                    batch,
                    chunk=self.cfg.SOLVER.GRAD_CACHE_CHUNK,
                    precision=self.precision,
                    scale=scale,
                    is_last=is_last,
                )
        with synchronized(self.model, is_last):
            with self.recorder.part("forward"), self.precision.autocast():
                outputs, losses = self._forward(batch)
            with self.recorder.part("backward"):
                scale(losses["loss"]).backward()
        return outputs, losses

    def _outputs_and_losses(self, batch: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
        outputs = self.model(batch)
        return outputs, self.criterion(outputs, batch)

    def _progress(self) -> Progress:
        return Progress(
            step=self.steps_done,
            epoch=self.epoch,
            epoch_float=self.epoch + self.iteration / self.steps_per_epoch,
            max_epoch=self.cfg.SOLVER.MAX_EPOCH,
            steps_per_epoch=self.steps_per_epoch,
        )

    def _call(self, hook: str, *args: Any) -> None:
        """Call a hook of the method, without gradients."""
        with torch.no_grad():
            call_hook(cu.unwrap_model(self.model), hook, *args)

    def _finish_epoch(self, after_epoch: Callable[[int], dict[str, float]]) -> None:
        saves = self.is_due(self.cfg.TRAIN.CHECKPOINT_PERIOD)
        if saves or self.is_due(self.cfg.TRAIN.EVAL_PERIOD):
            self._update_bn_stats(self.epoch - 1)
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

    def _restore(self, model: nn.Module) -> None:
        train = self.cfg.TRAIN
        if distributed.is_main_process():
            cu.remove_drafts(self.output_dir)
        last = cu.find_last_checkpoint(self.output_dir, self.cfg.TASK)
        if train.AUTO_RESUME and last is not None:
            content = cu.read_checkpoint_file(last)
            check_resumable(content, last)
            load_own_weights(model, content, str(last))
            self._resume_progress(content, str(last))
            load_rank_states(model, content, str(last))
            if self._best is not None:
                self._best.resume()
            return
        for problem in find_missing_weights(self.cfg):
            raise ConfigValueError(problem.key, problem.message)
        path = find_pretrained(self.cfg)
        if not path:
            logger.info("starting from random weights")
            return
        content = read_checkpoint(path)
        load_weights(
            model,
            path,
            checkpoint_type=train.CHECKPOINT_TYPE,
            clear_patterns=tuple(train.CHECKPOINT_CLEAR_NAME_PATTERN),
            inflate_2d=train.CHECKPOINT_INFLATE,
            content=content,
        )
        own = path == train.CHECKPOINT_FILE_PATH  # else it is of another TASK
        if own and not train.CHECKPOINT_EPOCH_RESET and can_resume(content):
            self._resume_progress(content, path)

    def _resume_progress(self, content: dict[str, Any], path: str) -> None:
        progress = load_progress(content, path, self.optimizer, self.precision, self.loader)
        if progress.iteration:
            progress = progress.with_samples_per_step(
                content.get("samples_per_step"),
                self._samples_per_step(),
                is_constant=not self.schedule.is_on,
            )
        self.epoch, self.iteration = progress
        self.awaits_validation = bool(content.get("awaits_validation")) and not is_validated(
            self.output_dir, self.epoch
        )
        logger.info("resuming from %s: epoch %d, iteration %d", path, *progress)

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
