"""Executes the runs of a sweep, several at once, each after those it needs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, Protocol

from slowfast.engine.sweep.run_state import RunState, State
from slowfast.utils.stop_signals import EXIT_INTERRUPTED, EXIT_REQUEUE, STOP_SIGNALS

__all__ = ["LOG_NAME", "PROMPT", "Launcher", "Process", "Scheduler", "catch_signals"]

LOG_NAME = "run.log"
PROMPT = "$ "
"""Stands in front of a command in its log."""

_POLL_SEC = 0.2
_TAIL_LINES = 15
_TAIL_BYTES = 64 * 1024


class Process(Protocol):
    """A run that was started."""

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""


class Launcher:
    """Starts runs, on this machine or elsewhere.

    Attributes:
        slots: Runs at once; None: as many as there are.
        detaches: Whether runs outlive this process.
    """

    slots: int | None = None
    detaches: bool = False

    def start(self, states: Sequence[RunState]) -> Sequence[Process]:
        """Start runs whose folders exist, at most as many as there are free slots."""
        raise NotImplementedError

    def attach(self, state: RunState) -> Process | None:
        """Find a run that was started by an earlier call and may still run."""
        return None

    def interrupt(self, times: int) -> None:
        """Stop the running processes; each further call is less gentle."""


@contextmanager
def catch_signals() -> Iterator[list[int]]:
    """Collect STOP_SIGNALS instead of dying of them; yields those received so far."""
    received: list[int] = []
    before = {n: signal.signal(n, lambda number, _: received.append(number)) for n in STOP_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Active(NamedTuple):
    state: RunState
    process: Process
    started: float


class Scheduler:
    """Executes runs until none is left, and prints a line for every change of state.

    Args:
        states: The runs, in order. Their states are kept up to date on disk.
        launcher: Starts them.
        signals: Those received so far.
        say: Prints a line.
        sleep: Waits, in seconds.
        clock: The current time, in seconds.
    """

    def __init__(
        self,
        states: Sequence[RunState],
        launcher: Launcher,
        signals: Sequence[int],
        say: Callable[[str], None],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.states, self.launcher, self.signals, self.say = states, launcher, signals, say
        self.sleep, self.clock = sleep, clock
        self.waiting = [state for state in states if not state.is_finished]
        self.active: list[_Active] = []

    def run(self) -> None:
        """Run everything that can be run; afterwards the states hold the outcome.

        A run that fails stops only those that need it. After an interrupt nothing more is started,
        and the running processes save and end.
        """
        self._attach()
        handled = 0
        while True:
            times = len(self.signals)
            if times > handled:
                handled = times
                self._interrupt(times)
                if self.launcher.detaches:
                    return
            if not times:
                self._start_ready()
            self._poll()
            if not self.active and (times or not self.waiting):
                return
            self.sleep(_POLL_SEC)

    def _attach(self) -> None:
        for state in list(self.waiting):
            process = None if state.changes else self.launcher.attach(state)
            if process is not None:
                self._activate(state, process, "waiting")

    def _activate(self, state: RunState, process: Process, verb: str) -> None:
        self.waiting.remove(state)
        self.active.append(_Active(state, process, self.clock()))
        where = f"  (SLURM job {state.slurm_job})" if state.slurm_job else ""
        self.say(f"{verb:11} {state.name}{where}")

    def _interrupt(self, times: int) -> None:
        names = ", ".join(active.state.name for active in self.active)
        if self.active and times == 1 and not self.launcher.detaches:
            self.say(f"stopping: waiting for {names} to save (Ctrl-C again: do not wait)")
        self.launcher.interrupt(times)

    def _start_ready(self) -> None:
        finished = {state.name for state in self.states if state.is_finished}
        ready = [s for s in self.waiting if finished.issuperset(s.run.needs.values())]
        if self.launcher.slots is not None:
            ready = ready[: self.launcher.slots - len(self.active)]
        if not ready:
            return
        for state in ready:
            if state.changes and state.run.folder.exists():
                self.say(f"{'kept':11} {state.archive_previous()}")
            state.changes, state.slurm_job = [], None
            state.run.folder.mkdir(parents=True, exist_ok=True)
        for state, process in zip(ready, self.launcher.start(ready), strict=True):
            verb = "started" if state.state == State.NEW else "resumed"
            state.state = State.RUNNING
            state.save()
            self._activate(state, process, verb)

    def _poll(self) -> None:
        for active in list(self.active):
            status = active.process.poll()
            if status is not None:
                self.active.remove(active)
                self._end(active, status)

    def _end(self, active: _Active, status: int) -> None:
        state, seconds = active.state, self.clock() - active.started
        state.status, state.seconds = status, state.seconds + seconds
        is_stopped = status in (EXIT_INTERRUPTED, EXIT_REQUEUE) or bool(self.signals)
        state.state = (
            State.FINISHED if status == 0 else State.INTERRUPTED if is_stopped else State.FAILED
        )
        state.save()
        if not state.is_finished:
            self._drop_dependents(state)
        line = f"{state.state:11} {state.name}  {_format_seconds(seconds)}"
        self.say(f"{line}  [{self._progress()}]")
        if state.state == State.FAILED:
            cause = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
            log = state.run.folder / LOG_NAME
            tail = "".join(f"\n    {line}" for line in _read_tail(log))
            self.say(f"  {cause}; the end of {log}:{tail}")

    def _drop_dependents(self, state: RunState) -> None:
        lost = {state.name}
        for other in list(self.waiting):  # what a run needs precedes it
            if not lost.isdisjoint(other.run.needs.values()):
                lost.add(other.name)
                self.waiting.remove(other)

    def _progress(self) -> str:
        done = sum(state.is_finished for state in self.states)
        left = self._seconds_left()
        eta = f", about {_format_seconds(left)} left" if left else ""
        return f"{done} of {len(self.states)} done{eta}"

    def _seconds_left(self) -> float:
        """Estimate the time left from what runs, of the same stage if any, took; 0: unknown."""
        times = [(s.run.stage, s.seconds) for s in self.states if s.is_finished and s.seconds]
        if not times or self.launcher.slots is None:
            return 0.0

        def expect(state: RunState) -> float:
            same_stage = [seconds for stage, seconds in times if stage == state.run.stage]
            return fmean(same_stage or [seconds for _, seconds in times])

        now = self.clock()
        left = [expect(state) for state in self.waiting]
        left += [max(0.0, expect(a.state) - (now - a.started)) for a in self.active]
        return sum(left) / max(1, min(self.launcher.slots, len(left)))


def _format_seconds(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _read_tail(log: Path) -> list[str]:
    """Read the last lines of the last attempt's log; of a progress bar its last state."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    # Each attempt begins with its command, as start_process writes it.
    attempt = text.rpartition(f"\n{PROMPT}")[2]
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in attempt.split("\n")]
    return [line for line in lines if line.strip()][-_TAIL_LINES:]
