"""What campaigns share: the command line, results that survive an interruption, the record.

A campaign repeats a trial (a kill, a damaged file, ...) with other numbers. A script makes one:

    CAMPAIGN = Campaign("kills", "what is done and compared", sample=20, full=50,
                        prepare=prepare, trial=trial)

    if __name__ == "__main__":
        sys.exit(run_campaign(CAMPAIGN, sys.argv[1:]))

``prepare(folder, seed)`` makes what all trials need, or finds it there from before, and returns it;
``trial(prepared, number)`` returns a Trial, which depends on the seed and the number alone. Each
result is a line of build/campaigns/NAME-SEED/results.jsonl as soon as it is there. The same command
continues after an interruption; results of other code are put aside. At the end, or after
--minutes, the sums go to docs/evidence/reliability/NAME.json, which docs/generate.py renders in
docs/reliability.md. Exit status 1 if anything was lost, silent or uncaught.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "campaigns"
RECORDS = ROOT / "docs" / "evidence" / "reliability"
COUNTS = ("faults", "inputs", "lost", "silent", "uncaught")


@dataclass
class Trial:
    """The result of a trial.

    Attributes:
        faults: Faults that were injected (kills, signals, full disks).
        inputs: Inputs that were tried (files, YAMLs, replies).
        lost: Of these, how many lost work or data.
        silent: How many gave a wrong or different result without a message.
        uncaught: How many ended in a crash, a hang or a traceback.
        why: What happened, if one of the three is not 0.
        facts: Anything else to keep, as JSON.
    """

    faults: int = 0
    inputs: int = 0
    lost: int = 0
    silent: int = 0
    uncaught: int = 0
    why: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Campaign:
    """What is repeated.

    Attributes:
        name: Name of the script and the record.
        what: What is done and what it is compared with; one sentence for the table.
        sample: Trials of `make campaigns`.
        full: Trials of `make campaigns-full`.
        prepare: Makes what all trials share, in a folder, from a seed.
        trial: Runs the trial of a number.
        load: What was under load, for the table.
        conclude: Facts of the trials (with "number") as one line of notes.
    """

    name: str
    what: str
    sample: int
    full: int
    prepare: Callable[[Path, int], Any]
    trial: Callable[[Any, int], Trial]
    load: str = ""
    conclude: Callable[[list[dict[str, Any]]], str] = lambda facts: ""


def run_campaign(campaign: Campaign, words: list[str]) -> int:
    """Run a campaign from its command line; returns the exit status."""
    options = _parse(campaign, words)
    count = options.count or (campaign.full if options.full else campaign.sample)
    folder = options.work / f"{campaign.name}-{options.seed}"
    results = Results(folder / "results.jsonl", keep=options.keep)
    prepared, start = None, time.monotonic()
    for number in range(count):
        if number in results.rows:
            continue
        if time.monotonic() - start > 60 * options.minutes:
            break
        if prepared is None:
            prepared = campaign.prepare(folder, options.seed)
        before = time.monotonic()
        trial = campaign.trial(prepared, number)
        results.add(number, trial, time.monotonic() - before)
        ending = f": {trial.why}" if trial.why else ""
        print(f"{campaign.name} {len(results.rows)}/{count} {trial.facts}{ending}", flush=True)
    record = summarize(campaign, options.seed, list(results.rows.values()))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{campaign.name}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"{path}: { ({key: record[key] for key in COUNTS}) }, {record['notes']}")
    return int(any(record[key] for key in ("lost", "silent", "uncaught")))


def summarize(campaign: Campaign, seed: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up the trials: the record of a campaign."""
    notes = [f"{len(rows)} trials"]
    if len(rows) < campaign.full:
        command = f"python tests/campaigns/{campaign.name}.py --full"
        notes = [f"{len(rows)} of {campaign.full} trials; all: `{command}`"]
    notes.append(campaign.conclude([{"number": row["number"], **row["facts"]} for row in rows]))
    notes += [f"trial {row['number']}: {row['why']}" for row in rows if row["why"]]
    return {
        "name": campaign.name,
        "what": campaign.what,
        "load": campaign.load,
        **{key: sum(row[key] for row in rows) for key in COUNTS},
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "date": time.strftime("%Y-%m-%d"),
        "seed": seed,
        "notes": "; ".join(filter(None, notes)),
    }


class Results:
    """Results of trials in a file of JSON lines, by number.

    Args:
        path: The file; it continues if there is one of the same code.
        keep: Continue results of other code, too.
    """

    def __init__(self, path: Path, *, keep: bool = False) -> None:
        self.path, self.rows = path, dict[int, dict[str, Any]]()
        path.parent.mkdir(parents=True, exist_ok=True)
        code = code_digest()
        if path.is_file():
            lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # the last one may be torn
            head = json.loads(lines[0]) if lines else {}
            if keep or head.get("code") == code:
                self.rows = {row["number"]: row for row in map(json.loads, lines[1:])}
            else:
                print(f"{path}: of other code, moved to {path.name}.old; --keep continues it")
                path.replace(path.with_name(f"{path.name}.old"))
        rows = [{"code": code}, *self.rows.values()]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")

    def add(self, number: int, trial: Trial, seconds: float) -> None:
        """Write the result of a trial to disk."""
        self.rows[number] = {"number": number, "seconds": round(seconds, 2), **asdict(trial)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.rows[number]) + "\n")
            file.flush()
            os.fsync(file.fileno())


def code_digest() -> str:
    """Hash the code that campaigns test, and the campaigns."""
    digest = hashlib.sha256()
    for folder in ("slowfast", "projects", "tests/campaigns"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _parse(campaign: Campaign, words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"{campaign.name}.py", description=campaign.what)
    parser.add_argument("--count", type=int, default=0, help=f"trials; default {campaign.sample}")
    parser.add_argument("--full", action="store_true", help=f"all {campaign.full} trials")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no trial after this")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--keep", action="store_true", help="continue results of other code, too")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of results and files")
    parser.add_argument("--out", type=Path, default=RECORDS, help="folder of the record")
    return parser.parse_args(words)


def find_campaigns() -> list[Path]:
    """Find the scripts with a campaign that has a record."""
    scripts = sorted(Path(__file__).parent.glob("*.py"))
    return [path for path in scripts if "\nCAMPAIGN = " in path.read_text(encoding="utf-8")]


def main(words: list[str]) -> int:
    """Run all campaigns, each in a process of its own; an equal share of the time for each."""
    import subprocess

    parser = argparse.ArgumentParser(prog="common.py", description=main.__doc__)
    parser.add_argument("--full", action="store_true", help="all trials of each, without a limit")
    parser.add_argument("--minutes", type=float, default=85.0, help="of all together")
    options = parser.parse_args(words)
    end, failed = time.monotonic() + 60 * options.minutes, []
    scripts = find_campaigns()
    for number, path in enumerate(scripts):
        share = max(1.0, (end - time.monotonic()) / 60 / (len(scripts) - number))
        limit = ["--full"] if options.full else ["--minutes", f"{share:.1f}"]
        print(f"== {path.name} {' '.join(limit)}", flush=True)
        if subprocess.run([sys.executable, str(path), *limit], check=False).returncode:
            failed.append(path.stem)
    print(f"campaigns with losses or errors: {', '.join(failed) or 'none'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
