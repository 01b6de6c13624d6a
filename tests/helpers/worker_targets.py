"""What tests of the preparation let worker processes do: they import it by name."""

import atexit
import os
import signal
import time
from pathlib import Path

from slowfast.datasets.prepare import transcode_jobs as copies
from slowfast.datasets.prepare.workers import TaskResult


def run_here(function, tasks, **_):
    """Stand in for ``run_tasks`` in this process, which is quicker."""
    for task in tasks:
        yield TaskResult(task, function(task, lambda: None))


encode = copies._encode  # before a test puts encode_until_stopped in its place


def work(task, beat):
    """A task is a word and its argument."""
    kind, argument = task
    if kind == "raise":
        raise ValueError(argument)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "sleep":
        time.sleep(argument)
    if kind == "slow":  # long, and alive all the while
        for _ in range(argument):
            time.sleep(0.3)
            beat()
    if kind == "stop at exit":
        atexit.register(os.kill, os.getpid(), signal.SIGTERM)
    if kind == "clean":
        _clean_up(Path(argument))
    return os.getpid() if kind == "pid" else argument


def _clean_up(folder):
    (folder / "begun").touch()
    try:
        time.sleep(60)
    finally:
        (folder / "cleaned").touch()


def encode_until_stopped(plan, beat, *, settings):
    """Encode, but never get beyond the first frame of a ``b.mp4``."""

    def beat_or_pause():
        beat()
        if plan.target.endswith("b.mp4"):
            Path(plan.target).with_name("paused").touch()
            signal.pause()

    return encode(plan, beat_or_pause, settings=settings)
