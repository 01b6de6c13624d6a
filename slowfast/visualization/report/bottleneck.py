"""Where the time of an iteration goes, and which key to change."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from slowfast.utils.cores import num_workers
from slowfast.visualization.pages.render import format_duration, format_percent

__all__ = ["Bottleneck", "Timing", "explain", "measure"]

_LIMITING = 0.3
"""Part of the time from which on something limits a run."""
_NEGLIGIBLE = 0.1
_WARM_UP = 1
"""Records at the start that are left out: workers start, kernels are chosen."""


class Timing(NamedTuple):
    """Where the time of a training goes.

    Attributes:
        iteration: Median time of an iteration, in seconds.
        wait: Part of the wall-clock time that is spent waiting for the data loader, 0 to 1.
        copy: Part that copies batches to the device and preprocesses them; None for logs that do
            not have it.
        samples_per_sec: Samples per second of the training process, over all of its machines; None
            if the batch size changes.
    """

    iteration: float
    wait: float
    copy: float | None
    samples_per_sec: float | None

    @property
    def compute(self) -> float:
        """Part for the forward and the backward pass, the optimizer and the rest."""
        return max(0.0, 1 - self.wait - (self.copy or 0.0))


class Bottleneck(NamedTuple):
    """What limits the throughput.

    Attributes:
        kind: "loader", "copy", "compute" or "none".
        sentence: One or two sentences: what, the measured share, the key to change.
        changes: Dotted key -> value, of the changes in the sentence that have one.
    """

    kind: str
    sentence: str
    changes: dict[str, Any]


class _Cure(NamedTuple):
    """What to change, in words and as keys and values."""

    text: str
    changes: dict[str, Any]


def measure(stats: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> Timing | None:
    """Summarize the timings of a training.

    Args:
        stats: Its ``train_iter`` records. ``share_wait`` and ``share_copy`` are parts of the
            wall-clock time; older logs have only the medians ``dt`` and ``dt_data``, of which
            ``dt_data`` also holds the copy.
        config: Dotted key -> value.

    Returns:
        The timing; None without records.
    """
    timed = [s for s in stats if s.get("dt")]
    timed = timed[_WARM_UP:] if len(timed) > 2 * _WARM_UP else timed
    if not timed:
        return None
    total = sum(s["dt"] for s in timed)
    has_shares = all("share_wait" in s and "share_copy" in s for s in timed)

    def part(name: str) -> float:
        return float(sum(s["dt"] * s[name] for s in timed) / total)

    iteration = statistics.median(s["dt"] for s in timed)
    varies = config.get("MULTIGRID.LONG_CYCLE") or config.get("MULTIGRID.SHORT_CYCLE")
    samples = config.get("TRAIN.BATCH_SIZE", 0) * config.get("NUM_SHARDS", 1)
    samples *= config.get("SOLVER.ACCUMULATE_STEPS", 1)
    return Timing(
        iteration,
        part("share_wait") if has_shares else sum(s["dt_data"] for s in timed) / total,
        part("share_copy") if has_shares else None,
        None if varies or not samples else samples / iteration,
    )


def explain(
    timing: Timing,
    config: Mapping[str, Any],
    *,
    on_gpu: bool,
    cores: int | None,
    processes: int,
    needed_workers: int | None = None,
) -> Bottleneck:
    """Name the bottleneck and the key to change.

    Args:
        timing: The measured timing.
        config: Dotted key -> value.
        on_gpu: Whether the model was on a GPU.
        cores: CPU cores of the machine that the run may use; None: unknown.
        processes: Training processes of a machine.
        needed_workers: Data workers of a process that would load as fast as the model computes;
            None: not measured.

    Returns:
        What limits the run.
    """
    wait = f"{format_percent(timing.wait, 0)} of the time is spent waiting for data"
    if timing.wait >= _LIMITING:
        cure = _cure_loader(config, cores, max(1, processes), on_gpu, needed_workers)
        text = f"The data loader is the bottleneck: {wait}. {cure.text}"
        return Bottleneck("loader", text, cure.changes)
    if timing.copy is not None and timing.copy >= _LIMITING:
        share = format_percent(timing.copy, 0)
        what = f"The copy to the device and the preprocessing there take {share} of the time"
        cure = _cure_copy(config, on_gpu)
        return Bottleneck("copy", f"{what}. {cure.text}", cure.changes)
    cure = _cure_compute(config, on_gpu)
    if timing.wait < _NEGLIGIBLE:
        share = format_percent(timing.compute, 0)
        what = f"The model is the bottleneck: {share} of the time ({_each(timing)}) is computation"
        return Bottleneck("compute", f"{what}, and {wait}. {cure.text}", cure.changes)
    saved = format_percent(timing.wait, 0)
    what = f"Nothing limits the run alone: {wait}, the rest is computation ({_each(timing)})"
    what = f"{what}. A faster loader can save at most {saved}"
    return Bottleneck("none", f"{what}. {cure.text}", cure.changes)


def _each(timing: Timing) -> str:
    return f"{format_duration(timing.iteration * timing.compute)} of each iteration"


def _cure_loader(
    config: Mapping[str, Any],
    cores: int | None,
    processes: int,
    on_gpu: bool,
    needed: int | None,
) -> _Cure:
    key, share = "DATA_LOADER.NUM_WORKERS", max(1, (cores or 1) // processes)
    setting = config.get(key, 0)
    workers = num_workers(setting, processes=processes, on_gpu=on_gpu, cores=cores or 1)
    best = share if cores else 4
    best = best if needed is None else min(best, max(1, needed))
    if workers == 0:
        text = f"Set {key} to {best}; it is 0, so the training process decodes the videos itself."
        return _Cure(text, {key: best})
    if cores and workers < best:
        text = (
            f"Raise {key} from {workers} to {best}: the machine has {cores} cores for {processes} "
            f"training process{'es' if processes > 1 else ''}."
        )
        return _Cure(text, {key: best})
    size, least = config.get("DATA.DECODING_SHORT_SIZE", 0), _needed_size(config)
    if size == 0 or size > 1.25 * least:
        now = "decodes frames at full size" if size == 0 else f"is {size}"
        text = f"Set DATA.DECODING_SHORT_SIZE to {least}, what the crops need; it {now}."
        return _Cure(text, {"DATA.DECODING_SHORT_SIZE": least})
    prepare = "Re-encode the videos once in a small size: slowfast prepare"
    if not config.get("DATA_LOADER.CACHE_DECODED"):
        text = f"{prepare}. For a small dataset, set DATA_LOADER.CACHE_DECODED True."
        return _Cure(text, {"DATA_LOADER.CACHE_DECODED": True})
    return _Cure(f"{prepare}, or use more CPU cores ({key} is {workers}).", {})


def _needed_size(config: Mapping[str, Any]) -> int:
    """Return the short side that the crops need, in pixels."""
    jitter = config.get("DATA.TRAIN_JITTER_SCALES") or [0]
    return int(max(*jitter, config.get("DATA.TRAIN_CROP_SIZE", 0), 16))


def _cure_copy(config: Mapping[str, Any], on_gpu: bool) -> _Cure:
    if on_gpu and not config.get("DATA_LOADER.PIN_MEMORY", True):
        return _Cure("Set DATA_LOADER.PIN_MEMORY True.", {"DATA_LOADER.PIN_MEMORY": True})
    crop, frames = config.get("DATA.TRAIN_CROP_SIZE"), config.get("DATA.NUM_FRAMES")
    return _Cure(f"Lower DATA.TRAIN_CROP_SIZE ({crop}) or DATA.NUM_FRAMES ({frames}).", {})


def _cure_compute(config: Mapping[str, Any], on_gpu: bool) -> _Cure:
    smaller = (
        f"lower DATA.TRAIN_CROP_SIZE ({config.get('DATA.TRAIN_CROP_SIZE')}) or DATA.NUM_FRAMES "
        f"({config.get('DATA.NUM_FRAMES')})"
    )
    if config.get("SOLVER.GRAD_CACHE_CHUNK"):
        text = (
            f"SOLVER.GRAD_CACHE_CHUNK {config['SOLVER.GRAD_CACHE_CHUNK']} embeds each clip twice; "
            "set it to 0 if the batch fits into memory."
        )
        return _Cure(text, {"SOLVER.GRAD_CACHE_CHUNK": 0})
    if config.get("MODEL.ACT_CHECKPOINT"):
        text = "MODEL.ACT_CHECKPOINT computes activations twice; set it False if memory is left."
        return _Cure(text, {"MODEL.ACT_CHECKPOINT": False})
    if not on_gpu:
        start = "It runs on the CPU: set NUM_GPUS to use a GPU. Without one,"
        if config.get("TRAIN.MIXED_PRECISION"):
            return _Cure(f"{start} {smaller}.", {})
        text = f"{start} try TRAIN.MIXED_PRECISION auto, or {smaller}."
        return _Cure(text, {"TRAIN.MIXED_PRECISION": "auto"})
    if not config.get("TRAIN.MIXED_PRECISION"):
        return _Cure("Set TRAIN.MIXED_PRECISION True.", {"TRAIN.MIXED_PRECISION": True})
    if not config.get("MODEL.CHANNELS_LAST"):
        return _Cure("Try MODEL.CHANNELS_LAST True.", {"MODEL.CHANNELS_LAST": True})
    size = config.get("TRAIN.BATCH_SIZE")
    text = f"If memory is left, raise TRAIN.BATCH_SIZE ({size}); use more GPUs, or {smaller}."
    return _Cure(text, {})
