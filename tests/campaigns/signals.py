"""Signals that ask a run to end, in every phase, once or twice, to the command or to a rank.

    python tests/campaigns/signals.py [--full | --count N] [--minutes M] [--seed S]

A trial sends one signal, or a second one after it, then runs the same command again. The first
ends with its status (130 for SIGINT, 75 for the others) and one message, leaves no process, and
the second gives what a run that was left alone gives. A run that ended before the signal does not
count as a fault.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from campaigns.common import Campaign, Trial, run_campaign
from campaigns.tiny_runs import Reference, Run

from slowfast.utils.stop_signals import STOP_SIGNALS, stop_status

PHASES = {
    "start": "train and test ",
    "train": " iter ",
    "save": "",
    "validate": r"epoch \d+/\d+ done",
    "test": "weights from",
}
TARGETS = ("command", "command", "parent of two", "rank", "group of two")
SECOND_SEC = 1.2


def send(run: Run, target: str, number: int, rng: random.Random) -> None:
    """Send a signal to the command, one of its ranks, or everything (Ctrl-C in a terminal)."""
    ranks = run.ranks() if target == "rank" else []
    if target == "group of two":
        os.killpg(run.pid, number)
    else:
        os.kill(rng.choice(ranks) if ranks else run.pid, number)


def trial(reference: Reference, number: int) -> Trial:
    rng = random.Random(f"{reference.seed} {number}")
    phase = list(PHASES)[number % len(PHASES)]
    target, chosen = rng.choice(TARGETS), rng.choice(STOP_SIGNALS)
    is_twice, processes = rng.random() < 0.5, 1 if target == "command" else 2
    facts = {"phase": phase, "signal": chosen.name, "to": target, "twice": is_twice}
    name, result, problems = f"run-{number}", Trial(facts=facts), []
    reference.clear(name)
    run = reference.run(name, processes)
    count = rng.randint(1, 5) if phase == "train" else 1
    reached = run.wait_for_draft() if phase == "save" else run.wait_for(PHASES[phase], count)
    time.sleep(rng.uniform(0, 0.1))
    if reached and run.process.is_alive():
        send(run, target, chosen, rng)
        result.faults = 1
        if is_twice:
            time.sleep(SECOND_SEC)
            if run.process.is_alive():
                send(run, target, chosen, rng)
                result.faults = 2
    status = run.end()
    facts["status"] = status
    problems += [f"orphan: {orphan}" for orphan in run.orphans()]
    if status not in (0, stop_status(chosen)):
        problems.append(f"status {status}, expected {stop_status(chosen)}")
    if "Traceback" in run.printed:
        problems.append(f"traceback: {run.printed[-1500:]}")
    if status and "same command" not in run.printed and phase != "start":
        problems.append(f"no message says what is saved: {run.printed[-300:]}")
    again = reference.run(name, processes)
    if again.end():
        result.lost = 1
        problems.append(f"it does not resume: {again.printed[-500:]}")
    else:
        differences = reference.differences(again.out, processes)
        result.silent = int(bool(differences))
        problems += differences
    problems += [f"orphan: {orphan}" for orphan in again.orphans()]
    result.uncaught = int(bool(problems) and not result.lost and not result.silent)
    result.why = "; ".join(problems)
    if not problems:
        reference.clear(name)
    return result


CAMPAIGN = Campaign(
    "signals",
    "SIGINT, SIGTERM, SIGUSR1, SIGHUP, once or twice, to the command, to the parent or a rank of "
    "two, or to all, while it starts, trains, saves, validates, tests: status, message, no orphan, "
    "and the same command then gives what a run that was left alone gives",
    sample=20,
    full=150,
    prepare=Reference,
    trial=trial,
    load="training of a tiny network with a data worker",
)

if __name__ == "__main__":
    sys.exit(run_campaign(CAMPAIGN, sys.argv[1:]))
