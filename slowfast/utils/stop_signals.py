"""Signals that ask a process to end: Ctrl-C, and those of schedulers, terminals and systems.

SIGINT (Ctrl-C), SIGTERM (``scancel``, ``docker stop``), SIGUSR1 (``sbatch --signal``) and SIGHUP (a
terminal that closes) are treated alike, but for the exit status. What they do depends on what is
being done: ``ending_on_signals`` while a command imports, ``raising_on_signals`` while it works,
``noted_signals`` while there is something to finish first. These contexts may be nested. In a
thread other than the main one they do nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from types import FrameType

__all__ = [
    "EXIT_INTERRUPTED",
    "EXIT_REQUEUE",
    "STOP_SIGNALS",
    "NotedSignals",
    "StopSignal",
    "blocked_signals",
    "end_with_parent",
    "ending_on_signals",
    "ignore_signals",
    "noted_signals",
    "raising_on_signals",
    "start_resource_tracker",
    "stop_status",
    "unblock_signals",
]

EXIT_INTERRUPTED = 130
"""Exit status after Ctrl-C."""
EXIT_REQUEUE = 75
"""Exit status after any other of these signals (EX_TEMPFAIL of sysexits.h): whoever sent it wants
the machine back, and the same command, started again, continues."""

_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")  # Windows lacks the last two
STOP_SIGNALS = tuple(signal.Signals[name] for name in _NAMES if hasattr(signal, name))

_SAME_REQUEST_SEC = 1.0
"""A launcher, a terminal and a scheduler may each send a signal for the same request."""
_AGAIN_SEC = 0.01
_PR_SET_PDEATHSIG = 1


class StopSignal(KeyboardInterrupt):
    """This process was asked to end.

    Args:
        number: The signal.
        message: What it interrupted and what is left to do; "": not known here.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(number, message)
        self.number, self.message = number, message

    def __str__(self) -> str:
        return self.message or f"stopped by {signal.Signals(self.number).name}"


class NotedSignals:
    """What ``noted_signals`` has received.

    Attributes:
        number: The first signal; 0: none yet.
    """

    number: int = 0


def stop_status(number: int) -> int:
    """Return the exit status of a process that ends because of a signal.

    Args:
        number: The signal.
    """
    return EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_REQUEUE


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """End the process at once on a signal, with one message: there is nothing to save yet.

    An exception in the middle of importing an extension module may abort the process.
    """

    def end(number: int, _: FrameType | None) -> None:
        _exit_now(number, f"stopped by {signal.Signals(number).name}: run the same command again")

    with _handled(end):
        yield


@contextlib.contextmanager
def raising_on_signals() -> Iterator[None]:
    """Raise StopSignal where the main thread is, as Python does on Ctrl-C.

    If it starts a process or takes a lock of the log, a moment later. Python ignores an exception
    in a destructor or in a callback of a fork: the signal is sent again.
    """
    report = sys.unraisablehook

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _is_indivisible(frame):
            _send_again(number)
        else:
            raise StopSignal(number)

    def send_again(unraisable: sys.UnraisableHookArgs) -> None:
        if isinstance(unraisable.exc_value, StopSignal):
            _send_again(unraisable.exc_value.number)
        else:
            report(unraisable)

    with _handled(interrupt):
        sys.unraisablehook = send_again
        try:
            yield
        finally:
            sys.unraisablehook = report


@contextlib.contextmanager
def noted_signals(
    announce: Callable[[int], None] = lambda number: None,
    before_exit: Callable[[], None] = lambda: None,
) -> Iterator[NotedSignals]:
    """Note the first signal; the caller ends when it is ready. A second one ends the process.

    The second one also acts while the main thread waits in native code, such as for another process
    of the job. Signals within a second are one request.

    Args:
        announce: Called with the first signal, in a thread of its own: the main thread may be
            in the middle of writing to the log.
        before_exit: Called in a thread before a second signal ends the process.

    Yields:
        What was received.
    """
    noted = NotedSignals()

    def note(number: int, _: FrameType | None) -> None:
        noted.number = noted.number or number

    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    watcher = threading.Thread(target=_watch, args=(reader, announce, before_exit), daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        with _handled(note):
            yield noted
    finally:
        signal.set_wakeup_fd(before)
        os.write(writer, b"\0")  # closing it is not enough: data workers have it, too
        watcher.join()
        os.close(reader)
        os.close(writer)


@contextlib.contextmanager
def blocked_signals() -> Iterator[None]:
    """Hold signals back, also in processes that are started meanwhile.

    Those receive what they were sent when they call ``unblock_signals``.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock_signals() -> None:
    """Receive the signals that ``blocked_signals`` of the parent process held back."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def start_resource_tracker() -> None:
    """Start the process that removes what multiprocessing leaves behind, deaf to stop signals.

    It ignores SIGINT and SIGTERM by itself. Another one that is sent to all processes of a job, as
    SIGHUP when a terminal closes, would end it, and its end is told with warnings and tracebacks.
    """
    if hasattr(signal, "pthread_sigmask"):  # not Windows
        with blocked_signals():  # it never unblocks them
            resource_tracker.ensure_running()


def ignore_signals() -> None:
    """Ignore further signals, in a process that ends."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_with_parent() -> None:
    """Let the system kill this process when the thread that started it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        parent = multiprocessing.parent_process()
        if parent is not None and os.getppid() != parent.pid:  # it has ended before this call
            os._exit(1)


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call a handler for each of the signals, in this process only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process, before = os.getpid(), {}

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:  # a forked process has the handler, too
            handler(number, frame)

    try:
        for number in STOP_SIGNALS:
            is_ignored = signal.getsignal(number) == signal.SIG_IGN
            if number == signal.SIGINT or not is_ignored:  # nohup ignores SIGHUP
                before[number] = signal.signal(number, handle)
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, signal.SIG_DFL if previous is None else previous)


def _is_indivisible(frame: FrameType | None) -> bool:
    """Return whether an exception here could lose a process that starts, or a lock of the log."""
    if frame is not None and frame.f_code.co_filename == logging.__file__:
        return frame.f_code.co_name.lower().endswith(("lock", "acquire", "release"))
    while frame is not None:
        if frame.f_code.co_name == "_launch" and "multiprocessing" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    timer = threading.Timer(_AGAIN_SEC, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


def _watch(reader: int, announce: Callable[[int], None], before_exit: Callable[[], None]) -> None:
    """Announce the first request of those whose numbers arrive in a pipe; end at the second."""
    first, announcer = 0.0, None
    while number := os.read(reader, 1)[0]:
        if number not in STOP_SIGNALS:
            continue
        now = time.monotonic()
        if announcer is None:
            announcer = threading.Thread(target=announce, args=(number,), daemon=True)
            announcer.start()
        elif now - first > _SAME_REQUEST_SEC:
            before_exit()
            _exit_now(
                number,
                f"{signal.Signals(number).name} again: ended without saving. The same command "
                "resumes from the newest checkpoint",
            )
        first = first or now
    if announcer is not None:
        announcer.join()


def _exit_now(number: int, message: str) -> None:
    """End the process without unwinding, with a message and the status of a signal."""
    with contextlib.suppress(OSError):
        os.write(2, f"{message}\n".encode())
    os._exit(stop_status(number))
