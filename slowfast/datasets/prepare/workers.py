"""Worker processes that outlive bad files: one that hangs or kills its process costs itself only.

Each process is given one task at a time. A task that shows no sign of life for too long is ended
together with its process, one whose process dies is noted, and a new process takes over.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from slowfast.datasets.inspect.packets import Beat
from slowfast.datasets.media.error_codes import timeout_message, worker_crash_message

__all__ = ["TaskResult", "num_cores", "run_tasks"]

_BEAT_SEC = 1.0
_GRACE_SEC = 3.0
_CONTEXT = multiprocessing.get_context("spawn")


class TaskResult(NamedTuple):
    """A task that has come to its end.

    Attributes:
        task: As given.
        value: What the function returned; None after a failure.
        code: "", or why there is no value: "hangs", "crashes" or "raises".
        reason: In words; "" without a failure.
    """

    task: Any
    value: Any
    code: str = ""
    reason: str = ""


def num_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(
    function: Callable[[Any, Beat], Any],
    tasks: Iterable[Any],
    *,
    num_processes: int,
    timeout_sec: float,
    setting: str = "--timeout",
) -> Generator[TaskResult]:
    """Call a function for every task, in worker processes.

    Close the iterator to end the processes early: a task that is being worked on is told to stop
    by SystemExit, so that it can clean up.

    Args:
        function: Called with a task and a ``Beat``, in a new Python process that imports it. What
            it raises is reported; the others go on.
        tasks: Anything that can be pickled; taken from as processes become free.
        num_processes: Worker processes, at least 1.
        timeout_sec: A task without a beat for so long is given up; 0: never.
        setting: What sets the limit, for the message.

    Yields:
        Each task when it is done, in no particular order.

    Raises:
        RuntimeError: If worker processes cannot be started.
    """
    pool = _Pool(function, iter(tasks), timeout_sec, setting)
    try:
        pool.grow(num_processes)
        while pool.workers:
            yield from pool.step()
    finally:
        pool.end()


class _Worker:
    """A process and the task it is on."""

    def __init__(self, function: Callable[[Any, Beat], Any]) -> None:
        self.connection, far = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_serve, args=(far, function), daemon=True)
        with _ignoring_interrupts():
            self.process.start()
        far.close()
        self.is_ready = self.is_busy = False
        self.task: Any = None
        self.alive_at = time.monotonic()

    def give(self, task: Any) -> None:
        self.task, self.is_busy = task, True
        self.alive_at = time.monotonic()
        with suppress(BrokenPipeError):  # it died just now: the next wait shows it
            self.connection.send(task)

    def end(self) -> int | None:
        """End the process; return its exit code, had it died before."""
        self.process.join(0.2)
        code = self.process.exitcode
        self.process.kill()
        self.process.join()
        self.connection.close()
        return code


class _Pool:
    """The workers, and the tasks that nobody has begun."""

    def __init__(
        self,
        function: Callable[[Any, Beat], Any],
        tasks: Iterator[Any],
        timeout_sec: float,
        setting: str,
    ) -> None:
        self._function, self._tasks = function, tasks
        self._timeout_sec, self._setting = timeout_sec, setting
        self._next: list[Any] = []
        self.workers: list[_Worker] = []
        self._leaving: list[_Worker] = []

    def grow(self, count: int) -> None:
        """Start workers while there are tasks for them."""
        self._next = list(islice(self._tasks, max(1, count)))
        self.workers = [_Worker(self._function) for _ in self._next]

    def step(self) -> Iterator[TaskResult]:
        """Wait for news, and deal with them."""
        heard = wait([worker.connection for worker in self.workers], self._patience())
        for worker in [worker for worker in self.workers if worker.connection in heard]:
            try:
                kind, content = worker.connection.recv()
            except (EOFError, OSError):
                yield from self._bury(worker)
                continue
            worker.alive_at = time.monotonic()
            worker.is_ready = True
            if kind != "beat":
                task = worker.task
                self._employ(worker)
                if kind == "value":
                    yield TaskResult(task, content)
                elif kind == "error":
                    yield TaskResult(task, None, "raises", content)
        yield from self._give_up_the_overdue()

    def _patience(self) -> float | None:
        busy = [worker.alive_at for worker in self.workers if worker.is_busy]
        if not busy or not self._timeout_sec:
            return None
        return max(0.0, min(busy) + self._timeout_sec - time.monotonic())

    def _employ(self, worker: _Worker) -> None:
        """Give a worker its next task, or send it home."""
        worker.is_busy = False
        task = self._take()
        if task is _NO_TASK:
            self.workers.remove(worker)
            worker.connection.close()  # it ends at that
            self._leaving.append(worker)
        else:
            worker.give(task)

    def _take(self) -> Any:
        return self._next.pop(0) if self._next else next(self._tasks, _NO_TASK)

    def _bury(self, worker: _Worker) -> Iterator[TaskResult]:
        code = worker.end()
        if not worker.is_ready:
            raise RuntimeError(f"a worker process ended while it started (exit code {code})")
        yield from self._replace(worker, "crashes", worker_crash_message(code))

    def _give_up_the_overdue(self) -> Iterator[TaskResult]:
        if not self._timeout_sec:
            return
        now = time.monotonic()
        for worker in [w for w in self.workers if w.is_busy]:
            if now - worker.alive_at >= self._timeout_sec and not worker.connection.poll():
                worker.end()
                reason = timeout_message(self._timeout_sec, self._setting)
                yield from self._replace(worker, "hangs", reason)

    def _replace(self, worker: _Worker, code: str, reason: str) -> Iterator[TaskResult]:
        self.workers.remove(worker)
        task = self._take()
        if task is not _NO_TASK:
            self._next.append(task)
            self.workers.append(_Worker(self._function))
        yield TaskResult(worker.task, None, code, reason)

    def end(self) -> None:
        """End all workers: idle ones by closing the pipe, busy ones by a signal."""
        for worker in self.workers:
            worker.connection.close()
            worker.process.terminate()
        deadline = time.monotonic() + _GRACE_SEC
        for worker in self.workers + self._leaving:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()
        self.workers.clear()


_NO_TASK = object()


def _serve(connection: Connection, function: Callable[[Any, Beat], Any]) -> None:
    """Work on tasks until the pipe is closed. The process's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last >= _BEAT_SEC:
            last = time.monotonic()
            connection.send(("beat", None))

    connection.send(("ready", None))
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = ("value", function(task, beat))
        except Exception as error:
            answer = ("error", _in_one_line(error))
        try:
            connection.send(answer)
        except OSError:
            return


def _in_one_line(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119
    return " ".join(f"{type(error).__name__}: {error} ({where})".split())


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Let a process that is started now ignore Ctrl-C from its first instant on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
