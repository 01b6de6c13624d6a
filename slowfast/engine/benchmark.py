"""Where the time of a training step goes: the training loop itself, measured, without a run."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slowfast.config import CfgNode, UserError
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.load_times import LoaderSpeed, SampleTimes, time_loader, time_samples
from slowfast.datasets.loader import construct_train_loader, samples_per_batch
from slowfast.engine.recorder import Recorder
from slowfast.engine.trainer import Trainer
from slowfast.utils import distributed
from slowfast.utils.cores import num_workers
from slowfast.utils.meters import peak_memory
from slowfast.utils.placement import local_world_size

__all__ = ["NO_OUTPUT", "PARTS", "Measured", "StepTimes", "fake_data", "measure", "measure_steps"]

logger = logging.getLogger(__name__)

NO_OUTPUT: dict[str, Any] = {
    "TRAIN.ENABLE": True,
    "TEST.ENABLE": False,
    "TRAIN.AUTO_RESUME": False,
    "TRAIN.CHECKPOINT_FILE_PATH": "",  # weights do not change the time
    "TRAIN.EVAL_BEFORE": False,
    "TEST.BEST_CHECKPOINT": False,
    "BN.USE_PRECISE_STATS": False,
    "TENSORBOARD.ENABLE": False,
    "LOG_MODEL_INFO": False,
}
"""Dotted keys for a training that is only measured."""

PARTS = ("wait", "copy", "forward", "backward", "forward and backward", "optimizer", "other")
"""Parts of a step in their order; "forward and backward" with SOLVER.GRAD_CACHE_CHUNK."""

_FAKE = {False: "fake", True: "fake_audio"}


class StepTimes(NamedTuple):
    """Times of optimizer steps.

    Attributes:
        step: Median time of a step, in seconds. On a GPU the device is not waited for within it.
        parts: Median time of each part of ``PARTS`` that occurs, in seconds. On a GPU they are of
            other steps, in which the device is waited for after each part, so that their sum may be
            more than ``step``. "copy" also normalizes frames and computes spectrograms; "other"
            is the rest, such as the hooks of the method.
        cpu: Median CPU time of this process for a step, in seconds, over all of its threads.
        steps: Steps that were measured.
        steps_per_epoch: Steps of the first epoch.
        precision: Dtype of autocast, such as "bfloat16".
        peak_bytes: Memory that was allocated on the GPU at most, or the peak resident memory of
            this process on the CPU.
    """

    step: float
    parts: dict[str, float]
    cpu: float
    steps: int
    steps_per_epoch: int
    precision: str
    peak_bytes: int


class Measured(NamedTuple):
    """Times of a training process.

    Attributes:
        steps: Times of its steps.
        samples: Times of a sample in one thread; None with fake data.
        loader: Speed of its loader alone; None with fake data.
        samples_per_step: Samples of a step of this process, with SOLVER.ACCUMULATE_STEPS.
        workers: Its data workers.
    """

    steps: StepTimes
    samples: SampleTimes | None
    loader: LoaderSpeed | None
    samples_per_step: int
    workers: int

    @property
    def compute(self) -> float:
        """Time of a step that does not wait for data, in seconds."""
        return max(0.0, self.steps.step - self.steps.parts["wait"])

    @property
    def wait(self) -> float:
        """Time that a step of a long training waits for data, in seconds.

        The first steps use batches that were loaded while the training started; later a step takes
        at least as long as the loader alone needs for its samples.
        """
        if self.loader is None:
            return self.steps.parts["wait"]
        load = self.samples_per_step / self.loader.samples_per_sec
        return max(self.steps.parts["wait"], load - self.compute)

    @property
    def needed_workers(self) -> int | None:
        """Data workers that load as fast as the model computes; None with fake data."""
        if self.samples is None or not self.compute:
            return None
        return math.ceil(self.samples.total * self.samples_per_step / self.compute)


class _PartTimer(Recorder):
    """Times the parts of each iteration, and records nothing else."""

    def __init__(self, cfg: CfgNode, max_steps: int, device: torch.device) -> None:
        super().__init__(cfg, max_steps, device)
        self.times: list[dict[str, float]] = []
        self._now: dict[str, float] = {}
        self._began = self._cpu_began = 0.0

    @property
    def _waits_for_device(self) -> bool:
        """Whether the parts of this step are told apart: on a GPU, in every other step."""
        return self._device.type != "cuda" or len(self.times) % 2 == 1

    def start_iteration(self) -> None:
        self._synchronize()
        self._now = {}
        self._began, self._cpu_began = time.perf_counter(), time.process_time()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        if self._waits_for_device:
            self._synchronize()
        self._now[name] = self._now.get(name, 0.0) + time.perf_counter() - began

    def compare_with_chance(self, criterion: Any, outputs: Any) -> None:
        """Do nothing."""

    def watch_embeddings(self, outputs: Any, model: nn.Module, batch_size: int, step: int) -> None:
        """Do nothing."""

    def watch_audio(self, batch: Mapping[str, Tensor]) -> None:
        """Do nothing."""

    def write_weights(self, model: nn.Module, step: int) -> None:
        """Do nothing."""

    def end_iteration(
        self,
        epoch: int,
        iteration: int,
        losses: dict[str, Tensor],
        lr: float,
        rows: Sequence[Tensor] = (),
    ) -> None:
        self._synchronize()
        total = time.perf_counter() - self._began
        other = max(0.0, total - sum(self._now.values()))
        cpu = time.process_time() - self._cpu_began
        self.times.append({**self._now, "other": other, "step": total, "cpu": cpu})

    def end_epoch(self, epochs_done: int) -> None:
        """Do nothing."""

    def end_validation(self, epochs_done: int, step: int, measurements: dict[str, float]) -> None:
        """Do nothing."""

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class _MeasuredTrainer(Trainer):
    """Trains without checkpoints and logs."""

    def __init__(self, cfg: CfgNode, device: torch.device) -> None:
        super().__init__(cfg, device)
        self.recorder: _PartTimer = _PartTimer(self.cfg, cfg.TRAIN.MAX_STEPS, device)
        self.step.recorder = self.recorder

    def save(self, path: Path | None = None, *, wait: bool = False, **extra: Any) -> None:
        """Do nothing."""


def measure(
    cfg: CfgNode, device: torch.device, *, steps: int, warm_up: int, seconds: float
) -> Measured:
    """Measure samples, the loader and training steps, one after the other.

    Args:
        cfg: The configuration; see ``measure_steps``.
        device: Device to train on.
        steps: Steps to measure.
        warm_up: Steps before them.
        seconds: Time for samples, and for the loader.

    Returns:
        The times of this process.

    Raises:
        UserError: If there is no data, or the training is too short or fails.
    """
    processes, on_gpu = local_world_size(cfg.NUM_SHARDS), device.type == "cuda"
    workers = num_workers(cfg.DATA_LOADER.NUM_WORKERS, processes=processes, on_gpu=on_gpu)
    samples = loader = None
    if cfg.TRAIN.DATASET.lower() not in _FAKE.values():
        logger.info("loading samples in this process")
        samples = time_samples(construct_train_loader(cfg), seconds)
        distributed.barrier()
        logger.info("loading with %d data worker%s", workers, "" if workers == 1 else "s")
        loader = time_loader(construct_train_loader(cfg), workers, seconds)
        distributed.barrier()
    logger.info("training: %d steps, the first %d to warm up", warm_up + steps, warm_up)
    of_step = samples_per_batch(cfg) * cfg.SOLVER.ACCUMULATE_STEPS
    return Measured(
        measure_steps(cfg, device, steps=steps, warm_up=warm_up), samples, loader, of_step, workers
    )


def fake_data(dataset: str) -> dict[str, Any]:
    """Return keys that replace the training data by noise of the same shapes.

    Args:
        dataset: TRAIN.DATASET.

    Returns:
        Dotted key -> value.
    """
    is_audio = DATASET_REGISTRY.capability(dataset, "audio_only")
    # Noise costs nothing to load: workers would only copy it.
    return {"TRAIN.DATASET": _FAKE[is_audio], "DATA.FOLD": 0, "DATA_LOADER.NUM_WORKERS": 0}


def measure_steps(cfg: CfgNode, device: torch.device, *, steps: int, warm_up: int) -> StepTimes:
    """Train some steps and time their parts.

    Args:
        cfg: The configuration, with the keys of ``NO_OUTPUT``. OUTPUT_DIR only receives
            ``bad_media.csv``; TRAIN.MAX_STEPS is set here.
        device: Device to train on.
        steps: Steps to measure; on a GPU as many again, for the parts.
        warm_up: Steps before them.

    Returns:
        The times; of fewer steps if the training ends before.

    Raises:
        UserError: If the training has no more steps than ``warm_up``, or fails.
    """
    cfg = cfg.clone()
    cfg.defrost()
    on_gpu = device.type == "cuda"
    cfg.TRAIN.MAX_STEPS = warm_up + (2 * steps if on_gpu else steps)
    cfg.freeze()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    trainer = _MeasuredTrainer(cfg, device)
    trainer.train()
    steps_per_epoch = trainer.loader.batches.steps_in(0)
    precision = trainer.precision.dtype_name
    return _summarize(trainer.recorder.times, warm_up, steps_per_epoch, precision, device)


def _summarize(
    times: list[dict[str, float]],
    warm_up: int,
    steps_per_epoch: int,
    precision: str,
    device: torch.device,
) -> StepTimes:
    on_gpu = device.type == "cuda"
    measured = list(enumerate(times))[warm_up:]
    whole = [t for number, t in measured if not on_gpu or number % 2 == 0]
    split = [t for number, t in measured if not on_gpu or number % 2 == 1]
    if not whole or not split:
        raise UserError(
            f"the training has only {len(times)} steps, too few to measure any after {warm_up} to "
            "warm up: raise SOLVER.MAX_EPOCH, lower TRAIN.BATCH_SIZE or --warmup."
        )

    def median(of: list[dict[str, float]], name: str) -> float:
        return statistics.median(t.get(name, 0.0) for t in of)

    parts = {name: median(split, name) for name in PARTS if any(name in t for t in split)}
    # While the device computes, workers load: steps that do not wait for it show what is lost.
    parts["wait"] = median(whole, "wait")
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else peak_memory() * 2**30
    return StepTimes(
        median(whole, "step"),
        parts,
        median(whole, "cpu"),
        len(whole),
        steps_per_epoch,
        precision,
        int(peak),
    )
