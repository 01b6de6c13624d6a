"""How long samples take to load, and where the time goes."""

from __future__ import annotations

import contextlib
import cProfile
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import torch

from slowfast.config import UserError
from slowfast.datasets.collate import collate
from slowfast.datasets.fault_tolerant import SampleOrError
from slowfast.datasets.resilient_loader import ResilientLoader
from slowfast.datasets.sampler import TrainBatches
from slowfast.datasets.views.functional import use_one_thread

__all__ = ["LoaderSpeed", "SampleTimes", "time_loader", "time_samples"]

_HERE = Path(__file__).parent
_PARTS = {"decode": str(_HERE / "decoding"), "augment": str(_HERE / "views")}
_FEWEST = 4
"""Samples to measure, however long they take."""


class SampleTimes(NamedTuple):
    """Mean times of a sample in one thread, in seconds.

    Attributes:
        decode: Opening, seeking, decoding, resizing to the short side: ``datasets/decoding``.
        augment: Crops, colors and all other views: ``datasets/views``.
        other: The rest of the dataset.
        collate: Stacking samples to a batch, per sample.
        cpu: CPU time of all of it; less than the sum of the others if storage is waited for, or if
            the machine is busy.
        samples: Samples that were measured.
    """

    decode: float
    augment: float
    other: float
    collate: float
    cpu: float
    samples: int

    @property
    def total(self) -> float:
        """Wall-clock time of a sample, in seconds."""
        return self.decode + self.augment + self.other + self.collate


class LoaderSpeed(NamedTuple):
    """Throughput of a loader whose batches are not trained on.

    Attributes:
        samples_per_sec: Samples of this process per second.
        batches: Batches that were measured.
    """

    samples_per_sec: float
    batches: int


def time_samples(loader: ResilientLoader[TrainBatches], seconds: float) -> SampleTimes:
    """Load samples in this process, one after the other, as a data worker does.

    Parts are told apart by the package of the code that runs, so that any dataset can be measured.

    Args:
        loader: A loader of training batches; its position does not change.
        seconds: Stop after this time, and after the first four batches. At least four samples are
            measured if there are as many.

    Returns:
        The times.

    Raises:
        UserError: If the data cannot be loaded (``DATA.ON_DECODE_ERROR``).
    """
    keys = itertools.chain.from_iterable(itertools.islice(iter(loader.batches), _FEWEST))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    use_one_thread()
    try:
        return _measure(lambda key: loader.dataset[key], list(keys), seconds)
    finally:
        torch.set_num_threads(threads)


def _measure(load: Callable[[Any], SampleOrError], keys: list[Any], seconds: float) -> SampleTimes:
    items = [load(keys[0])]  # warm-up: imports, caches of modules
    profile = cProfile.Profile(builtins=False)
    wall, cpu, began = 0.0, 0.0, time.perf_counter()
    for key in keys[1:] or keys:
        start, cpu_start = time.perf_counter(), time.process_time()
        items.append(profile.runcall(load, key))
        wall += time.perf_counter() - start
        cpu += time.process_time() - cpu_start
        if items[-1].fatal:
            raise UserError(items[-1].fatal)
        if len(items) > _FEWEST and time.perf_counter() - began > seconds:
            break
    measured = items[1:]
    start, cpu_start = time.perf_counter(), time.process_time()
    collate(measured)
    stacked, cpu = time.perf_counter() - start, cpu + time.process_time() - cpu_start
    count = sum(len(i.sample) if isinstance(i.sample, list) else 1 for i in measured)
    parts = {name: _time_in(profile, folder) / count for name, folder in _PARTS.items()}
    other = max(0.0, wall / count - sum(parts.values()))
    return SampleTimes(
        **parts, other=other, collate=stacked / count, cpu=cpu / count, samples=count
    )


def _time_in(profile: cProfile.Profile, folder: str) -> float:
    """Add the times of all calls from outside of a folder into it, in seconds."""
    return sum(
        call.totaltime
        for caller in profile.getstats()
        if not _is_in(caller.code, folder)
        for call in caller.calls or ()
        if _is_in(call.code, folder)
    )


def _is_in(code: CodeType | str, folder: str) -> bool:
    return isinstance(code, CodeType) and code.co_filename.startswith(folder)


def time_loader(loader: ResilientLoader[TrainBatches], workers: int, seconds: float) -> LoaderSpeed:
    """Measure how fast the data workers load when nobody keeps them waiting.

    Args:
        loader: A loader of training batches, at its start.
        workers: Its data workers. Their first batches hold their start and are not measured.
        seconds: Stop after this time; each worker loads at least one more batch.

    Returns:
        The throughput.

    Raises:
        UserError: If the training has too few batches.
    """
    each = max(1, workers)
    with contextlib.closing(iter(loader)) as batches:
        found = sum(1 for _ in itertools.islice(batches, each))
        samples = made = 0
        start, elapsed = time.perf_counter(), 0.0
        while found and (not made or elapsed < seconds):
            sizes = [len(batch["index"]) for batch in itertools.islice(batches, each)]
            found, made, samples = len(sizes), made + len(sizes), samples + sum(sizes)
            elapsed = time.perf_counter() - start
    if not made:
        raise UserError(
            f"the training has only {each} batches or less, too few to measure the loader: raise "
            "SOLVER.MAX_EPOCH, or lower TRAIN.BATCH_SIZE or DATA_LOADER.NUM_WORKERS."
        )
    return LoaderSpeed(samples / elapsed, made)
