"""What test_prepare_workers lets worker processes do: they import it by name."""

import os
import signal
import time
from pathlib import Path


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
    if kind == "clean":
        _clean_up(Path(argument))
    return os.getpid() if kind == "pid" else argument


def _clean_up(folder):
    (folder / "begun").touch()
    try:
        time.sleep(60)
    finally:
        (folder / "cleaned").touch()
