"""Runs of seconds that a campaign kills, and the comparison with one that was left alone.

A run is a fork of the campaign, which has imported everything: a start takes no seconds. Its
processes are those of its session.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from campaigns.common import code_digest
from helpers.synthetic import OVERRIDES

from slowfast.cli.run_net import main as run_net
from slowfast.utils.checkpoint import find_last_checkpoint, read_checkpoint_file
from slowfast.utils.logging import read_stats
from slowfast.utils.stop_signals import STOP_SIGNALS

WORDS = (
    "PROJECTS ['helpers.synthetic'] DATA_LOADER.NUM_WORKERS 1 SOLVER.MAX_EPOCH 6 "
    "SOLVER.BASE_LR 0.01 MODEL.DROPOUT_RATE 0.5 TRAIN.CHECKPOINT_PERIOD_ITERS 2 "
    "TRAIN.CHECKPOINT_PERIOD 1 TRAIN.EVAL_PERIOD 1 REPORT.ENABLE False "
    "REPORT.INSIGHT False TENSORBOARD.ENABLE False"
)
PATIENCE_SEC = 300.0
ORPHAN_SEC = 15.0
_POLL_SEC = 0.002


class Run:
    """A running command, in a session of its own, with its output in a file.

    Args:
        out: OUTPUT_DIR.
        processes: Ranks.
        words: Further overrides.
    """

    def __init__(self, out: Path, processes: int = 1, words: str = "") -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.log = out, out / "printed.txt"
        self.start = self.log.stat().st_size if self.log.exists() else 0
        config = out.parent / "x.yaml"
        config.write_text("TASK: ''\n", encoding="utf-8")
        extra = f"OUTPUT_DIR {out} NUM_CPU_PROCESSES {processes} NUM_THREADS 1 {words}"
        arguments = ["--cfg", str(config), *f"{OVERRIDES} {WORDS} {extra}".split()]
        self.process = multiprocessing.get_context("fork").Process(
            target=_run, args=(arguments, self.log)
        )
        self.process.start()

    @property
    def pid(self) -> int:
        """Process ID of the command; also its session."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def printed(self) -> str:
        """What this start has printed so far."""
        with self.log.open("rb") as file:
            file.seek(self.start)
            return file.read().decode("utf-8", errors="replace")

    def wait_for(self, pattern: str, count: int = 1) -> bool:
        """Wait until a pattern is printed so many times; False if the run ends before."""
        return self._wait(lambda: len(re.findall(pattern, self.printed)) >= count)

    def wait_for_draft(self) -> bool:
        """Wait until a checkpoint is being written; False if the run ends before."""
        return self._wait(lambda: bool(self.drafts()))

    def _wait(self, is_reached: Any) -> bool:
        end = time.monotonic() + PATIENCE_SEC
        while time.monotonic() < end:
            if self.log.exists() and is_reached():
                return True
            if not self.process.is_alive():
                return False
            time.sleep(_POLL_SEC)
        raise TimeoutError(f"{self.out}: {self.printed[-2000:]}")

    def drafts(self) -> list[Path]:
        """Temporary files of checkpoints."""
        return list((self.out / "checkpoints").glob(".*.tmp"))

    def ranks(self) -> list[int]:
        """Process IDs of spawned ranks."""
        found = [pid for pid in session(self.pid) if b"spawn_main" in _read(pid, "cmdline")]
        return [pid for pid in found if _parent(pid) == self.pid]

    def end(self) -> int:
        """Wait for the end; returns the exit status, of a signal -N."""
        self.process.join(PATIENCE_SEC)
        if self.process.exitcode is None:
            for pid in session(self.pid):
                os.kill(pid, signal.SIGKILL)
            raise TimeoutError(f"{self.out} hangs: {self.printed[-2000:]}")
        return self.process.exitcode

    def orphans(self) -> list[str]:
        """Processes that outlive the command, after a moment; they are killed."""
        end = time.monotonic() + ORPHAN_SEC
        while (pids := session(self.pid)) and time.monotonic() < end:
            time.sleep(0.05)
        names = [_read(pid, "cmdline").replace(b"\0", b" ").decode()[:80] for pid in pids]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return names


def _run(arguments: list[str], log: Path) -> None:
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run_net(arguments))


def session(number: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            fields = _read(int(folder.name), "stat").rpartition(b") ")[2].split()
            if len(fields) > 3 and int(fields[3]) == number and fields[0] not in (b"Z", b"X"):
                found.append(int(folder.name))
    return found


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b") ")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


class Reference:
    """Runs that nobody disturbs, one for each number of ranks, made when first needed.

    Args:
        folder: Folder of the campaign.
        seed: Seed of the campaign.
        words: Overrides of all its runs.
    """

    def __init__(self, folder: Path, seed: int, words: str = "") -> None:
        self.folder, self.seed, self.words = folder, seed, words
        importlib.import_module("matplotlib.figure")  # before the forks

    def run(self, name: str, processes: int = 1) -> Run:
        """Start a run of its own folder."""
        return Run(self.folder / name, processes, self.words)

    def clear(self, name: str) -> None:
        """Remove the folder of a run."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def differences(self, out: Path, processes: int) -> list[str]:
        """Compare a finished run with the one that was left alone."""
        expected = self.folder / f"reference-{processes}-{code_digest()[:8]}"
        if not (expected / "results.json").exists():
            self.clear(expected.name)
            status = self.run(expected.name, processes).end()
            assert status == 0, (expected / "printed.txt").read_text(encoding="utf-8")[-3000:]
        found = differing_losses(out, expected)
        if results(out) != results(expected):
            found.append("results.json differs")
        states = [read_checkpoint_file(find_last_checkpoint(path)) for path in (out, expected)]
        for key in ("epoch", "model_state", "optimizer_state", "scaler_state", "rng_states"):
            if not _equal(states[0][key], states[1][key]):
                found.append(f"{key} differs")
        found += [f"{path.name} is left" for path in (out / "checkpoints").glob(".*.tmp")]
        return found


def results(out: Path) -> Any:
    """Results of the test, without the hash of the machine's paths."""
    content = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return {name: value for name, value in content.items() if isinstance(value, dict)}


def differing_losses(out: Path, expected: Path) -> list[str]:
    """Compare all losses and validations that were logged, also those logged twice."""
    found = []
    for kind in ("train_iter", "val_epoch"):
        of_runs = [[s for s in read_stats(path) if s["_type"] == kind] for path in (out, expected)]
        known = {stats["step"]: _values(stats) for stats in of_runs[1]}
        missing = set(known) - {stats["step"] for stats in of_runs[0]}
        wrong = [s["step"] for s in of_runs[0] if _values(s) != known.get(s["step"])]
        found += [f"{kind}: steps {sorted(missing)} are missing"] if missing else []
        found += [f"{kind}: steps {wrong} differ"] if wrong else []
    return found


def _values(stats: dict[str, Any]) -> dict[str, Any]:
    of_machine = ("dt", "eta", "RAM", "gpu", "share", "iter_")
    return {k: v for k, v in stats.items() if not k.startswith(of_machine)}


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
