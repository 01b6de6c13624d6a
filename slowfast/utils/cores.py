"""How many CPU cores this process may use, and how they are shared."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["AUTO", "cores_per_process", "num_threads", "num_workers", "usable_cores"]

AUTO = -1
"""Value of DATA_LOADER.NUM_WORKERS that chooses by the number of cores."""

_MOST_WORKERS = {"cuda": 16, "cpu": 8}
"""More data workers of a process mostly cost memory."""

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(cgroups: Path = _CGROUPS) -> int:
    """Return the number of cores that this process may use.

    Args:
        cgroups: Where the limits of a container are mounted.

    Returns:
        The cores of its affinity mask (as SLURM and ``taskset`` set it), or the CPU quota of its
        container if that is less; at least 1.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, int(min(cores, _quota(cgroups))))


def cores_per_process(processes: int) -> int:
    """Return the share of a training process in the cores of its machine, at least 1.

    Args:
        processes: Training processes of this machine.
    """
    return max(1, usable_cores() // max(1, processes))


def num_threads(setting: int, processes: int, default: int) -> int:
    """Turn NUM_THREADS into a number of torch threads: processes of a machine share its cores.

    Args:
        setting: NUM_THREADS; 0: choose.
        processes: Training processes of this machine.
        default: Torch's own choice.

    Returns:
        The number of threads of a process.
    """
    if setting:
        return setting
    return min(cores_per_process(processes), default) if processes > 1 else default


def num_workers(setting: int, *, processes: int, on_gpu: bool, cores: int | None = None) -> int:
    """Turn DATA_LOADER.NUM_WORKERS into a number of data workers.

    Args:
        setting: A number, or ``AUTO``.
        processes: Training processes of this machine.
        on_gpu: Whether the model is on a GPU.
        cores: Cores of the machine; None: those that this process may use.

    Returns:
        ``setting``. For ``AUTO``, on a GPU all cores of the process but one, which feeds the GPU;
        on the CPU half of them, as the model computes on the same cores. At least 1: a file that
        hangs its decoder is noticed only in a worker.
    """
    if setting != AUTO:
        return setting
    share = cores_per_process(processes) if cores is None else max(1, cores // max(1, processes))
    wanted = share - 1 if on_gpu else share // 2
    return max(1, min(wanted, _MOST_WORKERS["cuda" if on_gpu else "cpu"]))


def _quota(cgroups: Path) -> float:
    """Return the CPU quota of this container in cores; infinite without one."""
    try:  # version 2: "max 100000" or "400000 100000"
        quota, period = (cgroups / "cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        try:
            quota, period = (
                (cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="utf-8").strip()
                for name in ("quota", "period")
            )
        except OSError:
            return math.inf
    try:
        return int(quota) / int(period) if int(quota) > 0 and int(period) > 0 else math.inf
    except ValueError:  # "max"
        return math.inf
