"""Runs of a sweep as jobs of SLURM, submitted as arrays through submitit."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.config.problems import UserError
from slowfast.engine.sweep.local import signal_group, start_process
from slowfast.engine.sweep.run_state import RunState, State
from slowfast.engine.sweep.scheduler import LOG_NAME, Launcher, Process

__all__ = ["Command", "SlurmLauncher", "import_submitit"]

logger = logging.getLogger(__name__)

_POLL_SEC = 0.5
_SAVE_SEC = 80.0  # SLURM gives submitit 90 seconds
_DEFAULTS = {"name": "sweep", "tasks_per_node": 1}
_CONSTRUCTOR_KEYS = ("slurm_max_num_timeout",)


def import_submitit() -> Any:
    """Import submitit; a UserError says how to install it."""
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            "slurm: needs submitit: pip install 'slowfast-stica[slurm]'. To run on this machine "
            "instead, give --local."
        ) from error
    return submitit


class Command:
    """What a job of SLURM does; it is pickled and called there."""

    def __init__(self, argv: Sequence[str], folder: Path) -> None:
        self.argv, self.folder = list(argv), folder
        self._pid: int | None = None

    def __call__(self) -> int:
        """Run the command.

        Returns:
            Its exit status. Of several tasks only the first writes to the run's own log.
        """
        rank = int(os.environ.get("SLURM_PROCID", "0"))
        log = self.folder / (LOG_NAME if rank == 0 else f"{LOG_NAME}.{rank}")
        process = start_process(self.argv, log, os.environ)
        pid = self._pid = process.pid
        # scancel sends this to the job: the run saves and ends.
        signal.signal(signal.SIGTERM, lambda *_: signal_group(pid, signal.SIGINT))
        while process.poll() is None:
            time.sleep(_POLL_SEC)
        return process.wait()

    def checkpoint(self) -> Any:
        """Save before the time is up; submitit calls this and puts the job back into the queue."""
        if self._pid is not None:
            signal_group(self._pid, signal.SIGINT)
            end = time.monotonic() + _SAVE_SEC
            with contextlib.suppress(ChildProcessError):
                # This is a signal handler, which may have interrupted Popen's own waiting: the exit
                # status is left to that.
                options = os.WEXITED | os.WNOWAIT | os.WNOHANG
                while not os.waitid(os.P_PID, self._pid, options) and time.monotonic() < end:
                    time.sleep(_POLL_SEC)
        self._pid = None
        return import_submitit().helpers.DelayedSubmission(self)


class SlurmLauncher(Launcher):
    """Submits runs; all that are ready at once become one array.

    Args:
        command: What runs a config: its arguments come behind.
        output_dir: The sweep's folder.
        parameters: Of the YAML: submitit's ``AutoExecutor.update_parameters``, and ``cluster``.

    Raises:
        UserError: If submitit does not understand the parameters, or there is no SLURM.
    """

    detaches = True

    def __init__(
        self, command: Sequence[str], output_dir: Path, parameters: Mapping[str, Any]
    ) -> None:
        self.command = list(command)
        # Not one folder per job: a job that starts at once would not find its own yet.
        self.folder = output_dir / ".slurm"
        given = {**_DEFAULTS, **parameters}
        self.cluster = str(given.pop("cluster", "slurm"))
        first = {key: given.pop(key) for key in _CONSTRUCTOR_KEYS if key in given}
        submitit = import_submitit()
        try:
            self._executor = submitit.AutoExecutor(self.folder, cluster=self.cluster, **first)
            self._executor.update_parameters(**given)
        except (AssertionError, NameError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"slurm: {error}") from error
        self._num_tasks = int(given.get("nodes", 1)) * int(given["tasks_per_node"])

    def start(self, states: Sequence[RunState]) -> list[Process]:
        """Submit runs as one array; each state is given the number of its job.

        Raises:
            UserError: If SLURM refuses them.
        """
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(self._command(state)) for state in states]
        except RuntimeError as error:  # submitit's FailedJobError is one
            raise UserError(f"slurm: could not submit: {error}") from error
        for state, job in zip(states, jobs, strict=True):
            state.slurm_job = str(job.job_id)
        return [_SlurmProcess(job) for job in jobs]

    def _command(self, state: RunState) -> Command:
        return Command([*self.command, *state.run.argv], state.run.folder.absolute())

    def attach(self, state: RunState) -> Process | None:
        """Find the job that an earlier call submitted for a run.

        Returns:
            Its job, which may have ended since; None when it was not submitted to SLURM.
        """
        number = state.slurm_job
        if state.state != State.RUNNING or number is None or self.cluster != "slurm":
            return None
        tasks = list(range(self._num_tasks))
        return _SlurmProcess(import_submitit().SlurmJob(self.folder, number, tasks))


class _SlurmProcess:
    def __init__(self, job: Any) -> None:
        self._job = job

    def poll(self) -> int | None:
        """Return the exit status, or None while the job waits or runs."""
        if not self._job.done():
            return None
        error = self._job.exception()
        if error is not None:
            logger.warning("SLURM job %s: %s", self._job.job_id, error)
            return 1
        return max((int(status) for status in self._job.results()), key=abs)
