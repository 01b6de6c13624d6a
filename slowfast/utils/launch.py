"""Launches the processes of a job: torchrun, SLURM, spawned processes, or this process alone.

Legend: world size = machines (shards) x processes of each machine.
"""

from __future__ import annotations

import atexit
import logging
import os
import pickle
import re
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from slowfast.config.problems import UserError
from slowfast.utils import distributed

__all__ = [
    "DistEnv",
    "dist_env_from_environment",
    "init_process",
    "launch",
    "local_world_size",
    "master_addr",
    "num_machines",
]

logger = logging.getLogger(__name__)

# Smaller than a pipe's buffer, so that the first failing child can send its exception and exit.
_MAX_EXCEPTION_BYTES = 32_768


class DistEnv(NamedTuple):
    """Distributed environment of one process.

    Attributes:
        rank: Global rank, 0 to world_size - 1.
        world_size: Number of processes of the job.
        local_rank: Rank on its machine; the index of its GPU.
        init_method: Rendezvous URL: ``tcp://host:port`` or ``env://``.
    """

    rank: int
    world_size: int
    local_rank: int
    init_method: str


def master_addr(nodelist: str) -> str:
    """Return the first host of a SLURM node list.

    Args:
        nodelist: Such as ``gpu[003-005,7],login1``.

    Returns:
        Its first host, here ``gpu003``.
    """
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])+", nodelist)
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", first.group()) if first else ""


def dist_env_from_environment(env: Mapping[str, str]) -> DistEnv | None:
    """Read the environment variables of torchrun or ``srun``.

    Args:
        env: Environment variables. torchrun: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
            MASTER_PORT. SLURM: SLURM_PROCID, SLURM_NTASKS (more than one), SLURM_LOCALID, and the
            first host of SLURM_JOB_NODELIST or SLURM_NODELIST. MASTER_ADDR and MASTER_PORT take
            precedence.

    Returns:
        The environment of this process, or None if no launcher started it.

    Raises:
        UserError: If a variable of the launcher is missing or is not a number.
    """
    try:
        if "RANK" in env and "WORLD_SIZE" in env:
            rank = int(env["RANK"])
            return DistEnv(rank, int(env["WORLD_SIZE"]), int(env.get("LOCAL_RANK", rank)), "env://")
        if "SLURM_PROCID" not in env or int(env.get("SLURM_NTASKS", "1")) < 2:
            return None
        nodes = env.get("SLURM_JOB_NODELIST") or env["SLURM_NODELIST"]
        host = env.get("MASTER_ADDR") or master_addr(nodes)
        # One port per job, derived from the job ID: several jobs may share the first host.
        port = env.get("MASTER_PORT") or str(20_000 + int(env.get("SLURM_JOB_ID", "0")) % 20_000)
        return DistEnv(
            rank=int(env["SLURM_PROCID"]),
            world_size=int(env["SLURM_NTASKS"]),
            local_rank=int(env["SLURM_LOCALID"]),
            init_method=f"tcp://{host}:{port}",
        )
    except KeyError as error:
        raise UserError(
            f"environment: {error.args[0]} is not set, but other variables of the launcher are. "
            "Start the job with torchrun or srun, or unset them."
        ) from error
    except ValueError as error:
        raise UserError(f"environment: a launcher variable is not a number: {error}.") from error


def local_world_size(num_shards: int) -> int:
    """Count the processes of this machine.

    Args:
        num_shards: NUM_SHARDS, used if no launcher sets the count.

    Returns:
        LOCAL_WORLD_SIZE (torchrun) or SLURM_NTASKS_PER_NODE if launched by one of them,
        else the world size divided by ``num_shards``; at least 1.
    """
    if distributed.is_initialized():
        for name in ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE"):
            if os.environ.get(name, "").isdigit():
                return min(int(os.environ[name]), distributed.world_size())
    return max(1, distributed.world_size() // num_shards)


def num_machines(num_shards: int) -> int:
    """Count the machines of the job.

    Args:
        num_shards: NUM_SHARDS, used unless processes were started by torchrun or SLURM.

    Returns:
        At least 1.
    """
    if not distributed.is_initialized():
        return num_shards
    return max(1, distributed.world_size() // local_world_size(num_shards))


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


def init_process(placement: DistEnv, *, backend: str = "gloo", timeout_sec: float = 1800) -> None:
    """Join the process group, unless this process is already in one.

    Args:
        placement: Distributed environment of this process.
        backend: ``gloo`` (CPU) or ``nccl`` (GPUs; sets GPU ``local_rank`` as current device).
        timeout_sec: Timeout of collectives, in seconds.

    Raises:
        UserError: If the backend is NCCL and this machine has too few GPUs.
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
    dist.init_process_group(
        backend,
        init_method=placement.init_method,
        rank=placement.rank,
        world_size=placement.world_size,
        timeout=timedelta(seconds=timeout_sec),
        device_id=device,
    )


def _leave() -> None:
    if distributed.is_initialized():
        dist.destroy_process_group()


def _run_here(
    fn: Callable[..., None], args: tuple[Any, ...], placement: DistEnv, backend: str
) -> None:
    """Run as a process that a launcher started.

    The process group outlives the call: a new rendezvous at the same address, for a test after
    training, could meet the group that is being destroyed.
    """
    init_process(placement, backend=backend)
    atexit.register(_leave)
    fn(*args)
    distributed.barrier()


def _pack(error: Exception) -> bytes:
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
    backend: str,
    failures: Any,
) -> None:
    """Body of a spawned process: join, work, report."""
    place = first._replace(rank=first.rank + local_rank, local_rank=local_rank)
    try:
        init_process(place, backend=backend)
        fn(*args)
        distributed.barrier()
    except Exception as error:
        # Sent before this process exits: then the others fail, and the cause must come first.
        failures.put(_pack(error))
        raise
    _leave()


def launch(
    fn: Callable[..., None],
    args: tuple[Any, ...] = (),
    *,
    num_processes: int = 1,
    num_shards: int = 1,
    shard_id: int = 0,
    init_method: str = "tcp://localhost",
    backend: str = "gloo",
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

    Raises:
        UserError: If the arguments or the environment variables are inconsistent.
        Exception: Whatever ``fn`` raises. From a spawned process the first exception of any rank is
            re-raised here, with that process's traceback as its cause.
    """
    if not 0 <= shard_id < num_shards:
        raise UserError(
            f"SHARD_ID: got {shard_id}, expected 0 to NUM_SHARDS - 1 = {num_shards - 1}."
        )
    env = dist_env_from_environment(os.environ)
    if env is not None and (num_shards == 1 or env.init_method == "env://"):
        _run_here(fn, args, env, backend)
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
        _run_here(fn, args, first, backend)
        return
    failures = mp.get_context("spawn").SimpleQueue()
    try:
        mp.spawn(_run_child, (fn, args, first, backend, failures), nprocs=num_processes)
    except mp.ProcessRaisedException as error:
        if failures.empty():
            raise
        raise pickle.loads(failures.get()) from error
