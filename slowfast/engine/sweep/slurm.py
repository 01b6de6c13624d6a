"""Runs of a sweep as jobs of SLURM, submitted as arrays through submitit."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.config.problems import UserError
from slowfast.engine.sweep.local import signal_group, start_process
from slowfast.engine.sweep.run_state import RUNNING
from slowfast.engine.sweep.schedule import LOG_NAME, Process
from slowfast.engine.sweep.tasks import Task

__all__ = ["Command", "SlurmLauncher", "import_submitit"]

logger = logging.getLogger(__name__)

_FOLDER = ".slurm"
_POLL_SEC = 0.5
_SAVE_SEC = 80.0  # SLURM gives submitit 90 seconds
_DEFAULTS = {"name": "sweep", "tasks_per_node": 1}
_CONSTRUCTOR_KEYS = ("slurm_max_num_timeout",)


def import_submitit() -> Any:
    """Import submitit.

    Returns:
        The module.

    Raises:
        UserError: If it is not installed; the message says how to get it.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            "slurm: needs submitit: pip install 'slowfast-stica[slurm]'. To run on this machine "
            "instead, give --local."
        ) from error
    return submitit


class Command:
    """What a job of SLURM does; it is pickled and called there.

    Args:
        words: The command line.
        folder: Folder of its log.
    """

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self.words, self.folder = list(words), folder
        self._process: subprocess.Popen[bytes] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"words": self.words, "folder": self.folder, "_process": None}

    def __call__(self) -> int:
        """Run the command.

        Returns:
            Its exit status. Of several tasks only the first writes to the run's own log.
        """
        rank = int(os.environ.get("SLURM_PROCID", "0"))
        log = self.folder / (LOG_NAME if rank == 0 else f"{LOG_NAME}.{rank}")
        process = self._process = start_process(self.words, log, os.environ)
        # scancel sends this to the job: the run saves and ends.
        signal.signal(signal.SIGTERM, lambda *_: signal_group(process, signal.SIGINT))
        while process.poll() is None:
            time.sleep(_POLL_SEC)
        return process.wait()

    def checkpoint(self) -> Any:
        """Save before the time is up; submitit calls this and puts the job back into the queue.

        Returns:
            The same command, which then goes on from where it was saved.
        """
        if self._process is not None:
            signal_group(self._process, signal.SIGINT)
            _wait_unreaped(self._process.pid, _SAVE_SEC)
        return import_submitit().helpers.DelayedSubmission(self)


def _wait_unreaped(pid: int, seconds: float) -> None:
    """Wait for a child within a signal handler, which may have interrupted Popen's own waiting."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
                return
        except ChildProcessError:
            return
        time.sleep(_POLL_SEC)


class SlurmLauncher:
    """Submits runs; all that are ready at once become one array.

    Args:
        command: What runs a config: its words come behind.
        output_dir: The sweep's folder.
        parameters: Of the YAML: submitit's ``AutoExecutor.update_parameters``, and ``cluster``.
        make_executor: ``submitit.AutoExecutor``, or a stand-in.
        find_job: ``submitit.SlurmJob``, or a stand-in: finds a job of an earlier call.

    Raises:
        UserError: If submitit does not understand the parameters, or there is no SLURM.
    """

    slots: int | None = None
    detaches: bool = True

    def __init__(
        self,
        command: Sequence[str],
        output_dir: Path,
        parameters: Mapping[str, Any],
        make_executor: Callable[..., Any] | None = None,
        find_job: Callable[..., Any] | None = None,
    ) -> None:
        self.command = list(command)
        # Not a folder for each job: a job that starts at once would look for one not yet there.
        self.folder = output_dir / _FOLDER
        self.cluster = str(parameters.get("cluster", "slurm"))
        make = make_executor or import_submitit().AutoExecutor
        given = {**_DEFAULTS, **parameters}
        given.pop("cluster", None)
        first = {key: given.pop(key) for key in _CONSTRUCTOR_KEYS if key in given}
        self._tasks = int(given.get("nodes", 1)) * int(given["tasks_per_node"])
        try:
            self._executor = make(folder=self.folder, cluster=self.cluster, **first)
            self._executor.update_parameters(**given)
        except (AssertionError, NameError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"slurm: {error}") from error
        self._find_job = find_job

    def start(self, tasks: Sequence[Task]) -> list[Process]:
        """Submit runs as one array.

        Args:
            tasks: Those that are ready.

        Returns:
            Their jobs, in the same order.

        Raises:
            UserError: If SLURM refuses them.
        """
        commands = [
            Command([*self.command, *task.marker.command], task.folder.absolute()) for task in tasks
        ]
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(command) for command in commands]
        except RuntimeError as error:  # submitit's FailedJobError is one
            raise UserError(f"slurm: could not submit: {error}") from error
        return [_SlurmProcess(job) for job in jobs]

    def attach(self, task: Task) -> Process | None:
        """Find the job that an earlier call submitted for a run.

        Args:
            task: The run.

        Returns:
            Its job, which may have ended since; None when it was not submitted to SLURM.
        """
        number = task.marker.slurm_job
        if task.marker.state != RUNNING or number is None or self.cluster != "slurm":
            return None
        find = self._find_job or import_submitit().SlurmJob
        job = find(folder=self.folder, job_id=number, tasks=list(range(self._tasks)))
        return _SlurmProcess(job)

    def interrupt(self, processes: Sequence[Process], times: int) -> None:
        """Do nothing: submitted jobs go on by themselves.

        Args:
            processes: Those that wait or run.
            times: How often an end was asked for.
        """


class _SlurmProcess:
    def __init__(self, job: Any) -> None:
        self._job = job

    @property
    def job_id(self) -> str:
        """Number of the job."""
        return str(self._job.job_id)

    def poll(self) -> int | None:
        """Return the exit status, or None while the job waits or runs."""
        if not self._job.done():
            return None
        error = self._job.exception()
        if error is not None:
            logger.warning("SLURM job %s: %s", self.job_id, error)
            return 1
        return max((int(status) for status in self._job.results()), key=abs)
