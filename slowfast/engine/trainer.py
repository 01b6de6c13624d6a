"""The training loop of all methods: a model returns outputs, a criterion returns losses."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

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
from slowfast.engine.best import BestCheckpoint
from slowfast.engine.class_weights import with_class_weights
from slowfast.engine.grad_cache import backward_in_chunks
from slowfast.engine.precise_bn import update_bn_stats
from slowfast.engine.precision import Precision
from slowfast.engine.recorder import Recorder
from slowfast.engine.restart import (
    describe_data,
    load_own_weights,
    load_progress,
    load_rank_states,
)
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

__all__ = ["Trainer", "TrainingStoppedError"]

logger = logging.getLogger(__name__)


class TrainingStoppedError(UserError):
    """Training was stopped by a signal; a checkpoint is saved."""


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
        self.signal_received = 0
        self._best = BestCheckpoint.from_cfg(cfg)
        self._restore(model)
        self.model = distribute(model, device)
        max_steps = self.loader.batches.steps_before(self.cfg.SOLVER.MAX_EPOCH)
        self.recorder = Recorder(self.cfg, max_steps, device)

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
            TrainingStoppedError: After SIGINT, SIGTERM or SIGUSR1, with a checkpoint saved.
            UserError: If the loss is not finite or explodes.
        """
        self.loader.batches.start_at(self.epoch, self.iteration * self.accumulate)
        with _catch_signals(self), contextlib.closing(iter(self.loader)) as batches:
            while not self.is_finished:
                self._train_epoch(batches)
                if self.iteration < self.steps_per_epoch:  # MAX_STEPS ends within an epoch
                    self._update_bn_stats(self.epoch)
                    self.save()
                    break
                self.epoch, self.iteration = self.epoch + 1, 0
                self._finish_epoch(after_epoch)
        self.recorder.close()

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
                losses, grad_norm = self._step(batches)
                self.iteration += 1
                self.recorder.end_iteration(self.epoch, self.iteration, losses, lr, grad_norm)
                bar.update()
                if self._is_stopped():
                    self.save()
                    raise TrainingStoppedError(
                        f"stopped by signal {self.signal_received} after {self.steps_done} steps; "
                        "a checkpoint is saved: run the same command again to resume."
                    )

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
        samples = local_batch_size(self.cfg, "train") * distributed.world_size() * self.accumulate
        return get_epoch_lr(self.epoch + self.iteration / self.steps_per_epoch, self.cfg, samples)

    def _step(self, batches: Iterator[dict[str, Tensor]]) -> tuple[dict[str, Tensor], Tensor]:
        """Take one optimizer step; gradients of its batches are averaged (models/method.py)."""
        # 1. The method prepares the epoch and the step.
        progress = self._progress()
        if self.iteration == 0:
            self._call("before_epoch", progress)
        self._call("before_step", progress)
        # 2. Each batch: preprocess, forward, loss, backward.
        total: dict[str, Tensor] = {}
        kept: list[tuple[Any, dict[str, Tensor]]] = []
        for micro in range(self.accumulate):
            batch = self.prepare(next(batches))
            if micro == 0:
                self.recorder.data_ready()
            outputs, losses = self._forward_backward(batch, is_last=micro == self.accumulate - 1)
            kept.append((detached(outputs), without_media(batch)))
            self.recorder.compare_with_chance(self.criterion, outputs)
            for name, value in losses.items():
                total[name] = total.get(name, 0.0) + value.detach() / self.accumulate
        # 3. Gradients: unscale, let the method change them, clip.
        self.precision.unscale(self.optimizer)
        self._call("after_backward", progress)
        solver = self.cfg.SOLVER
        grad_norm = clip_gradients(
            self.model, clip_value=solver.CLIP_GRAD_VAL, clip_norm=solver.CLIP_GRAD_L2NORM
        )
        # 4. The optimizer steps.
        stepped = self.precision.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)
        progress = progress._replace(stepped=stepped)
        # 5. The method updates banks and queues, then moving averages.
        for outputs, batch in kept:
            self._call("after_batch", outputs, batch, progress)
        self._call("after_step", progress)
        return total, grad_norm

    def _forward_backward(
        self, batch: dict[str, Tensor], *, is_last: bool
    ) -> tuple[Any, dict[str, Tensor]]:
        """Add the gradient of a batch; the last one of a step synchronizes across processes."""

        def scale(loss: Tensor) -> Tensor:
            return self.precision.scaler.scale(loss / self.accumulate)

        if 0 < self.cfg.SOLVER.GRAD_CACHE_CHUNK < len(batch["index"]):
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
            with self.precision.autocast():
                outputs = self.model(batch)
                losses = self.criterion(outputs, batch)
            scale(losses["loss"]).backward()
        return outputs, losses

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
        # With a best checkpoint the validation comes first: a run that is killed in it resumes from
        # the checkpoint before and validates this epoch again.
        measurements = after_epoch(self.epoch) if self._best is not None else {}
        if self._best is not None and self._best.improves(measurements):
            self.save(self._best.path, best=self._best.describe())
        if saves:
            self.save()
        if self._best is None:
            measurements = after_epoch(self.epoch)
        self.recorder.end_epoch(self.epoch, measurements)

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

    def save(self, path: Path | None = None, **extra: Any) -> None:
        """Save a checkpoint with everything needed to resume; every rank must call this.

        Args:
            path: The file; None: the name of the checkpoint after this epoch and iteration.
            extra: Further entries.
        """
        model, manifest = cu.unwrap_model(self.model), self.loader.manifest
        of_ranks = distributed.gather_objects((rng_state(), call_hook(model, "rank_state")))
        if distributed.is_main_process():
            name = (self.output_dir, self.epoch, self.iteration, self.cfg.TASK)
            cu.write_checkpoint_file(
                path or cu.checkpoint_path(*name),
                {
                    "epoch": self.epoch - 1,
                    "iteration": self.iteration,
                    "model_state": model.state_dict(),
                    "optimizer_state": self.optimizer.state_dict(),
                    "scaler_state": self.precision.scaler.state_dict(),
                    "cfg": self.cfg.dump(),
                    "data": describe_data(self.loader),
                    "class_names": list(manifest.class_names) if manifest is not None else [],
                    "rng_states": [rng for rng, _ in of_ranks],
                    "rank_states": [state for _, state in of_ranks],
                    "world_size": distributed.world_size(),
                    **extra,
                },
            )
        distributed.barrier()

    def _restore(self, model: nn.Module) -> None:
        train = self.cfg.TRAIN
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
        self.epoch, self.iteration = progress
        logger.info("resuming from %s: epoch %d, iteration %d", path, *progress)

    def _is_stopped(self) -> bool:
        """Agree over all ranks; with several, check periodically only, as it synchronizes."""
        if distributed.world_size() == 1:
            return self.signal_received > 0
        if self.iteration % self.cfg.LOG_PERIOD:
            return False
        flag = distributed.all_reduce_sum(torch.tensor([float(self.signal_received > 0)]))
        return bool(flag.item() > 0)


@contextlib.contextmanager
def _catch_signals(trainer: Trainer) -> Iterator[None]:
    """Stop cleanly on the first SIGINT, SIGTERM or SIGUSR1; a second one acts at once."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {s: signal.getsignal(s) for s in signals}

    def note(number: int, _: object) -> None:
        trainer.signal_received = number
        signal.signal(number, before[signal.Signals(number)])
        logger.info("signal %d: finishing this iteration, then saving", number)

    try:
        for s in signals:
            signal.signal(s, note)
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
