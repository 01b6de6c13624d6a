"""A data loader with worker processes that survive files which hang or crash a worker."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from slowfast.config import ConfigValueError, UserError
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.bad_media import BadMediaLog
from slowfast.datasets.collate import LoadedBatch, collate
from slowfast.datasets.decoding.error_codes import timeout_message, worker_crash_message
from slowfast.datasets.fault_tolerant import FaultTolerantDataset, Heartbeat
from slowfast.datasets.sampler import EvaluationBatches, TrainBatches
from slowfast.datasets.views.functional import use_one_thread
from slowfast.datasets.worker_guard import WorkerGuard, is_stopped
from slowfast.utils.io import printable
from slowfast.utils.stop_signals import end_with_parent, ignore_signals

__all__ = ["LoaderSettings", "ResilientLoader"]

logger = logging.getLogger(__name__)

_POLL_SEC = 0.5

_ORPHAN_SEC = 1.0
"""A process that was killed closes its connections some time before its children notice."""

_SHARED_MEMORY = "/dev/shm"

_DEATHS_OF_A_FILE = 3
"""Worker crashes in a row on the same file before it is put in quarantine. A single worker may be
killed for another reason, such as lack of memory, and that must not change the training data."""

_DEATHS_IN_A_ROW = 10
"""Worker crashes without a batch in between after which the run stops."""

Batches = TypeVar("Batches", TrainBatches, EvaluationBatches)


class LoaderSettings(NamedTuple):
    """Settings of a loader.

    Attributes:
        num_workers: Worker processes; 0 loads in the main process, without protection from hangs.
        prefetch_factor: Batches that each worker loads in advance.
        pin_memory: Copy batches to pinned memory.
        file_timeout_sec: Timeout for decoding a file, in seconds; 0: none.
    """

    num_workers: int = 0
    prefetch_factor: int = 2
    pin_memory: bool = False
    file_timeout_sec: float = 60.0


class ResilientLoader(Generic[Batches]):
    """Iterates over collated batches; restarts crashed workers and quarantines bad files.

    After a restart the lost batches are loaded again, so that a worker that dies for another reason
    than a bad file does not change the batches.

    Args:
        dataset: The dataset.
        batches: TrainBatches or EvaluationBatches; its ``position`` counts the batches that were
            returned.
        settings: Settings of the workers.
        bad_media: The log of bad files.
    """

    def __init__(
        self,
        dataset: FaultTolerantDataset,
        batches: Batches,
        settings: LoaderSettings,
        bad_media: BadMediaLog,
    ) -> None:
        self.batches: Batches = batches
        self.dataset, self.bad_media, self._settings = dataset, bad_media, settings
        self._suspects: dict[int, tuple[int, int]] = {}  # row -> crashes, batch by which it is done
        self._deaths = 0  # worker crashes since the last batch
        self._guard: WorkerGuard | None = None
        for row in bad_media.restore(dataset.path_of_row):
            dataset.quarantine[row] = True

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def manifest(self) -> Manifest | None:
        """The list of the files; None for a dataset without one."""
        return self.dataset.manifest

    def __iter__(self) -> Generator[dict[str, Tensor]]:
        for loaded in self._loaded():
            for bad in loaded.bad:
                self.bad_media.add(bad)
            if loaded.fatal:
                raise UserError(loaded.fatal)
            if loaded.batch is not None:
                yield loaded.batch

    def _loaded(self) -> Generator[LoadedBatch]:
        """Yield every batch once; restart the workers if needed."""
        iterator = self._start()
        try:
            while True:
                try:
                    loaded = self._next(iterator)
                except StopIteration:
                    return
                except (RuntimeError, OSError, EOFError) as error:
                    _raise_if_shared_memory_is_full(error)
                    culprits = self._find_culprits(iterator, error)
                    if culprits is not None:
                        self._stop(iterator)
                        self._set_aside(culprits)
                        iterator = self._start()
                    continue
                self.batches.position += 1
                self._deaths = 0
                yield loaded
        finally:
            self._stop(iterator)

    def _next(self, iterator: Any) -> LoadedBatch:
        """Return the next batch, under the eyes of the guard."""
        if self._guard is None:
            return cast("LoadedBatch", next(iterator))
        self._guard.waiting_since = self._guard.waiting_since or time.monotonic()
        loaded = cast("LoadedBatch", next(iterator))
        self._guard.waiting_since = None
        return loaded

    def _start(self) -> Any:
        """Start the workers; a crash is detected only when the next batch is requested.

        The signal handler of torch would raise an exception wherever the main thread is, usually in
        the backward pass. It is therefore replaced by the previous one.
        """
        before = signal.getsignal(signal.SIGCHLD) if _is_main_thread() else None
        try:
            iterator = iter(self._new_loader())
        except RuntimeError as error:
            _raise_if_shared_memory_is_full(error)
            raise
        if _is_main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)
        heartbeat, limit_sec = self.dataset.heartbeat, self._settings.file_timeout_sec
        if heartbeat is not None and limit_sec > 0:
            self._guard = WorkerGuard(iterator, heartbeat, limit_sec)
        return iterator

    def _new_loader(self) -> DataLoader[Any]:
        workers = self._settings.num_workers
        self.dataset.heartbeat = Heartbeat(workers) if workers else None
        if workers:
            self.dataset.quarantine.share_memory_()
            # Before the fork: a worker that inherits OpenCV's threads may hang when it ends them.
            use_one_thread()
        polls = workers > 0 and self._settings.file_timeout_sec > 0
        timeout = min(_POLL_SEC, self._settings.file_timeout_sec) if polls else 0
        return DataLoader(
            self.dataset,
            batch_sampler=self.batches,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=self._settings.pin_memory,
            timeout=timeout,
            prefetch_factor=self._settings.prefetch_factor if workers else None,
            # In a rank that was spawned the default would be to spawn: seconds for each worker.
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            worker_init_fn=partial(_start_worker, is_own_thread=not _is_main_thread()),
            # A separate generator: starting a loader must not use the generator of dropout, or a
            # resumed run would differ from an uninterrupted one.
            generator=torch.Generator(),
        )

    def _find_culprits(self, iterator: Any, error: Exception) -> dict[int, str] | None:
        """Find the samples to quarantine before a restart; None if workers are only slow."""
        heartbeat = self.dataset.heartbeat
        text = str(error)
        # Receiving a batch of a worker that died right after sending it raises an OSError.
        is_broken = isinstance(error, OSError | EOFError)
        dead = _dead_workers(iterator, wait_sec=1.0 if is_broken else 0.0)
        if heartbeat is not None and dead and (is_broken or "exited unexpectedly" in text):
            codes = {i: iterator._workers[i].exitcode for i in dead}
            logger.warning(
                "restarting the data workers: one died (%s)",
                "; ".join(worker_crash_message(code) for code in codes.values()),
            )
            self._deaths += 1
            at_work = {
                heartbeat.current(i): worker_crash_message(code) for i, code in codes.items()
            }
            culprits = {
                index: reason
                for index, reason in at_work.items()
                if index is not None and self._is_guilty(self.dataset.row(index))
            }
            stuck = "" if self._guard is None else self._guard.found
            if not culprits and self._deaths >= _DEATHS_IN_A_ROW and stuck:
                raise ConfigValueError(
                    "DATA.FILE_TIMEOUT_SEC",
                    f"data workers were ended {self._deaths} times in a row without a batch in "
                    f"between: {stuck}. Look for what stops or blocks them; raise the limit if a "
                    "batch may take that long.",
                )
            if not culprits and self._deaths >= _DEATHS_IN_A_ROW:
                raise UserError(
                    f"data workers died {self._deaths} times in a row without a batch in between "
                    f"({text.splitlines()[0]}). The usual cause is lack of memory: lower "
                    "DATA_LOADER.NUM_WORKERS, DATA_LOADER.PREFETCH_FACTOR or TRAIN.BATCH_SIZE."
                ) from error
            return culprits
        if heartbeat is not None and "timed out" in text:
            limit = self._settings.file_timeout_sec
            reason = timeout_message(limit, "DATA.FILE_TIMEOUT_SEC")
            overdue = heartbeat.overdue(limit)
            ended = set() if self._guard is None else self._guard.ended
            hangs = {
                worker: index
                for worker, index in overdue.items()
                if worker not in ended and not is_stopped(iterator._workers[worker])
            }
            for worker in hangs:
                iterator._workers[worker].kill()
            return dict.fromkeys(hangs.values(), reason) or None
        raise error

    def _is_guilty(self, file: int) -> bool:
        """Count a crash of a worker on a file; True if the file has to be quarantined."""
        position = self.batches.position
        deaths, done_by = self._suspects.get(file, (0, position))
        if position > done_by:  # the file was decoded in the meantime
            deaths = 0
        ahead = self._settings.num_workers * self._settings.prefetch_factor
        self._suspects[file] = deaths + 1, position + ahead
        return deaths + 1 >= _DEATHS_OF_A_FILE

    def _set_aside(self, culprits: dict[int, str]) -> None:
        for index, reason in culprits.items():
            self.dataset.quarantine[self.dataset.row(index)] = True
            bad = self.dataset.bad_media(index, reason)
            self.bad_media.set_aside(bad)
            logger.warning("quarantined: %s: %s", printable(bad.path), reason)

    def _stop(self, iterator: Any) -> None:
        """Stop the workers; torch waits 5 s for them to exit, then they are killed."""
        if self._guard is not None:
            self._guard.end()
            self._guard = None
        if hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()
        for worker in getattr(iterator, "_workers", []):
            if worker.is_alive():
                worker.kill()


def _raise_if_shared_memory_is_full(error: Exception) -> None:
    if "unable to allocate shared memory" not in str(error):
        return
    size = ""
    with contextlib.suppress(OSError):
        status = os.statvfs(_SHARED_MEMORY)
        size = f" of {status.f_blocks * status.f_frsize / 1e6:.3g} MB"
    raise ConfigValueError(
        "DATA_LOADER.NUM_WORKERS",
        "the data workers pass batches through shared memory, and "
        f"{_SHARED_MEMORY}{size} is full. Enlarge it (docker run --shm-size=8g, or --ipc=host), "
        "lower TRAIN.BATCH_SIZE or DATA_LOADER.PREFETCH_FACTOR, or load in the main process "
        "(DATA_LOADER.NUM_WORKERS 0).",
    ) from error


def _dead_workers(iterator: Any, wait_sec: float) -> list[int]:
    """Return the numbers of the workers that have exited, after waiting up to ``wait_sec``."""
    workers = list(getattr(iterator, "_workers", []))
    for worker in workers:
        worker.join(wait_sec / len(workers))
    return [number for number, worker in enumerate(workers) if not worker.is_alive()]


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _start_worker(_: int, *, is_own_thread: bool) -> None:
    """Set up a worker process.

    It uses one thread per library: more threads could deadlock after a fork. It ignores signals
    such as Ctrl-C, which reach the full process group: the main process handles them and still
    needs its workers to finish the iteration. It stops the workers itself, and they exit if it
    dies: at once, unless a thread that may end before the loader started them.
    """
    use_one_thread()
    ignore_signals()
    if not is_own_thread:
        end_with_parent()
    sys.excepthook = partial(_report_with_parent, os.getppid(), sys.excepthook)


def _report_with_parent(
    parent: int,
    report: Callable[..., None],
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """Report an error in a thread, such as the one that hands over tensors, if anyone waits."""
    if isinstance(error, EOFError | ConnectionError):  # the parent may be about to disappear
        time.sleep(_ORPHAN_SEC)
    if os.getppid() == parent:
        report(kind, error, trace)
