"""Thousands of steps with decoding workers: memory, descriptors and threads stay as they are.

    python tests/campaigns/soak.py [--full | --count N] [--seed S]

A trial is a thousand steps of training on real files, and of validations and checkpoints in
between, in the same process as the trials before it. Also measured: how long training waits for a
checkpoint of 250 MB (the copy), and how long writing it takes meanwhile.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import shutil
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from campaigns.common import Campaign, Trial, run_campaign
from helpers.media_files import Audio, Video, write_media
from helpers.synthetic import OVERRIDES

from slowfast.cli.train_job import run_training
from slowfast.config import load_config
from slowfast.engine.checkpointer import Checkpointer, CheckpointPolicy
from slowfast.engine.recorder import Recorder
from slowfast.utils.checkpoint import checkpoint_path
from slowfast.utils.random import seed_everything

VIDEOS, CLASSES, BATCH = 24, 3, 2
WORDS = (
    "TRAIN.DATASET kinetics TEST.DATASET kinetics TRAIN.BATCH_SIZE 2 DATA_LOADER.NUM_WORKERS 2 "
    "DATA.DECODING_SHORT_SIZE 16 DATA.TRAIN_JITTER_SCALES [16,16] DATA.SAMPLING_RATE 2 "
    "RESNET.WIDTH_PER_GROUP 2 TRAIN.CHECKPOINT_PERIOD 5 TRAIN.CHECKPOINT_PERIOD_ITERS 100 "
    "TRAIN.EVAL_PERIOD 10 SOLVER.MAX_EPOCH 100000 SOLVER.BASE_LR 0.001 LOG_PERIOD 10 "
    "TEST.NUM_ENSEMBLE_VIEWS 1 TENSORBOARD.ENABLE True REPORT.ENABLE False NUM_THREADS 1"
)
STEPS, EVERY = 1000, 10
MORE = {"mb": 12.0, "descriptors": 4, "threads": 0}
"""What may be more at the end of a trial than at its beginning, and than in the first trial. Each
batch that waits in a queue has descriptors."""
SAVED_MB, SAVES = 250, 3


@dataclass
class Soak:
    """A folder with videos, and the sizes of the process at the end of each trial so far."""

    folder: Path
    seed: int
    steps: int = STEPS
    ends: list[dict[str, float]] = field(default_factory=list)


def prepare(folder: Path, seed: int, steps: int = STEPS) -> Soak:
    data = folder / "videos"
    rows = []
    for number in range(VIDEOS):
        path = data / f"{number}.mp4"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_media(path, Video(), Audio())
        rows.append(f"{path} {number % CLASSES}\n")
    for split, part in (("train", rows), ("val", rows[:6]), ("test", rows[:6])):
        (data / f"{split}.csv").write_text("".join(part), encoding="utf-8")
    logging.getLogger("slowfast").setLevel(logging.WARNING)
    shutil.rmtree(folder / "first", ignore_errors=True)
    run(Soak(folder, seed), folder / "first", VIDEOS)  # what is imported and cached once
    return Soak(folder, seed, steps)


def sizes() -> dict[str, float]:
    """Memory (MB, of this process and what workers have of their own), descriptors, threads.

    Not the proportional share: it grows when other users of the same libraries end.
    """
    total = _memory_mb(os.getpid(), "Anonymous")
    for child in multiprocessing.active_children():
        assert child.pid is not None
        total += _memory_mb(child.pid, "Private_Dirty")
    counts = {name: len(list(Path(f"/proc/self/{name}").iterdir())) for name in ("fd", "task")}
    return {"mb": total, "descriptors": counts["fd"], "threads": counts["task"]}


def _memory_mb(pid: int, kind: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{kind}:"))


def typical(samples: list[dict[str, float]]) -> dict[str, float]:
    """The median of the memory, the least of what each batch and checkpoint that waits adds to."""
    values = {name: [sample[name] for sample in samples] for name in samples[0]}
    return {
        name: statistics.median(of_name) if name == "mb" else min(of_name)
        for name, of_name in values.items()
    }


def run(soak: Soak, out: Path, until: int) -> list[dict[str, float]]:
    """Train up to so many steps; returns the sizes every EVERY steps."""
    samples = list[dict[str, float]]()
    steps_per_epoch = VIDEOS // BATCH
    words = f"{OVERRIDES} {WORDS} RNG_SEED {soak.seed} OUTPUT_DIR {out}".split()
    words += ["DATA.PATH_TO_DATA_DIR", str(soak.folder / "videos")]
    words += ["TRAIN.MAX_STEPS", str(until)]
    out.mkdir(parents=True, exist_ok=True)
    cfg = load_config(None, words).cfg
    end_iteration = Recorder.end_iteration

    def measured(self: Recorder, epoch: int, iteration: int, *rest: Any) -> None:
        end_iteration(self, epoch, iteration, *rest)
        if (epoch * steps_per_epoch + iteration) % EVERY == 0:
            samples.append(sizes())

    seed_everything(soak.seed)
    Recorder.end_iteration = measured  # type: ignore[method-assign]
    try:
        run_training(cfg, torch.device("cpu"))
    finally:
        Recorder.end_iteration = end_iteration  # type: ignore[method-assign]
    gc.collect()
    return samples


def trial(soak: Soak, number: int) -> Trial:
    start = time.monotonic()
    samples = run(soak, soak.folder / "out", soak.steps * (number + 1))
    seconds = time.monotonic() - start
    quarter = max(1, len(samples) // 4)
    begin, last = typical(samples[: quarter + 1]), typical(samples[-quarter:])
    soak.ends.append(last)
    problems = []
    for name, before in (("in this trial", begin), ("since the first trial", soak.ends[0])):
        more = {key: last[key] - before[key] for key in last}
        if any(more[key] > limit for key, limit in MORE.items()):
            problems.append(f"{name} grew: {more}")
    facts = {name: round(value, 1) for name, value in last.items()}
    facts |= {"from_mb": round(begin["mb"], 1), "step_ms": round(1000 * seconds / soak.steps, 1)}
    facts |= measure_saves(soak.folder / "saves") if number == 0 else {}
    return Trial(
        inputs=soak.steps, silent=int(bool(problems)), why="; ".join(problems), facts=facts
    )


def measure_saves(folder: Path) -> dict[str, float]:
    """Time that training waits for a large checkpoint, and that writing it takes, in ms."""
    content = {f"weight {n}": torch.randn(250_000) for n in range(SAVED_MB)}
    waits, writes = [], []
    for number in range(SAVES):
        saver = Checkpointer(folder, "", CheckpointPolicy(keep_last=1))
        start = time.perf_counter()
        saver.write(checkpoint_path(folder, number + 1), content)
        waits.append(time.perf_counter() - start)
        saver.finish()
        writes.append(time.perf_counter() - start - waits[-1])
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    return {
        "save_wait_ms": round(1000 * statistics.median(waits)),
        "save_write_ms": round(1000 * statistics.median(writes)),
    }


def conclude(facts: list[dict[str, Any]]) -> str:
    """Sizes of all trials, and the times of a checkpoint."""
    ends = ", ".join(f"{row['mb']:g}" for row in facts)
    sizes = {(row["descriptors"], row["threads"]) for row in facts}
    counts = " or ".join(
        f"{files} descriptors and {threads} threads" for files, threads in sorted(sizes)
    )
    saves = [row for row in facts if "save_wait_ms" in row]
    times = "".join(
        f"; at a checkpoint of {SAVED_MB} MB training waits {row['save_wait_ms']:g} ms, writing it "
        f"takes {row['save_write_ms']:g} ms more"
        for row in saves
    )
    return f"memory with two workers after each {STEPS} steps: {ends} MB; {counts}{times}"


CAMPAIGN = Campaign(
    "soak",
    "5,000 steps with two decoding workers, a checkpoint every 100 and a validation every 120: "
    "memory, descriptors and threads stay as they are",
    sample=5,
    full=5,
    prepare=prepare,
    trial=trial,
    load="training on 24 files with audio; 250 MB in the measured checkpoint",
    conclude=conclude,
)

if __name__ == "__main__":
    sys.exit(run_campaign(CAMPAIGN, sys.argv[1:]))
