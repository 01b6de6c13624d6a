"""A thread that ends data workers which are stopped, or blocked outside of decoding.

The main process waits for batches with a timeout, and finds files that hang by it. It has no
timeout while it receives a batch: a worker that is stopped just then would block it for ever.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Any

from slowfast.datasets.fault_tolerant import Heartbeat

__all__ = ["WorkerGuard", "is_stopped"]

logger = logging.getLogger(__name__)

_POLL_SEC = 0.5


class WorkerGuard:
    """Watches the workers of an iterator while the main process waits for a batch.

    Args:
        iterator: Of a DataLoader with workers.
        heartbeat: Of its workers.
        limit_sec: Workers may make no progress for so long, in seconds.

    Attributes:
        ended: Numbers of the workers that were ended.
        found: What was wrong with the last one of them, or "".
        waiting_since: When the main process began to wait (``time.monotonic``); None: it does not.
    """

    def __init__(self, iterator: Any, heartbeat: Heartbeat, limit_sec: float) -> None:
        self._iterator, self._heartbeat, self._limit_sec = iterator, heartbeat, limit_sec
        self.ended: set[int] = set()
        self.found = ""
        self.waiting_since: float | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="worker-guard", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop watching."""
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(min(_POLL_SEC, self._limit_sec)):
            since = self.waiting_since
            if since is None or time.monotonic() - since <= self._limit_sec:
                continue
            awaited = self._awaited()
            for number, worker in enumerate(self._iterator._workers):
                if (state := self._state(number, worker, awaited)) and worker.is_alive():
                    self.found = (
                        f"a data worker (pid {worker.pid}) was {state} for {self._limit_sec:g} s "
                        "(DATA.FILE_TIMEOUT_SEC)"
                    )
                    logger.warning("ending it: %s", self.found)
                    self.ended.add(number)
                    worker.kill()

    def _state(self, number: int, worker: Any, awaited: int | None) -> str:
        """Return what is wrong with a worker, or ""."""
        if self._heartbeat.silent_sec(number) <= self._limit_sec:
            return ""
        if is_stopped(worker):
            return "stopped by a signal"
        is_idle = self._heartbeat.current(number) is None
        return "blocked outside of decoding" if is_idle and number == awaited else ""

    def _awaited(self) -> int | None:
        """Return the number of the worker that has to deliver the next batch."""
        task = self._iterator._task_info.get(self._iterator._rcvd_idx, ())
        return task[0] if len(task) == 1 else None  # with its data once it was received


def is_stopped(worker: Any) -> bool:
    """Return whether a process is stopped by a signal or a debugger; Linux only, else False."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{worker.pid}/stat").read_bytes()
        return status[status.rfind(b")") + 2 :][:1] in (b"T", b"t")
    return False
