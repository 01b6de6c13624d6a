"""Meters: running statistics of a loop, and the record of one interval."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from slowfast.pyslowfast_names import names_of

__all__ = ["IterationTimer", "LossMeter", "cpu_mem_usage", "gpu_mem_usage", "memory", "peak_memory"]


class LossMeter:
    """Tracks losses over a window of iterations and over an epoch.

    Args:
        window: Number of iterations that the median covers.
    """

    def __init__(self, window: int) -> None:
        self._window: dict[str, deque[float]] = {}
        self._sum: dict[str, float] = {}
        self._count: dict[str, int] = {}
        self._size = window

    def update(self, losses: dict[str, float]) -> None:
        """Add the losses of one iteration; values that are not finite are ignored.

        A step that loss scaling skips has a gradient norm of inf, which would hide all others.
        """
        for name, value in losses.items():
            if not math.isfinite(value):
                continue
            self._window.setdefault(name, deque(maxlen=self._size)).append(value)
            self._sum[name] = self._sum.get(name, 0.0) + value
            self._count[name] = self._count.get(name, 0) + 1

    def median(self) -> dict[str, float]:
        """Return the median of each loss over the window."""
        return {name: statistics.median(values) for name, values in self._window.items()}

    def mean(self) -> dict[str, float]:
        """Return the mean of each loss since the last reset."""
        return {name: total / self._count[name] for name, total in self._sum.items()}

    def reset(self) -> None:
        """Clear all values."""
        self._window.clear()
        self._sum.clear()
        self._count.clear()


class IterationTimer:
    """Measures the time per iteration, split into data loading and the rest, in seconds.

    Args:
        window: Number of iterations that the medians cover.
    """

    def __init__(self, window: int) -> None:
        self._parts: dict[str, float] = {}
        self._first_start: float | None = None
        self._data: deque[float] = deque(maxlen=window)
        self._total: deque[float] = deque(maxlen=window)
        self._start = self._data_end = time.perf_counter()

    def start(self) -> None:
        """Start an iteration, before its batch is loaded."""
        self._start = time.perf_counter()
        if self._first_start is None:
            self._first_start = self._start

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part of an iteration; parts of the same name are added.

        Args:
            name: Name of the part, such as "wait".

        Yields:
            Nothing.
        """
        began = time.perf_counter()
        yield
        self._parts[name] = self._parts.get(name, 0.0) + time.perf_counter() - began

    def data_ready(self) -> None:
        """Mark the end of data loading."""
        self._data_end = time.perf_counter()

    def stop(self) -> None:
        """End the iteration."""
        self._data.append(self._data_end - self._start)
        self._total.append(time.perf_counter() - self._start)

    def record(self) -> dict[str, float]:
        """Return what was measured.

        Returns:
            Medians: ``dt`` (full iteration), ``dt_data``, ``dt_net``. For each part
            ``share_NAME``, its share of the wall-clock time since the last record, 0 to 1: a
            median hides that one batch of several is waited for.
        """
        total, data = statistics.median(self._total), statistics.median(self._data)
        wall = time.perf_counter() - (self._first_start or self._start)
        shares = {f"share_{name}": min(1.0, took / wall) for name, took in self._parts.items()}
        self._parts, self._first_start = dict.fromkeys(self._parts, 0.0), None
        return {"dt": total, "dt_data": data, "dt_net": max(0.0, total - data), **shares}


def gpu_mem_usage() -> float:
    """Return the peak memory of the current GPU in GiB; 0 without a GPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0


def cpu_mem_usage() -> tuple[float, float]:
    """Return the used and the total memory of the machine in GiB; NaN where it is not known."""
    table = Path("/proc/meminfo")
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    sizes = {
        name: float(rest.split()[0]) / 2**20 for name, _, rest in (x.partition(":") for x in lines)
    }
    total = sizes.get("MemTotal", math.nan)
    return total - sizes.get("MemAvailable", math.nan), total


def memory(device: torch.device) -> dict[str, str]:
    """Return the memory in use as PySlowFast logs it.

    Args:
        device: Device of the model.

    Returns:
        ``gpu_mem``, the peak of the GPU ("1.23G"; 0 on the CPU), ``RAM`` of the machine, used and
        total ("3.20/62.74G"), and ``RAM_peak`` of this process without its data workers ("0.87G").
    """
    peak = gpu_mem_usage() if device.type == "cuda" else 0.0
    used, total = cpu_mem_usage()
    return {
        "gpu_mem": f"{peak:.2f}G",
        "RAM": f"{used:.2f}/{total:.2f}G",
        "RAM_peak": f"{peak_memory():.2f}G",
    }


def peak_memory() -> float:
    """Return the peak resident memory of this process in GiB; NaN where it is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
