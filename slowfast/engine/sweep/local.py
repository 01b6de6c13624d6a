"""Runs of a sweep as processes of this machine, which share its cores and GPUs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from slowfast.config.problems import UserError
from slowfast.engine.sweep.schedule import LOG_NAME, Process
from slowfast.engine.sweep.tasks import Task

__all__ = ["LocalLauncher", "find_gpus", "lock_folder", "share_machine", "start_process"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LOCK = ".lock"


class LocalLauncher:
    """Starts runs on this machine.

    Args:
        command: What runs a config: its words come behind.
        jobs: Runs at once.
        gpus: Identifiers of the GPUs to share out.
        lock: File descriptor that every run keeps open, or None.
    """

    slots: int | None
    detaches: bool = False

    def __init__(
        self, command: Sequence[str], jobs: int, gpus: Sequence[str] = (), lock: int | None = None
    ) -> None:
        self.command, self.slots, self.lock = list(command), jobs, lock
        self.jobs, self.gpus = jobs, list(gpus)
        self._used: dict[int, _LocalProcess] = {}

    def start(self, tasks: Sequence[Task]) -> list[Process]:
        """Start runs, each in a slot of its own.

        Args:
            tasks: At most as many as there are free slots.

        Returns:
            The processes, in the same order.
        """
        return [self._start(task) for task in tasks]

    def _start(self, task: Task) -> _LocalProcess:
        busy = {slot for slot, process in self._used.items() if process.poll() is None}
        slot = min(set(range(self.jobs)) - busy)
        env = {**os.environ, **share_machine(slot, self.jobs, self.gpus, os.environ)}
        keep = [] if self.lock is None else [self.lock]
        words = [*self.command, *task.marker.command]
        process = _LocalProcess(start_process(words, task.folder / LOG_NAME, env, keep))
        self._used[slot] = process
        return process

    def attach(self, task: Task) -> Process | None:
        """Find nothing: a run of this machine does not outlive its sweep."""
        return None

    def interrupt(self, processes: Sequence[Process], times: int) -> None:
        """Send SIGINT, as Ctrl-C would: a training saves and ends; a second one does not wait.

        Args:
            processes: Those that run.
            times: How often an end was asked for; from the third time on they are killed.
        """
        number = signal.SIGINT if times < 3 else signal.SIGKILL
        for process in processes:
            if isinstance(process, _LocalProcess):
                signal_group(process.popen, number)


class _LocalProcess:
    job_id = None

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen

    def poll(self) -> int | None:
        """Return the exit status, or None while the run goes on."""
        return self.popen.poll()


def start_process(
    words: Sequence[str], log: Path, env: Mapping[str, str], keep: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a command whose output goes to the end of a file.

    Args:
        words: The command.
        log: The file; the command stands in front of its output.
        env: Its environment.
        keep: File descriptors that stay open in it.

    Returns:
        The process. It leads a group of its own: Ctrl-C in a terminal reaches the sweep alone,
        which passes it on once.
    """
    with log.open("ab") as file:
        file.write(f"\n$ {shlex.join(words)}\n".encode())
        file.flush()
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**env, "PYTHONUNBUFFERED": "1"},
            pass_fds=keep,
            start_new_session=True,
        )


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and all that it has started.

    Args:
        process: From ``start_process``.
        number: The signal.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


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
    threads = str(max(1, _count_cores() // slots))
    found = {name: threads for name in _THREAD_VARIABLES if name not in env}
    if gpus:
        block = gpus[slot * len(gpus) // slots : (slot + 1) * len(gpus) // slots]
        mine = block if len(gpus) >= slots else [gpus[slot % len(gpus)]]
        found["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    return found


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def find_gpus(env: Mapping[str, str]) -> list[str]:
    """List the GPUs that runs may use, without importing torch.

    Args:
        env: The environment; CUDA_VISIBLE_DEVICES wins.

    Returns:
        Their identifiers.
    """
    if "CUDA_VISIBLE_DEVICES" in env:
        words = env["CUDA_VISIBLE_DEVICES"].split(",")
        return [word.strip() for word in words if word.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi", path=env.get("PATH"))
    if program is None:
        return []
    done = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(lines))]


@contextmanager
def lock_folder(folder: Path) -> Iterator[int]:
    """Keep a second sweep out of a folder.

    Args:
        folder: The sweep's folder; created.

    Yields:
        A file descriptor. Processes that inherit it hold the lock too, so that a run that outlives
        a killed sweep is not started a second time beside itself.

    Raises:
        UserError: If somebody holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"output_dir: another sweep, or a run that it left behind, is at work in {folder}. "
                "Wait for it or end it."
            ) from error
        except OSError:
            pass  # A file system without locks: nothing can be said about others.
        yield file.fileno()
