"""Ends a job when one of its processes has died, was stopped, or has taken another path.

A thread of each process writes a beat to the store: the number of its collectives, and where its
main thread is. Rank 0 reads all beats, the others that of rank 0. The process that notices a
failure writes it to the store, and every process ends with a message that names the rank. The
threads also run while the main thread waits in a collective, which has no other way out.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import torch.distributed as dist

from slowfast.config.problems import UserError
from slowfast.utils.rendezvous import Meeting, Member, describe_ranks

__all__ = ["RankError", "Watch"]

_SHORTEST_SEC, _LONGEST_SEC = 0.2, 1.0
_LIBRARIES = ("site-packages", "dist-packages", "<frozen", sysconfig.get_path("stdlib"))
_WAITING = (f"{os.sep}torch{os.sep}distributed{os.sep}", f"{os.sep}torch{os.sep}autograd{os.sep}")


class RankError(UserError):
    """Other processes of the job ended it: status 1, and one message of each machine.

    Args:
        cause: What is known about them.
        ranks: Their ranks.
    """

    status = 1

    def __init__(self, cause: str, ranks: list[int]) -> None:
        super().__init__(cause, ranks)
        self.cause, self.ranks = cause, ranks

    def __str__(self) -> str:
        return f"{self.cause} The same command resumes from the newest checkpoint."


class _Beat(NamedTuple):
    """What is known of a process.

    Attributes:
        text: Its last beat.
        changed: When the beat changed, on the clock of this process.
        number: Number of its collectives.
        advanced: When that number changed.
        waits: Whether its main thread is in a collective or a backward pass.
        where: Where its main thread is, outside of libraries.
    """

    text: str = ""
    changed: float = 0.0
    number: int = -1
    advanced: float = 0.0
    waits: bool = False
    where: str = ""


class Watch:
    """Watches the processes of a job, until ``close``.

    Args:
        meeting: The processes and their store.
        rank: Rank of this process.
        timeout_sec: DIST.TIMEOUT_SEC: how long a process may be silent.
        wait_sec: How long processes may wait for one in a collective.
        tell: Called in a thread with the error of the job, before this process ends.
    """

    def __init__(
        self,
        meeting: Meeting,
        rank: int,
        *,
        timeout_sec: float,
        wait_sec: float,
        tell: Callable[[RankError], None],
    ) -> None:
        self._members, self._rank, self._tell = meeting.members, rank, tell
        self._connect = meeting.connect
        self._timeout_sec, self._wait_sec = timeout_sec, wait_sec
        self._period_sec = min(_LONGEST_SEC, max(_SHORTEST_SEC, timeout_sec / 20))
        self._main = threading.main_thread().ident
        self._closed = threading.Event()
        self._beats: dict[int, _Beat] = {}
        self._failure: RankError | None = None
        self._failed_at = self._store_lost_at = 0.0
        self._watches_all = rank == 0
        self._answered = time.monotonic()
        for target in (self._exchange, self._guard):
            threading.Thread(target=target, name=f"watch {target.__name__}", daemon=True).start()

    def close(self) -> None:
        """Stop watching: the job has ended."""
        self._closed.set()

    def find_cause(self, error: BaseException) -> BaseException:
        """Find out why the work of this process ended with an exception.

        Args:
            error: The exception.

        Returns:
            A RankError if another process has failed before, else ``error``.
        """
        if not _is_of_communication(error):
            return error
        # Does the collective fail because another process is gone? Its beats stop, too.
        self._watches_all = True
        deadline = time.monotonic() + 3 * self._period_sec + 1
        while time.monotonic() < deadline:
            if cause := self._failure or self._find_lost(2.5 * self._period_sec):
                return self._for_this_rank(cause)
            time.sleep(0.05)
        return error

    def report(self, error: BaseException) -> None:
        """Tell the other processes that this one ends with an exception, and stop watching.

        Args:
            error: The exception.
        """
        if isinstance(error, RankError):
            self._report(error.cause, error.ranks)
        else:
            text = (
                str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            )
            self._report(f"{self._members[self._rank]} ended: {text[:2000]}", [self._rank])
        self.close()

    def _report(self, message: str, ranks: list[int]) -> None:
        """Tell all processes why the job ends, as far as the store answers."""
        thread = threading.Thread(target=self._write_failure, args=(message, ranks), daemon=True)
        thread.start()
        thread.join(3 * self._period_sec + 1)

    # The two threads. One talks to the store, which may block for ever if its process is stopped.

    def _exchange(self) -> None:
        try:
            store = self._connect()
            store.set_timeout(timedelta(seconds=self._timeout_sec))
            number = 0
            while not self._closed.is_set():
                number += 1
                store.set(f"beat/{self._rank}", json.dumps([number, *self._observe()]))
                self._read(store)
                self._answered = time.monotonic()
                self._closed.wait(self._period_sec)
        except (RuntimeError, UserError):
            self._store_lost_at = time.monotonic()

    def _guard(self) -> None:
        last = time.monotonic()
        while not self._closed.wait(self._period_sec / 2):
            now = time.monotonic()
            if now - last > 4 * self._period_sec + 1:  # this process was stopped itself
                self._forgive(now)
            last = now
            if error := self._find_failure(now):
                self._end(error)

    def _read(self, store: dist.Store) -> None:
        """Read the failure of the job and the beats of others."""
        if self._failure is None and store.check(["failure"]):
            found = json.loads(store.get("failure"))
            self._failure = RankError(found["message"], found["ranks"])
            self._failed_at = time.monotonic()
        ranks = range(len(self._members)) if self._watches_all else range(1)
        keys = [f"beat/{rank}" for rank in ranks]
        if not store.check(keys):
            keys = [key for key in keys if store.check([key])]
        now = time.monotonic()
        for key, value in zip(keys, store.multi_get(keys) if keys else [], strict=True):
            rank = int(key.split("/")[1])
            self._beats[rank] = _updated(self._beats.get(rank, _Beat()), value.decode(), now)

    # What the threads find.

    def _find_failure(self, now: float) -> RankError | None:
        """Find out whether the job has to end now."""
        grace_sec = 2 * self._period_sec + 1  # for the main thread to end by itself
        if self._failure is not None:
            return self._failure if now - self._failed_at > grace_sec else None
        if self._store_lost_at:
            return self._find_lost(0) if now - self._store_lost_at > grace_sec else None
        # All processes have ended before the time is over.
        margin_sec = 5 * self._period_sec + 1
        silent_sec = self._timeout_sec - margin_sec
        error = self._find_lost(silent_sec)
        if error is None and self._rank == 0:
            error = self._find_stall(now, self._wait_sec - margin_sec)
        return error

    def _find_lost(self, silent_sec: float) -> RankError | None:
        """Find processes without a beat for so long."""
        now = time.monotonic()
        if self._store_lost_at:
            return RankError(
                f"the connection to the store of the job is lost: {self._members[0]}, or the agent "
                "of torchrun there, has ended, or its machine is gone.",
                [0] if self._rank else [],
            )
        lost = [
            rank
            for rank, beat in self._beats.items()
            if rank != self._rank and beat.text and now - beat.changed > silent_sec
        ]
        if self._rank and now - self._answered > silent_sec:
            lost = [0]
        if not lost:
            return None
        longest = max(
            now - self._beats.get(rank, _Beat(changed=self._answered)).changed for rank in lost
        )
        named = describe_ranks([self._members[rank] for rank in sorted(lost)])
        return RankError(
            f"no sign of life from {named} for {longest:.0f} s (DIST.TIMEOUT_SEC "
            f"{self._timeout_sec:g}): killed, stopped, or its machine is gone.",
            lost,
        )

    def _find_stall(self, now: float, longest_sec: float) -> RankError | None:
        """Find processes that the others wait for, if no collective has begun for so long."""
        beats = [self._beats.get(rank, _Beat()) for rank in range(len(self._members))]
        if any(beat.number < 0 or now - beat.advanced <= longest_sec for beat in beats):
            return None
        least = min(beat.number for beat in beats)
        behind = [rank for rank, beat in enumerate(beats) if beat.number == least]
        if len(behind) == len(beats):  # no one is behind: who is not waiting, or waits elsewhere?
            if not any(beat.waits for beat in beats):
                return None
            behind = [rank for rank, beat in enumerate(beats) if not beat.waits]
            behind = behind or _minority([beat.where for beat in beats])
        others = sorted(set(range(len(beats))) - set(behind))
        parts = [f"{self._members[rank]} is {_describe(beats[rank])}" for rank in behind[:4]]
        if others:
            parts.append(f"{self._members[others[0]]} waits {_describe(beats[others[0]])}")
        longest = now - max(beat.advanced for beat in beats)
        return RankError(
            f"the processes have waited for each other for {longest:.0f} s (DIST.TIMEOUT_SEC "
            f"{self._wait_sec:g}): {'; '.join(parts)}.",
            behind,
        )

    def _forgive(self, now: float) -> None:
        """Begin again to count: the time did not pass for this process."""
        self._answered = now
        self._beats = {
            rank: beat._replace(changed=now, advanced=now) for rank, beat in self._beats.items()
        }

    def _observe(self) -> tuple[int, bool, str]:
        """Return the number of collectives of this process, and where its main thread is."""
        group = dist.group.WORLD if dist.is_initialized() else None
        number = -1 if group is None else group._get_sequence_number_for_group()  # type: ignore[attr-defined]
        frame, waits = sys._current_frames().get(self._main or 0), False
        while frame is not None:
            name = frame.f_code.co_filename
            if not any(part in name for part in _LIBRARIES):
                path = "/".join(Path(name).parts[1:][-3:])
                return number, waits, f"{path}:{frame.f_lineno} in {frame.f_code.co_name}"
            waits = waits or any(part in name for part in _WAITING)
            frame = frame.f_back
        return number, waits, ""

    # How the job ends.

    def _write_failure(self, message: str, ranks: list[int]) -> None:
        """Write why the job ends; rank 0, which may hold the store, waits for the others."""
        with contextlib.suppress(RuntimeError, UserError):
            store = self._connect()
            store.compare_set("failure", "", json.dumps({"message": message, "ranks": ranks}))
            store.set(f"ended/{self._rank}", "")
            others = [f"ended/{member.rank}" for member in self._members]
            while self._rank == 0 and not store.check(others):
                time.sleep(0.05)

    def _for_this_rank(self, error: RankError) -> RankError:
        """Leave the message to one process of each machine that can still give it."""
        here = self._members[self._rank].host
        able = [m.rank for m in self._members if m.host == here and m.rank not in error.ranks]
        error.is_told = bool(able) and self._rank != able[0]
        return error

    def _end(self, error: RankError) -> None:
        """End this process, whose main thread may be in a collective for ever."""
        self._tell(self._for_this_rank(error))
        if self._failure is None:
            self._report(error.cause, error.ranks)
        for rank in error.ranks:
            _kill_if_stopped(self._members[rank])
        for thread in threading.enumerate():
            if thread.name == "checkpoint":
                thread.join(self._timeout_sec)
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(error.status)


def _is_of_communication(error: BaseException) -> bool:
    """Return whether processes that ended can be its cause; gloo has no class of its own."""
    is_gloo = isinstance(error, RuntimeError) and "gloo" in str(error)
    return is_gloo or isinstance(error, dist.DistError)


def _updated(before: _Beat, text: str, now: float) -> _Beat:
    """Return what is known after a beat was read."""
    if text == before.text:
        return before
    _, number, waits, where = json.loads(text)
    advanced = before.advanced if number == before.number else now
    return _Beat(text, now, number, advanced, waits, where)


def _describe(beat: _Beat) -> str:
    return f"at {beat.where or 'an unknown place'}, after {beat.number} collectives"


def _minority(places: list[str]) -> list[int]:
    """Return the ranks at the least common place."""
    least = min(set(places), key=lambda place: (places.count(place), place))
    return [rank for rank, place in enumerate(places) if place == least]


def _kill_if_stopped(member: Member) -> None:
    """Kill a stopped process of the same launcher: it would not notice that it has to end."""
    try:
        status = Path(f"/proc/{member.pid}/stat").read_text(encoding="ascii", errors="replace")
        state, parent = status.rpartition(")")[2].split()[:2]
        if member.host == socket.gethostname() and state == "T" and int(parent) == os.getppid():
            os.kill(member.pid, signal.SIGKILL)
    except (OSError, ValueError):  # it is gone, or this is not Linux
        return
