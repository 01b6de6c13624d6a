"""A pool of worker processes that survives bad files: a hang or crash only affects its own task.

Each process has a thread that sends it one task at a time. If a task makes no progress for too
long, its process is killed; if a process dies, its task is reported as crashed. The next task
starts a new process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from slowfast.datasets.decoding.error_codes import timeout_message, worker_crash_message
from slowfast.datasets.decoding.file import Beat
from slowfast.utils.cores import usable_cores
from slowfast.utils.stop_signals import start_resource_tracker

__all__ = ["TaskResult", "run_tasks"]

_BEAT_SEC = 1.0
_GRACE_SEC = 3.0
_TIMEOUT_OPTION = "--timeout"
_CONTEXT = multiprocessing.get_context("spawn")
_NO_TASK = object()


class TaskResult(NamedTuple):
    """The result of a task.

    Attributes:
        task: The task.
        value: Return value of the function; None after a failure.
        code: Kind of failure: "hangs", "crashes" or "raises"; "" without a failure.
        reason: Description of the failure; "" without a failure.
    """

    task: Any
    value: Any
    code: str = ""
    reason: str = ""


def run_tasks(
    function: Callable[[Any, Beat], Any],
    tasks: Iterable[Any],
    *,
    num_processes: int,
    timeout_sec: float,
) -> Generator[TaskResult]:
    """Call a function for every task, in worker processes.

    Close the iterator to stop early: running tasks are stopped by SystemExit, so that they can
    clean up.

    Args:
        function: Called with a task and a ``Beat``, in a new Python process that imports it. Its
            exceptions are reported; other tasks continue.
        tasks: Objects that can be pickled; consumed as processes become free.
        num_processes: Number of worker processes; 0: one per core.
        timeout_sec: Timeout of a task without a beat, in seconds; 0: none.

    Yields:
        Each task when it is done, in no particular order.

    Raises:
        RuntimeError: If worker processes cannot be started.
    """
    count, pending, lock = num_processes or usable_cores(), iter(tasks), threading.Lock()
    workers: list[_Worker] = []
    busy: dict[Future[TaskResult], _Worker] = {}
    start_resource_tracker()
    with ThreadPoolExecutor(count, initializer=_block_interrupts) as threads:
        try:
            for task in islice(pending, count):
                workers.append(_Worker(function, timeout_sec, lock))
                busy[threads.submit(workers[-1].run, task)] = workers[-1]
            while busy:
                for future in wait(busy, return_when=FIRST_COMPLETED).done:
                    worker = busy.pop(future)
                    task = next(pending, _NO_TASK)
                    if task is _NO_TASK:
                        worker.terminate()
                    else:
                        busy[threads.submit(worker.run, task)] = worker
                    yield future.result()
        finally:
            for worker in workers:
                worker.terminate()
            deadline = time.monotonic() + _GRACE_SEC
            for worker in workers:
                worker.end(max(0.0, deadline - time.monotonic()))


def _block_interrupts() -> None:
    """Let processes that this thread starts ignore Ctrl-C from their first instant on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


class _Worker:
    """A process, started with its first task, and again with the first one after its end.

    Args:
        function: Called in the process.
        timeout_sec: As for ``run_tasks``.
        lock: Held, by one thread of the pool, while a process is started or waited for.
    """

    def __init__(
        self, function: Callable[[Any, Beat], Any], timeout_sec: float, lock: threading.Lock
    ) -> None:
        self._function, self._timeout_sec, self._lock = function, timeout_sec, lock
        self._process: Any = None
        self._is_unwanted = False

    def run(self, task: Any) -> TaskResult:
        """Have a task worked on, to its end or to the end of the process."""
        if self._process is None:
            self._start()
        try:
            self._connection.send(task)
            while self._connection.poll(self._timeout_sec or None):
                kind, content = self._connection.recv()
                if kind == "value":
                    return TaskResult(task, content)
                if kind == "error":
                    return TaskResult(task, None, "raises", content)
        except (EOFError, OSError):
            return TaskResult(task, None, "crashes", worker_crash_message(self.end(0.2)))
        self.end(0.0)
        return TaskResult(task, None, "hangs", timeout_message(self._timeout_sec, _TIMEOUT_OPTION))

    def _start(self) -> None:
        self._connection, far = _CONTEXT.Pipe()
        with self._lock:
            if self._is_unwanted:
                raise RuntimeError("the pool was closed")
            process = _CONTEXT.Process(target=_serve, args=(far, self._function), daemon=True)
            process.start()
            self._process = process
        far.close()
        try:
            self._connection.recv()  # it is ready
        except (EOFError, OSError):
            code = self.end(0.2)
            raise RuntimeError(
                f"a worker process ended while it started (exit code {code})"
            ) from None

    def terminate(self) -> None:
        """Tell the process to end, and start no other."""
        with self._lock:
            self._is_unwanted = True
            if self._process is not None:
                self._process.terminate()

    def end(self, grace_sec: float) -> int | None:
        """End the process if it does not end in time; return its exit code, had it ended."""
        with self._lock:
            if self._process is None:
                return None
            self._process.join(grace_sec)
            code: int | None = self._process.exitcode
            self._process.kill()
            self._process.join()
            self._process = None
            return code


def _serve(connection: Connection, function: Callable[[Any, Beat], Any]) -> None:
    """Work on tasks until the pipe is closed. The process's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit_once)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _answer_tasks(connection, function)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending: no traceback of the exit


def _exit_once(number: int, _: Any) -> None:
    """Leave as after an exception, so that temporary files are removed; other signals are late."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _answer_tasks(connection: Connection, function: Callable[[Any, Beat], Any]) -> None:
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
