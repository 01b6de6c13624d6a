"""SIGKILL at random moments; what is resumed must equal a run that was left alone, bit for bit.

    python tests/campaigns/kills.py [--full | --count N] [--minutes M] [--seed S]

A trial is one run that is killed five times, then left to its end: while it trains, while a
checkpoint is written in the background, while it saves because of SIGTERM, while it validates or
tests. In every fifth trial it has two ranks, and the parent or one of them is killed.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from campaigns.common import Campaign, Trial, run_campaign
from campaigns.tiny_runs import Reference, Run

KINDS = ("train", "async save", "save", "evaluate")
KILLS = 5


def kill(run: Run, kind: str, rng: random.Random) -> bool:
    """Kill a run in a certain moment; False if it has ended before."""
    delay_sec = rng.uniform(0, 0.2)
    if kind == "async save":
        reached = run.wait_for(" iter ", rng.randint(1, 3)) and run.wait_for_draft()
        delay_sec = rng.uniform(0, 0.03)
    elif kind == "save":
        reached = run.wait_for(" iter ", rng.randint(1, 4))
        if reached:
            os.kill(run.pid, signal.SIGTERM)
            reached = run.wait_for_draft()
        delay_sec = rng.uniform(0, 0.03)
    elif kind == "evaluate":
        reached = run.wait_for(r"epoch \d+/\d+ done|weights from", rng.randint(1, 2))
    else:
        reached = run.wait_for(" iter ", rng.randint(1, 4))
    victim = rng.choice([run.pid, *run.ranks()])
    time.sleep(delay_sec)
    if not reached or not run.process.is_alive():
        return False
    os.kill(victim, signal.SIGKILL)
    return True


def tracebacks(printed: str) -> list[str]:
    """Return the last frame and the error of each traceback."""
    found = re.findall(r"^Traceback .*\n(?:[ \n].*\n?)*(?:\S.*)?", printed, re.MULTILINE)
    return [f"traceback: {' | '.join(text.split(chr(10))[-4:])[:500]}" for text in found]


def trial(reference: Reference, number: int) -> Trial:
    processes = 2 if number % 5 == 4 else 1
    rng = random.Random(f"{reference.seed} {number}")
    name, result = f"run-{number}", Trial(facts={"ranks": processes})
    reference.clear(name)
    problems = []
    for attempt in range(KILLS):
        run = reference.run(name, processes)
        result.faults += kill(run, KINDS[(number + attempt) % len(KINDS)], rng)
        status = run.end()
        problems += [f"orphan: {orphan}" for orphan in run.orphans()]
        problems += tracebacks(run.printed)
        if status == 0:
            break
    run = reference.run(name, processes)
    if run.end():
        problems.append(f"it does not resume: {run.printed[-500:]}")
        result.lost = 1
    else:
        differences = reference.differences(run.out, processes)
        result.silent = int(bool(differences))
        problems += [*differences, *tracebacks(run.printed)]
    problems += [f"orphan: {orphan}" for orphan in run.orphans()]
    result.uncaught = int(any(p.startswith(("orphan", "traceback")) for p in problems))
    result.why = "; ".join(problems)
    if not problems:
        reference.clear(name)
    return result


CAMPAIGN = Campaign(
    "kills",
    "SIGKILL while it trains, saves (also in the background), validates, tests, with one and two "
    "ranks; losses, weights, optimizer, validations and results equal those of a run that was left "
    "alone, bit for bit",
    sample=10,
    full=40,
    prepare=Reference,
    trial=trial,
    load="training of a tiny network with a data worker",
    conclude=lambda facts: f"{KILLS} kills of each run",
)

if __name__ == "__main__":
    sys.exit(run_campaign(CAMPAIGN, sys.argv[1:]))
