"""Launches the processes of a job: torchrun, SLURM, spawned processes, or this process alone.

Legend: world size = machines (shards) x processes of each machine.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import pickle
import re
import signal
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from slowfast.config.problems import UserError
from slowfast.utils import distributed
from slowfast.utils.exit_codes import print_error
from slowfast.utils.placement import DistEnv, dist_env_from_environment
from slowfast.utils.rendezvous import meet
from slowfast.utils.stop_signals import (
    blocked_signals,
    end_with_parent,
    ignore_signals,
    noted_signals,
    raising_on_signals,
    start_resource_tracker,
    unblock_signals,
)
from slowfast.utils.watch import RankError, Watch

__all__ = [
    "init_process",
    "launch",
]

logger = logging.getLogger(__name__)

# Smaller than a pipe's buffer, so that the first failing child can send its exception and exit.
_MAX_EXCEPTION_BYTES = 32_768
_TIMEOUT_SEC = 1800.0
_POLL_SEC = 0.2
_LATER_SEC = 30.0
"""The watch ends a job before a collective gives up, which does not know whom it waits for."""
_WATCH: list[Watch] = []
"""The watch of this process; one at most, as torch's process group."""


def _rendezvous(init_method: str, num_shards: int) -> str:
    """Complete ``tcp://host`` with a free port of this machine."""
    if re.search(r":\d+$", init_method) or not init_method.startswith("tcp://"):
        return init_method
    if num_shards > 1:
        raise UserError(
            f"--init_method: got '{init_method}' for NUM_SHARDS {num_shards}; several machines "
            "need one URL with a port, such as tcp://first-machine:9999."
        )
    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{init_method}:{probe.getsockname()[1]}"


def init_process(
    placement: DistEnv,
    *,
    backend: str = "gloo",
    timeout_sec: float = _TIMEOUT_SEC,
    wait_sec: float | None = None,
    tell: Callable[[RankError], None] | None = None,
) -> None:
    """Join the process group, unless this process is already in one.

    Args:
        placement: Distributed environment of this process.
        backend: ``gloo`` (CPU) or ``nccl`` (GPUs; sets GPU ``local_rank`` as current device).
        timeout_sec: How long to wait for the other processes to come, and for a sign of life of
            each.
        wait_sec: How long to wait in a collective for others that work; None: as ``timeout_sec``.
        tell: Called in a thread, before this process ends, when another one has failed; None: print
            the message.

    Raises:
        UserError: If the backend is NCCL and this machine has too few GPUs, or the processes do not
            find each other.
    """
    if distributed.is_initialized():
        return
    device = None
    if backend == "nccl":
        count = torch.cuda.device_count()
        if placement.local_rank >= count:
            raise UserError(
                f"DIST_BACKEND: nccl needs one GPU per process, but process "
                f"{placement.local_rank} of this machine finds {count}. Lower NUM_GPUS, or set "
                "NUM_GPUS 0 to train on the CPU."
            )
        device = torch.device("cuda", placement.local_rank)
        torch.cuda.set_device(device)
    logger.info("joining as rank %d of %d over %s", *placement[:2], backend)
    meeting = meet(placement, backend, timeout_sec)
    wait_sec = timeout_sec if wait_sec is None else wait_sec
    _WATCH[:] = [
        Watch(
            meeting,
            placement.rank,
            timeout_sec=timeout_sec,
            wait_sec=wait_sec,
            tell=tell or _print,
        )
    ]
    dist.init_process_group(
        backend,
        store=dist.PrefixStore("group", meeting.store),
        rank=placement.rank,
        world_size=placement.world_size,
        timeout=timedelta(seconds=wait_sec + _LATER_SEC),
        device_id=device,
    )


def _leave() -> None:
    for watch in _WATCH:
        watch.close()
    if distributed.is_initialized():
        dist.destroy_process_group()


def _find_cause(error: BaseException) -> BaseException:
    """Return the RankError behind an exception of this process, or the exception itself."""
    return _WATCH[0].find_cause(error) if _WATCH else error


def _report(error: BaseException) -> None:
    """Tell the other processes of the job that this one ends."""
    for watch in _WATCH:
        watch.report(error)


def _print(error: RankError) -> None:
    if not error.is_told:
        print_error(f"error: {error}", error.status)


def _run_here(
    fn: Callable[..., None],
    args: tuple[Any, ...],
    placement: DistEnv,
    settings: dict[str, Any],
) -> None:
    """Run as a process that a launcher started.

    The process group outlives the call: a new rendezvous at the same address, for a test after
    training, could meet the group that is being destroyed.
    """
    atexit.register(_leave)
    if "TORCHELASTIC_RUN_ID" in os.environ:  # a rank does not outlive its agent
        end_with_parent()
    try:
        init_process(placement, **settings)
        fn(*args)
        distributed.barrier()
    except (Exception, KeyboardInterrupt) as error:
        cause = _find_cause(error)
        _report(cause)
        if cause is error:
            raise
        raise cause from error


def _pack(error: BaseException) -> bytes:
    """Pickle an exception with its full message, so that the parent can raise it."""
    try:
        payload = pickle.dumps(error)
        intact = str(pickle.loads(payload)) == str(error)
    except Exception:  # foreign exception classes may fail in any way
        intact, payload = False, b""
    if intact and len(payload) <= _MAX_EXCEPTION_BYTES:
        return payload
    if isinstance(error, UserError):
        return pickle.dumps(UserError(str(error)[: _MAX_EXCEPTION_BYTES // 8]))
    message = f"{type(error).__name__}: {error}"
    return pickle.dumps(RuntimeError(message[: _MAX_EXCEPTION_BYTES // 8]))


def _run_child(
    local_rank: int,
    fn: Callable[..., None],
    args: tuple[Any, ...],
    first: DistEnv,
    settings: dict[str, Any],
    failures: Any,
) -> None:
    """Body of a spawned process: join, work, report."""
    place = first._replace(rank=first.rank + local_rank, local_rank=local_rank)
    end_with_parent()

    def tell(error: RankError) -> None:
        error.is_told = False
        failures.put(_pack(error))

    try:
        with raising_on_signals():
            unblock_signals()
            init_process(place, tell=tell, **settings)
            fn(*args)
            distributed.barrier()
    except (Exception, KeyboardInterrupt) as error:
        cause = _find_cause(error)
        if isinstance(cause, UserError):
            cause.is_told = False  # the parent tells it
        # Sent before this process exits: then the others fail, and the cause must come first.
        ignore_signals()  # it ends
        failures.put(_pack(cause))
        _report(cause)
        if isinstance(error, KeyboardInterrupt):  # torch would end with status 0
            sys.exit(1)
        if cause is error:
            raise
        raise cause from error
    _leave()


def _wait_for(processes: Any) -> None:
    """Wait for spawned processes; a signal is passed on to them, once, and they save and end."""

    def kill() -> None:
        for pid in processes.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    with noted_signals(before_exit=kill) as noted:
        unblock_signals()
        is_passed_on = False
        while not processes.join(timeout=_POLL_SEC):
            if noted.number and not is_passed_on:
                is_passed_on = True
                for process in processes.processes:
                    if process.is_alive():
                        os.kill(process.pid, noted.number)


def launch(  # noqa: PLR0913 - what PySlowFast's launch_job is given, and how long to wait
    fn: Callable[..., None],
    args: tuple[Any, ...] = (),
    *,
    num_processes: int = 1,
    num_shards: int = 1,
    shard_id: int = 0,
    init_method: str = "tcp://localhost",
    backend: str = "gloo",
    timeout_sec: float = _TIMEOUT_SEC,
    wait_sec: float | None = None,
) -> None:
    """Run ``fn(*args)`` in every process of the job.

    Under torchrun, and under ``srun`` with several tasks unless ``num_shards`` says that the user
    starts the machines, this process is one of the job and joins. Otherwise ``num_processes`` are
    spawned; with a single process ``fn`` is called directly. A spawned process imports everything
    again: ``fn`` and ``args`` must be picklable, ``fn`` importable.

    Args:
        fn: Called in every process; its return value is ignored.
        args: Its arguments.
        num_processes: Processes of this machine.
        num_shards: Machines.
        shard_id: Rank of this machine.
        init_method: Rendezvous URL. Without a port a free one is chosen (one machine only).
        backend: ``gloo`` or ``nccl``.
        timeout_sec: DIST.TIMEOUT_SEC: how long a process waits for one that does not come, or gives
            no sign of life.
        wait_sec: How long it waits for one that works; None: as ``timeout_sec``.

    Raises:
        UserError: If the arguments or the environment variables are inconsistent.
        Exception: Whatever ``fn`` raises. From a spawned process the first exception of any rank is
            re-raised here, with that process's traceback as its cause.
    """
    if not 0 <= shard_id < num_shards:
        raise UserError(
            f"SHARD_ID: got {shard_id}, expected 0 to NUM_SHARDS - 1 = {num_shards - 1}."
        )
    settings = {"backend": backend, "timeout_sec": timeout_sec, "wait_sec": wait_sec}
    env = dist_env_from_environment(os.environ)
    if env is not None and (num_shards == 1 or env.init_method == "env://"):
        _run_here(fn, args, env, settings)
        return
    if num_processes * num_shards == 1:
        fn(*args)
        return
    first = DistEnv(
        rank=shard_id * num_processes,
        world_size=num_shards * num_processes,
        local_rank=0,
        init_method=_rendezvous(init_method, num_shards),
    )
    if num_processes == 1:
        _run_here(fn, args, first, settings)
        return
    start_resource_tracker()
    failures = mp.get_context("spawn").SimpleQueue()
    try:
        job = (fn, args, first, settings, failures)
        with blocked_signals():  # what the processes are sent while they start waits
            _wait_for(mp.spawn(_run_child, job, nprocs=num_processes, join=False))
    except (mp.ProcessRaisedException, mp.ProcessExitedException) as error:
        cause = None if failures.empty() else pickle.loads(failures.get())
        name = getattr(error, "signal_name", None)
        rank = first.rank + error.error_index
        # A rank that does not answer is killed by the one that noticed it, which says why.
        is_noticed = isinstance(cause, RankError) and rank in cause.ranks
        # What followed: another rank noticed, or was told to end by torch.
        followed = cause is None or isinstance(cause, RankError | KeyboardInterrupt)
        if name and followed and not is_noticed:
            cause = RankError(
                f"rank {rank} (process {error.error_pid}) was ended by {name}; SIGKILL often means "
                "that the memory was full.",
                [rank],
            )
        if cause is None:
            raise
        raise cause from error
