"""Runs of a sweep as processes of this machine, which share its cores and GPUs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from slowfast.config.problems import UserError
from slowfast.engine.sweep.run_state import RunState
from slowfast.engine.sweep.scheduler import LOG_NAME, PROMPT, Launcher, Process
from slowfast.utils.cores import cores_per_process

__all__ = ["LocalLauncher", "find_gpus", "lock_folder", "share_machine", "start_process"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class LocalLauncher(Launcher):
    """Starts runs on this machine.

    Args:
        command: What runs a config: its arguments come behind.
        jobs: Runs at once.
        gpus: Identifiers of the GPUs to share out.
        lock: File descriptor that every run keeps open, or None.
    """

    def __init__(
        self, command: Sequence[str], jobs: int, gpus: Sequence[str] = (), lock: int | None = None
    ) -> None:
        self.command, self.slots, self.gpus = list(command), jobs, gpus
        self.keep = [] if lock is None else [lock]
        self._in_slot: list[subprocess.Popen[bytes] | None] = [None] * jobs

    def start(self, states: Sequence[RunState]) -> list[Process]:
        """Start runs, each in a slot of its own; there must be as many free ones."""
        return [self._start(state) for state in states]

    def _start(self, state: RunState) -> Process:
        slot = next(n for n, p in enumerate(self._in_slot) if p is None or p.poll() is not None)
        env = {**os.environ, **share_machine(slot, len(self._in_slot), self.gpus, os.environ)}
        argv = [*self.command, *state.run.argv]
        process = start_process(argv, state.run.folder / LOG_NAME, env, self.keep)
        self._in_slot[slot] = process
        return process

    def interrupt(self, times: int) -> None:
        """Send SIGINT, as Ctrl-C would: a training saves and ends; a second one does not wait.

        Args:
            times: How often an end was asked for; from the third time on runs are killed.
        """
        for process in self._in_slot:
            if process is not None and process.poll() is None:
                signal_group(process.pid, signal.SIGINT if times < 3 else signal.SIGKILL)


def start_process(
    argv: Sequence[str], log: Path, env: Mapping[str, str], keep: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a command whose output goes to the end of a file.

    Args:
        argv: The command.
        log: The file; the command stands in front of its output.
        env: Its environment.
        keep: File descriptors that stay open in it.

    Returns:
        The process. It leads a group of its own: Ctrl-C in a terminal reaches the sweep alone,
        which passes it on once.
    """
    with log.open("ab") as file:
        file.write(f"\n{PROMPT}{shlex.join(argv)}\n".encode())
        file.flush()
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**env, "PYTHONUNBUFFERED": "1"},
            pass_fds=keep,
            start_new_session=True,
        )


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a process from ``start_process`` and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def share_machine(
    slot: int, slots: int, gpus: Sequence[str], env: Mapping[str, str]
) -> dict[str, str]:
    """Choose the cores and GPUs of one of several runs.

    Args:
        slot: Number of the run among those that run at once.
        slots: Runs at once.
        gpus: Identifiers of the GPUs; shared out in blocks, or several runs to a GPU.
        env: The environment; a number of threads that is set in it stays.

    Returns:
        Variables to set; none for a run that has the machine to itself.
    """
    if slots == 1:
        return {}
    threads = str(cores_per_process(slots))
    found = {name: threads for name in _THREAD_VARIABLES if name not in env}
    if gpus:
        block = gpus[slot * len(gpus) // slots : (slot + 1) * len(gpus) // slots]
        mine = block if len(gpus) >= slots else [gpus[slot % len(gpus)]]
        found["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    return found


def find_gpus(env: Mapping[str, str]) -> list[str]:
    """List the GPUs that runs may use.

    Args:
        env: The environment; CUDA_VISIBLE_DEVICES wins.

    Returns:
        Their identifiers.
    """
    if "CUDA_VISIBLE_DEVICES" in env:
        words = env["CUDA_VISIBLE_DEVICES"].split(",")
        return [word.strip() for word in words if word.strip() not in ("", "-1")]
    import torch  # not above: --help needs nothing that is heavy

    return [str(number) for number in range(torch.cuda.device_count())]


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[int]:
    """Keep a second sweep out of a folder.

    Args:
        folder: The sweep's folder; created.

    Yields:
        A file descriptor. Processes that inherit it hold the lock too, so that a run that outlives
        a killed sweep is not started a second time while it runs.

    Raises:
        UserError: If somebody holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"output_dir: another sweep, or a run that it left behind, uses {folder}. "
                "Wait for it or end it."
            ) from error
        except OSError:
            pass  # A file system without locks: nothing can be said about others.
        yield file.fileno()
