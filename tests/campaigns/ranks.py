"""One rank dies, stops, hangs, diverges or differs: the job must end with a message that names it.

    python tests/campaigns/ranks.py [--full | --count N] [--minutes M] [--seed S]

A trial is a job of two machines of one rank each, on loopback, with one fault on one of the two.
All processes must end within DIST.TIMEOUT_SEC of the fault; the same command without the fault then
resumes and must equal a job without any, bit for bit.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from campaigns.common import Campaign, Trial, run_campaign
from helpers.synthetic import OVERRIDES

from slowfast.cli.run_net import main as run_net
from slowfast.utils.checkpoint import find_last_checkpoint, read_checkpoint_file

TIMEOUT_SEC = 20.0
_SLOW_SEC = 10.0  # of a busy machine
PATIENCE_SEC = 240.0
WORDS = (
    "PROJECTS ['helpers.faulty'] TRAIN.DATASET faulty NUM_SHARDS 2 SOLVER.MAX_EPOCH 3 "
    "SOLVER.BASE_LR 0.01 TRAIN.CHECKPOINT_PERIOD_ITERS 2 TRAIN.CHECKPOINT_PERIOD 1 "
    "TRAIN.EVAL_PERIOD 0 TEST.ENABLE False REPORT.ENABLE False REPORT.INSIGHT False "
    f"NUM_THREADS 1 DIST.TIMEOUT_SEC {TIMEOUT_SEC}"
)
# Kind of fault -> environment and overrides of the rank with the fault, and what is printed.
RUNNING = ("dead", "stopped", "stuck", "diverged", "error")
STARTING: dict[str, tuple[dict[str, str], str, str]] = {
    "learning rate": ({}, "SOLVER.BASE_LR 0.02", "SOLVER.BASE_LR: "),
    "seed": ({}, "RNG_SEED 7", "RNG_SEED: "),
    "epochs": ({}, "SOLVER.MAX_EPOCH 5", "SOLVER.MAX_EPOCH: "),
    "data": ({"FAULT_ROWS": "2"}, "", "train split, files: "),
    "machines": ({}, "NUM_SHARDS 3", "the number of processes is "),
    "missing": ({}, "", " of 2 did not come within "),
    "port in use": ({}, "", " is in use. Choose another one"),
}
KINDS = (*RUNNING, *STARTING)


class Machine:
    """A process that a user started by hand on one of the machines.

    Args:
        rank: SHARD_ID.
        out: OUTPUT_DIR.
        port: Of rank 0.
        words: Further overrides.
        environment: Further variables.
    """

    def __init__(
        self, rank: int, out: Path, port: int, words: str = "", environment: Any = None
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        config = out.parent / "x.yaml"
        config.write_text("TASK: ''\n", encoding="utf-8")
        self.log = out / f"printed_{rank}_{time.monotonic_ns()}.txt"
        self.log.touch()
        place = ["--shard_id", str(rank), "--init_method", f"tcp://localhost:{port}"]
        overrides = f"{OVERRIDES} {WORDS} OUTPUT_DIR {out} {words}".split()
        self.process = multiprocessing.get_context("fork").Process(
            target=_run,
            args=(["--cfg", str(config), *place, *overrides], self.log, environment or {}),
        )
        self.process.start()

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def send(self, number: int) -> None:
        """Send a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def end(self, patience_sec: float = PATIENCE_SEC) -> tuple[int | None, float]:
        """Wait for the end; returns the status, None if it hangs, and the seconds."""
        start = time.monotonic()
        self.process.join(patience_sec)
        status = self.process.exitcode
        if status is None:
            self.send(signal.SIGKILL)
            self.process.join()
        return status, time.monotonic() - start


def _run(words: list[str], log: Path, environment: dict[str, str]) -> None:
    """Be the command, with its output in a file."""
    os.setsid()
    os.environ.update(environment)
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    sys.exit(run_net(words))


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def finish(out: Path) -> str:
    """Run both machines to the end; returns a problem, "" if there is none."""
    port = free_port()
    machines = [Machine(rank, out, port) for rank in range(2)]
    for rank, machine in enumerate(machines):
        status, _ = machine.end()
        if status != 0:
            return f"rank {rank} ends with {status}: {machine.printed[-800:]}"
    return ""


def prepare(folder: Path, seed: int) -> Path:
    """Run a job without faults."""
    importlib.import_module("slowfast.cli.runner")  # before the forks
    reference = folder / "reference"
    if not reference.exists():
        problem = finish(reference)
        if problem:
            shutil.rmtree(reference)
            raise RuntimeError(problem)
    return folder


def differs(out: Path, reference: Path) -> bool:
    """Return whether a finished job has other weights than the reference."""
    paths = [find_last_checkpoint(folder) for folder in (out, reference)]
    assert None not in paths
    found = [read_checkpoint_file(path)["model_state"] for path in paths if path]
    return any(not torch.equal(found[0][key], found[1][key]) for key in found[1])


def wait_for_training(machine: Machine) -> None:
    """Wait until rank 0 has logged an iteration."""
    end = time.monotonic() + PATIENCE_SEC
    while "iter 1/" not in machine.printed and " iter " not in machine.printed:
        if time.monotonic() > end or not machine.process.is_alive():
            raise RuntimeError(f"it does not train: {machine.printed[-800:]}")
        time.sleep(0.01)


def break_while_running(kind: str, victim: int, out: Path) -> list[str]:
    """Inject a fault into a job that trains; returns problems."""
    port = free_port()
    injected = {"FAULT_KIND": kind, "FAULT_RANK": str(victim)}
    is_outside = kind in ("dead", "stopped")
    machines = [Machine(rank, out, port, "", {} if is_outside else injected) for rank in range(2)]
    wait_for_training(machines[0])
    if is_outside:
        machines[victim].send(signal.SIGKILL if kind == "dead" else signal.SIGSTOP)
    status, seconds = machines[1 - victim].end(TIMEOUT_SEC + _SLOW_SEC + 60)
    problems = find_problems(machines[1 - victim], status, seconds)
    if kind == "stopped":
        machines[victim].send(signal.SIGCONT)
    status, seconds = machines[victim].end(TIMEOUT_SEC + _SLOW_SEC)
    # A rank of the same launcher may have killed what is stopped.
    if kind != "dead" and (kind, status) != ("stopped", -signal.SIGKILL):
        problems += [f"the victim: {p}" for p in find_problems(machines[victim], status, seconds)]
    # On one host one of the two prints the message.
    printed = "".join(machine.printed for machine in machines)
    if f"rank {victim} (" not in printed:
        problems.append(f"rank {victim} is not named in {printed[-600:]}")
    # An error of the code itself keeps its traceback, on its own rank.
    traced = [
        m for m in machines if "Traceback" in m.printed and (kind, m) != ("error", machines[victim])
    ]
    return problems + [f"traceback: {machine.printed[-600:]}" for machine in traced]


def break_at_start(kind: str, victim: int, out: Path) -> list[str]:
    """Start machines that do not fit; returns problems."""
    port, (environment, words, expected) = free_port(), STARTING[kind]
    with contextlib.ExitStack() as stack:
        if kind == "port in use":
            port = stack.enter_context(socket.create_server(("", 0))).getsockname()[1]
        ranks = [0] if kind in ("missing", "port in use") else [0, 1]
        machines = [
            Machine(
                rank,
                out,
                port,
                words if rank == victim else "",
                environment if rank == victim else {},
            )
            for rank in ranks
        ]
        problems = []
        for machine in machines:
            status, _ = machine.end(TIMEOUT_SEC + PATIENCE_SEC)
            problems += find_problems(machine, status, 0.0)
    printed = "".join(machine.printed for machine in machines)
    if expected not in printed:
        problems.append(f"'{expected}' is not in {printed[-600:]}")
    return problems + [f"traceback: {printed[-600:]}"] * ("Traceback" in printed)


def find_problems(machine: Machine, status: int | None, seconds: float) -> list[str]:
    """Return what is wrong with the end of a process."""
    problems = []
    if status is None:
        problems.append(f"it hangs: {machine.printed[-300:]}")
    elif status <= 0:
        problems.append(f"it ends with {status}: {machine.printed[-300:]}")
    elif seconds > TIMEOUT_SEC + _SLOW_SEC:
        problems.append(f"it ends after {seconds:.0f} s")
    return problems


def trial(folder: Path, number: int) -> Trial:
    """Inject a fault, then run the job to its end."""
    kind, victim = KINDS[number % len(KINDS)], number // len(KINDS) % 2
    result = Trial(faults=1, facts={"kind": kind, "rank": victim})
    out = folder / f"job-{number}" / "out"
    shutil.rmtree(out.parent, ignore_errors=True)
    start = time.monotonic()
    problems = (break_while_running if kind in RUNNING else break_at_start)(kind, victim, out)
    result.facts["seconds"] = round(time.monotonic() - start, 1)
    result.uncaught = int(bool(problems))
    if kind in RUNNING:
        problem = finish(out)
        result.lost = int(bool(problem))
        problems += [f"it does not resume: {problem}"] if problem else []
        if not problem and differs(out, folder / "reference"):
            result.silent = 1
            problems.append("the resumed job has other weights")
    result.why = "; ".join(problems)
    if not problems:
        shutil.rmtree(out.parent)
    return result


def conclude(facts: list[dict[str, Any]]) -> str:
    """Sum up how long jobs took to end."""
    slowest = max((f["seconds"] for f in facts if f["kind"] in RUNNING), default=0)
    return (
        f"{len({f['kind'] for f in facts})} kinds of faults; with DIST.TIMEOUT_SEC {TIMEOUT_SEC:g} "
        f"the slowest job ended {slowest:g} s after its start"
    )


CAMPAIGN = Campaign(
    "ranks",
    "one of two ranks is killed, stopped, hangs, diverges, fails or differs at the start; all must "
    "end within DIST.TIMEOUT_SEC with a message that names it, and resume",
    sample=12,
    full=48,
    prepare=prepare,
    trial=trial,
    load="jobs of two machines on loopback",
    conclude=conclude,
)

if __name__ == "__main__":
    sys.exit(run_campaign(CAMPAIGN, sys.argv[1:]))
