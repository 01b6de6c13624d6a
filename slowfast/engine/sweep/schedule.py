"""Runs tasks, several at once, each after those it needs; one line for every change of state."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from slowfast.engine.sweep.progress import format_seconds, read_tail, seconds_left
from slowfast.engine.sweep.run_state import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    NEW,
    RUNNING,
    archive_previous,
    write_marker,
)
from slowfast.engine.sweep.tasks import Task
from slowfast.utils.exit_codes import EXIT_INTERRUPTED

__all__ = ["LOG_NAME", "Interrupts", "Launcher", "Process", "Scheduler", "catch_interrupts"]

LOG_NAME = "run.log"

_POLL_SEC = 0.2


class Process(Protocol):
    """A run that was started."""

    @property
    def job_id(self) -> str | None:
        """Where it was submitted, if it was."""

    def poll(self) -> int | None:
        """Return the exit status, or None while the run goes on."""


class Launcher(Protocol):
    """Starts runs, on this machine or elsewhere.

    Attributes:
        slots: Runs at once; None: as many as there are.
        detaches: Whether runs go on without this process.
    """

    slots: int | None
    detaches: bool

    def start(self, tasks: Sequence[Task]) -> list[Process]:
        """Start runs whose folders exist."""

    def attach(self, task: Task) -> Process | None:
        """Find a run that was started by an earlier call and may still go on."""

    def interrupt(self, processes: Sequence[Process], times: int) -> None:
        """Ask for an end, the more rudely the more often it was asked."""


@dataclass
class Interrupts:
    """Signals received so far."""

    received: list[int] = field(default_factory=list)


@contextmanager
def catch_interrupts() -> Iterator[Interrupts]:
    """Count SIGINT, SIGTERM and SIGHUP instead of dying of them.

    Yields:
        The signals received so far.
    """
    interrupts = Interrupts()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, lambda received, _: interrupts.received.append(received))
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Scheduler:
    """Runs tasks to their end.

    Args:
        tasks: In order. Their markers are kept up to date on disk.
        launcher: Starts them.
        interrupts: Signals received so far.
        say: Prints a line.
        sleep: Waits, in seconds.
        clock: Tells the time, in seconds.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        launcher: Launcher,
        interrupts: Interrupts,
        say: Callable[[str], None],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tasks = list(tasks)
        self.launcher, self.interrupts, self.say = launcher, interrupts, say
        self.sleep, self.clock = sleep, clock
        self.waiting = [task for task in self.tasks if not task.is_finished]
        self.active: dict[str, tuple[Task, Process, float]] = {}
        self.log_starts: dict[str, int] = {}

    def run(self) -> None:
        """Run everything that can be run; afterwards the tasks' markers say what became of it.

        A task that fails stops only those that need it. After an interrupt nothing more is started,
        and what runs is asked to save and end.
        """
        self._attach()
        handled = 0
        while True:
            times = len(self.interrupts.received)
            if times > handled:
                handled = times
                self._interrupt(times)
                if self.launcher.detaches:
                    return
            if not times:
                self._start_ready()
            self._poll()
            if not self.active and (times or not self._ready()):
                return
            self.sleep(_POLL_SEC)

    def _attach(self) -> None:
        for task in list(self.waiting):
            process = None if task.changes else self.launcher.attach(task)
            if process is not None:
                self.waiting.remove(task)
                self.active[task.name] = (task, process, self.clock())
                self._note_log(task)
                self.say(f"waiting     {task.name}  (SLURM job {process.job_id})")

    def _interrupt(self, times: int) -> None:
        names = ", ".join(self.active)
        if self.active and times == 1 and not self.launcher.detaches:
            self.say(f"stopping: waiting for {names} to save (Ctrl-C again: do not wait)")
        self.launcher.interrupt([process for _, process, _ in self.active.values()], times)

    def _ready(self) -> list[Task]:
        """List what may start now: all that it needs is finished."""
        finished = {task.name for task in self.tasks if task.is_finished}
        return [task for task in self.waiting if finished.issuperset(task.run.needs.values())]

    def _start_ready(self) -> None:
        ready = self._ready()
        if self.launcher.slots is not None:
            ready = ready[: self.launcher.slots - len(self.active)]
        if not ready:
            return
        verbs = {}
        for task in ready:
            verbs[task.name] = "started" if task.marker.state == NEW else "going on"
            self._make_folder(task)
        for task, process in zip(ready, self.launcher.start(ready), strict=True):
            task.marker.state, task.marker.slurm_job = RUNNING, process.job_id
            write_marker(task.folder, task.marker)
            self.waiting.remove(task)
            self.active[task.name] = (task, process, self.clock())
            where = f"  (SLURM job {process.job_id})" if process.job_id else ""
            self.say(f"{verbs[task.name].ljust(11)} {task.name}{where}")

    def _make_folder(self, task: Task) -> None:
        if task.changes and task.folder.exists():
            self.say(f"kept        {archive_previous(task.folder)}")
        task.changes = []
        task.folder.mkdir(parents=True, exist_ok=True)
        self._note_log(task)

    def _note_log(self, task: Task) -> None:
        """Note where this attempt begins in the log."""
        log = task.folder / LOG_NAME
        self.log_starts[task.name] = log.stat().st_size if log.exists() else 0

    def _poll(self) -> None:
        for task, process, started in list(self.active.values()):
            status = process.poll()
            if status is not None:
                del self.active[task.name]
                self._end(task, status, self.clock() - started)

    def _end(self, task: Task, status: int, seconds: float) -> None:
        marker = task.marker
        marker.status, marker.seconds = status, marker.seconds + seconds
        stopped = status == EXIT_INTERRUPTED or bool(self.interrupts.received)
        marker.state = FINISHED if status == 0 else INTERRUPTED if stopped else FAILED
        write_marker(task.folder, marker)
        line = f"{marker.state.ljust(11)} {task.name}  {format_seconds(seconds)}"
        self.say(f"{line}  [{self._progress()}]")
        if marker.state == FAILED:
            self.say(self._describe_failure(task))

    def _describe_failure(self, task: Task) -> str:
        status = task.marker.status or 0
        cause = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        lines = read_tail(task.folder / LOG_NAME, self.log_starts[task.name])
        text = "".join(f"    {line}\n" for line in lines)
        return f"  {cause}; the end of {task.folder / LOG_NAME}:\n{text}".rstrip("\n")

    def _progress(self) -> str:
        done = sum(task.is_finished for task in self.tasks)
        elapsed = {name: self.clock() - started for name, (_, _, started) in self.active.items()}
        left = seconds_left(self.tasks, self.waiting, elapsed, self.launcher.slots)
        eta = f", about {format_seconds(left)} left" if left else ""
        return f"{done} of {len(self.tasks)} done{eta}"
