"""Signals that ask a process to end: what they do while it imports, works, or has to finish."""

import logging
import multiprocessing
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from slowfast.utils.exit_codes import exit_with
from slowfast.utils.stop_signals import (
    STOP_SIGNALS,
    StopSignal,
    blocked_signals,
    noted_signals,
    raising_on_signals,
    unblock_signals,
)

STATUS = {number: 130 if number == signal.SIGINT else 75 for number in STOP_SIGNALS}


@pytest.fixture(autouse=True)
def handlers():
    """Each test leaves the handlers as they were."""
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    yield before
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_command_ends_with_one_message(capsys, number):
    assert exit_with(lambda: signal.raise_signal(number)) == STATUS[number]
    name = "" if number == signal.SIGINT else f": stopped by {number.name}"
    assert capsys.readouterr() == ("", f"interrupted{name}\n")


def test_a_command_may_say_what_was_interrupted(capsys):
    def work():
        raise StopSignal(signal.SIGTERM, "stopped in the test")

    assert exit_with(work) == 75
    assert capsys.readouterr().err == "stopped in the test\n"


def test_a_signal_is_noted_and_announced_once():
    announced = []
    with noted_signals(announced.append) as noted:
        assert noted.number == 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):  # of one request
            signal.raise_signal(number)
    assert (noted.number, announced) == (signal.SIGTERM, [signal.SIGTERM])


def test_contexts_are_nested():
    with noted_signals() as noted:
        with pytest.raises(StopSignal, match="stopped by SIGHUP"), raising_on_signals():
            signal.raise_signal(signal.SIGHUP)
        assert noted.number == 0
        signal.raise_signal(signal.SIGUSR1)
    assert noted.number == signal.SIGUSR1


def test_what_is_ignored_stays_ignored(handlers):
    """nohup ignores SIGHUP; a shell's background job SIGINT, which the sweep sends all the same."""
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGHUP, signal.SIGINT)}
    try:
        with noted_signals() as noted:
            signal.raise_signal(signal.SIGHUP)
            assert noted.number == 0
            signal.raise_signal(signal.SIGINT)
        assert noted.number == signal.SIGINT
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_other_threads_install_nothing(handlers):
    def work():
        with raising_on_signals(), noted_signals() as noted:
            found.append([signal.getsignal(number) for number in STOP_SIGNALS])
            found.append(noted.number)

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [handlers, 0]


class Destroyed:
    """Receives a signal in its destructor, where Python ignores exceptions."""

    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("place", ["a destructor", "a start of a process", "a lock of the log"])
def test_a_signal_at_a_moment_that_cannot_raise_is_not_lost(place, capsys):
    code = compile("signal.raise_signal(signal.SIGTERM)", multiprocessing.__file__, "exec")
    launch = types.FunctionType(code.replace(co_name="_launch"), {"signal": signal})
    of_log = code.replace(co_name="_releaseLock", co_filename=logging.__file__)
    release = types.FunctionType(of_log, {"signal": signal})
    places = {
        "a destructor": Destroyed,
        "a start of a process": launch,
        "a lock of the log": release,
    }
    finished = []

    def work():
        places[place]()
        finished.append(place)
        time.sleep(60)

    with pytest.raises(StopSignal), raising_on_signals():
        work()
    assert finished == [place]
    assert capsys.readouterr().err == ""


def test_blocked_signals_arrive_later():
    with raising_on_signals(), blocked_signals():
        # To this thread: the process may have others, which do not block it.
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        with pytest.raises(StopSignal):
            unblock_signals()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


START = "import ctypes, os, signal, sys, time\nfrom slowfast.utils.stop_signals import *\n"
# A mutex that is locked twice: the main thread waits in native code, and no handler is called.
STUCK = (
    "mutex, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)\n"
    "with noted_signals():\n"
    "    print('ready', flush=True)\n"
    "    while True: libc.pthread_mutex_lock(mutex)\n"
)
IMPORTING = "with ending_on_signals():\n    print('ready', flush=True)\n    time.sleep(60)\n"


def start(code):
    process = subprocess.Popen(
        [sys.executable, "-c", START + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    return process, process.stdout.readline().split()


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_the_resource_tracker_outlives_a_signal_to_all(number):
    code = (
        "import os, time\n"
        "from multiprocessing import resource_tracker\n"
        "from slowfast.utils.stop_signals import start_resource_tracker\n"
        "start_resource_tracker()\n"
        f"os.kill(resource_tracker._resource_tracker._pid, {int(number)})\n"
        "time.sleep(0.5)\n"
        "assert resource_tracker._resource_tracker._check_alive()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_process_that_waits_in_native_code(number):
    process, _ = start(STUCK)
    process.send_signal(number)
    time.sleep(1.2)
    assert process.poll() is None
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == STATUS[number]
    assert error.startswith(f"{number.name} again: ended without saving")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_process_that_imports_ends_at_once(number):
    process, _ = start(IMPORTING)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == STATUS[number]
    assert error == f"stopped by {number.name}: run the same command again\n"


@pytest.mark.skipif(sys.platform != "linux", reason="a system call of Linux")
def test_a_child_dies_with_its_parent():
    code = (
        "pid = os.fork()\n"
        "if not pid:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    end_with_parent()\n"
        "    print('ready', os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    process, (_, child) = start(code)
    process.kill()
    process.communicate(timeout=60)
    status, end = Path(f"/proc/{child}/status"), time.monotonic() + 10
    while lives(status) and time.monotonic() < end:
        time.sleep(0.02)
    assert not lives(status)


def lives(status):
    """Whether a process lives; nobody may have waited for a dead one."""
    try:
        return "Z (zombie)" not in status.read_text(encoding="utf-8")
    except OSError:
        return False
