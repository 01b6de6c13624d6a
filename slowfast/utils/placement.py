"""Where a process is in its job, as torchrun, ``srun`` or submitit say in environment variables.

Legend: world size = machines x processes of each machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from slowfast.config.problems import UserError
from slowfast.utils import distributed

__all__ = [
    "DistEnv",
    "dist_env_from_environment",
    "local_world_size",
    "master_addr",
    "num_machines",
]


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
    """Read the environment variables of torchrun, ``srun`` or submitit's local executor.

    Args:
        env: Environment variables. torchrun: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
            MASTER_PORT. SLURM, also through submitit: SLURM_PROCID, SLURM_STEP_NUM_TASKS or
            SLURM_NTASKS (more than one), SLURM_LOCALID, and the first host of
            SLURM_STEP_NODELIST, SLURM_JOB_NODELIST or SLURM_NODELIST. submitit on one machine:
            SUBMITIT_LOCAL_GLOBALID, SUBMITIT_LOCAL_NTASKS (more than one), SUBMITIT_LOCAL_LOCALID.
            MASTER_ADDR and MASTER_PORT take precedence.

    Returns:
        The environment of this process, or None if no launcher started it.

    Raises:
        UserError: If a variable of the launcher is missing or is not a number, or if it started
            different numbers of processes on its machines.
    """
    try:
        if "RANK" in env and "WORLD_SIZE" in env:
            rank = int(env["RANK"])
            return DistEnv(rank, int(env["WORLD_SIZE"]), int(env.get("LOCAL_RANK", rank)), "env://")
        if "SLURM_PROCID" in env and _num_slurm_tasks(env) > 1:
            _slurm_tasks_per_machine(env)
            nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_JOB_NODELIST")
            host = master_addr(nodes or env["SLURM_NODELIST"])
            return DistEnv(
                rank=int(env["SLURM_PROCID"]),
                world_size=_num_slurm_tasks(env),
                local_rank=int(env["SLURM_LOCALID"]),
                init_method=_url(env, host, env.get("SLURM_JOB_ID", "0")),
            )
        if env.get("SUBMITIT_EXECUTOR") == "local" and int(env["SUBMITIT_LOCAL_NTASKS"]) > 1:
            return DistEnv(
                rank=int(env["SUBMITIT_LOCAL_GLOBALID"]),
                world_size=int(env["SUBMITIT_LOCAL_NTASKS"]),
                local_rank=int(env["SUBMITIT_LOCAL_LOCALID"]),
                init_method=_url(env, "localhost", env["SUBMITIT_LOCAL_JOB_ID"]),
            )
    except KeyError as error:
        raise UserError(
            f"environment: {error.args[0]} is not set, but other variables of the launcher are. "
            "Start the job with torchrun or srun, or unset them."
        ) from error
    except ValueError as error:
        raise UserError(f"environment: a launcher variable is not a number: {error}.") from error
    return None


def _num_slurm_tasks(env: Mapping[str, str]) -> int:
    """Count the tasks of a job step; those of the job if this is no step."""
    return int(env.get("SLURM_STEP_NUM_TASKS") or env.get("SLURM_NTASKS", "1"))


def _url(env: Mapping[str, str], host: str, job: str) -> str:
    """Choose the address of rank 0: one port per job, as several jobs may share a host."""
    port = env.get("MASTER_PORT") or str(20_000 + int(job) % 20_000)
    return f"tcp://{env.get('MASTER_ADDR') or host}:{port}"


def _slurm_tasks_per_machine(env: Mapping[str, str]) -> int:
    """Read e.g. SLURM_STEP_TASKS_PER_NODE 8(x2); 0 if it is not there."""
    text = env.get("SLURM_STEP_TASKS_PER_NODE") or env.get("SLURM_TASKS_PER_NODE", "")
    counts = set(re.findall(r"(\d+)(?:\(x\d+\))?", text))
    if len(counts) > 1:
        raise UserError(
            f"environment: SLURM started {text} processes on its machines; expected the same "
            "number on each. Use srun --ntasks-per-node."
        )
    return int(counts.pop()) if counts else 0


def local_world_size(num_shards: int) -> int:
    """Count the processes of this machine.

    Args:
        num_shards: NUM_SHARDS, used if no launcher sets the count.

    Returns:
        LOCAL_WORLD_SIZE (torchrun) or the tasks of a machine (SLURM) if launched by one of them,
        else the world size divided by ``num_shards``; at least 1.
    """
    env = os.environ
    if distributed.is_initialized():
        for name in ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE"):
            if env.get(name, "").isdigit():
                return min(int(env[name]), distributed.world_size())
        if "SLURM_PROCID" in env and _num_slurm_tasks(env) == distributed.world_size():
            tasks = _slurm_tasks_per_machine(env)
            if tasks:
                return tasks
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
