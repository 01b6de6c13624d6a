"""Time and memory of steps, side by side."""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from crop_cost.cases import NO_CROPS, Setting, Step, Way

__all__ = ["MEMORY_METHOD", "compare", "time_ms"]

MEMORY_METHOD = {
    "cpu": "growth of the peak resident memory of a fresh process over the state before its first "
    "step (resource.getrusage), blocks of 64 KiB and more being given back when freed",
    "cuda": "torch.cuda.max_memory_allocated of a step less torch.cuda.memory_allocated before it",
}
MIB = 2**20
# What takes long to import, once for all processes; the server finds only what is installed.
PRELOAD = ["slowfast.engine.registrations", "stica", "matplotlib.figure"]
# For glibc. Otherwise what is freed partly stays, more or less at random: 780 MiB and 700 were seen
# where 557 and 558 are in use.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(64 * 1024)}
CHEAP = 1.4  # extra passes of the backbone; a CPU times what takes more once: it is far from 1


def compare(step: Step, ways: Sequence[Way], repeats: int) -> list[dict[str, Any]]:
    """Measure all ways, and the step without crops.

    Args:
        step: The step to time; on the CPU its memory is that of other, fresh processes.
        ways: Without ``NO_CROPS``.
        repeats: Rounds of timing.

    Returns:
        One row per way, ``NO_CROPS`` first. Ratios are to the step without crops, in time the
        median over rounds of the ratio to the mean of the two such steps of the round.
    """
    memory = _memory(step, [NO_CROPS, *ways])
    times = _times(step, ways, repeats)
    base = [statistics.mean(pair) for pair in zip(*[iter(times[NO_CROPS])] * 2, strict=True)]
    rows = []
    for way in (NO_CROPS, *ways):
        own = base if way == NO_CROPS else times[way]  # of the first rounds, or of all
        ratios = [a / b for a, b in zip(own, base, strict=False)]
        rows.append(
            way._asdict()
            | {
                "measured": len(times[way]),
                "ms_median": round(statistics.median(times[way]), 1),
                "time_ratio": round(statistics.median(ratios), 3),
                "time_ratio_min": round(min(ratios), 3),
                "time_ratio_max": round(max(ratios), 3),
                "memory_mib": round(memory[way] / MIB, 1),
                "memory_ratio": round(memory[way] / memory[NO_CROPS], 3),
            }
        )
    return rows


def time_ms(call: Callable[[], object], device: torch.device) -> float:
    """Return the wall time of a call in milliseconds, the device's work included."""
    _synchronize(device)
    start = time.perf_counter()
    call()
    _synchronize(device)
    return 1000 * (time.perf_counter() - start)


def _times(step: Step, ways: Sequence[Way], repeats: int) -> dict[Way, list[float]]:
    """Time the ways in turn, every other round backwards, between two steps without crops."""
    for way in (NO_CROPS, ways[0]):  # warm up
        step.use(way)
        step()
    times: dict[Way, list[float]] = {way: [] for way in (NO_CROPS, *ways)}
    for number in range(repeats):
        again = number > 0 and step.device.type == "cpu"
        chosen = [w for w in ways if not again or w.extra_passes(step.setting.side) <= CHEAP]
        order = chosen if number % 2 == 0 else chosen[::-1]
        for way in (NO_CROPS, *order, NO_CROPS):
            step.use(way)
            times[way].append(time_ms(step, step.device))
    return times


def _memory(step: Step, ways: Sequence[Way]) -> dict[Way, int]:
    """Measure the bytes that a step of each way adds."""
    if step.device.type == "cuda":
        return {way: _cuda_bytes(step, way) for way in ways}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    os.environ.update(GIVE_BACK)  # read when a process starts, so not by this one
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        return {way: pool.submit(_cpu_bytes, step.setting, way).result() for way in ways}


def _cuda_bytes(step: Step, way: Way) -> int:
    step.use(way)
    step()  # the libraries' own buffers are there from now on
    step.use(way)
    torch.cuda.reset_peak_memory_stats(step.device)
    before = torch.cuda.memory_allocated(step.device)
    step()
    return torch.cuda.max_memory_allocated(step.device) - before


def _cpu_bytes(setting: Setting, way: Way) -> int:
    """Take one step; runs in a process of its own, since a peak cannot be taken back."""
    step = Step(setting)
    step.use(way)
    before = _resident_bytes()
    step()
    return _peak_bytes() - before


def _resident_bytes() -> int:
    """Return what is resident now; where the system does not tell, the peak so far."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return _peak_bytes()
    return int(statm.read_text(encoding="utf-8").split()[1]) * resource.getpagesize()


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
