"""What ``prepare_data`` does: its commands, from arguments to files and a few lines of text."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from slowfast.config import UserError
from slowfast.datasets.annotations.quarantine import QUARANTINE
from slowfast.datasets.inspect.folder import FolderFacts, inspect_folder
from slowfast.datasets.prepare.check import (
    REPORT,
    check_folder,
    count_others,
    find_media,
    quarantine_unusable,
    write_table,
)
from slowfast.datasets.prepare.index import Index, make_index, write_index
from slowfast.datasets.prepare.settings import CheckSettings, EncodeSettings, IndexSettings
from slowfast.datasets.prepare.shard import Shard
from slowfast.datasets.prepare.summary import (
    describe_training,
    format_bytes,
    how_many,
    summarize,
)
from slowfast.datasets.prepare.thumbnails import THUMBNAILS, read_thumbnails
from slowfast.datasets.prepare.transcode_jobs import (
    TranscodeOutcome,
    check_folders,
    encode_all,
    plan_copies,
    write_outcomes,
)
from slowfast.utils.cores import usable_cores
from slowfast.utils.exit_codes import EXIT_FAILED
from slowfast.utils.io import atomic_path
from slowfast.utils.progress import progress
from slowfast.visualization.check_page import write_check_page

__all__ = ["run_command"]

_TABLE, _SUMMARY, _OUTCOMES, _PAGE = "report.csv", "summary.txt", "encode.csv", "check.html"
_CSVS = ("train.csv", "val.csv", "test.csv")
_SHOWN = 5
_LAUNCHERS = ("RANK", "SLURM_STEP_NUM_TASKS", "SUBMITIT_EXECUTOR")
"""Set by torchrun, srun (not in the batch script itself) and submitit, with others that say how
many processes there are."""
_WAIT_SEC = 30 * 86400.0
"""Processes that are done wait for the others, whose videos may be longer."""

Settings = TypeVar("Settings", CheckSettings, EncodeSettings, IndexSettings)


def run_command(arguments: Namespace) -> int:
    """Run a command.

    Raises:
        UserError: If the user has to fix something.
        OSError: If something cannot be written.
    """
    if not any(name in os.environ for name in _LAUNCHERS):
        return _run(arguments, Shard())
    from slowfast.utils import distributed  # torch is needed for several processes only
    from slowfast.utils.launch import launch
    from slowfast.utils.placement import local_world_size

    statuses: list[int] = []

    def run_share() -> None:
        share = Shard(distributed.rank(), distributed.world_size(), distributed.gather_objects)
        if not getattr(arguments, "num_processes", 0):
            arguments.num_processes = max(1, usable_cores() // local_world_size(1))
        statuses.append(_run(arguments, share))

    launch(run_share, wait_sec=_WAIT_SEC)
    return statuses[0]


def _run(arguments: Namespace, shard: Shard) -> int:
    """Run a command, in each process of a job."""
    folder: Path = arguments.folder
    out: Path = getattr(arguments, "out", None) or Path(f"{folder.absolute().name}_report")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out: {out} is a file; name a folder.")
    if arguments.command == "check":
        _check(folder, out, arguments, shard)
        return 0
    if arguments.command == "encode":
        return _encode(folder, shard.of_main(find_media(folder)), out, arguments, shard)
    if arguments.command == "index":
        _index(folder, out, arguments, shard)
        return 0
    return _all(folder, out, arguments, shard)


def _all(folder: Path, out: Path, arguments: Namespace, shard: Shard) -> int:
    check_folders(folder, out)
    settings = _index_settings(arguments)
    facts = _check(folder, out / "check", arguments, shard)
    usable = [report.path for report in facts.reports if report.is_usable]
    if not usable:
        raise UserError(f"{folder}: no file is usable; see {out / 'check' / _SUMMARY}.")
    index = make_index(folder, facts.reports, facts.duplicates, settings)  # raises before encoding
    left_out = {path for paths in index.left_out.values() for path in paths}
    kept = [path for path in usable if path not in left_out]
    if shard.is_main:
        for reason, paths in index.left_out.items():
            _print(f"  not encoded: {how_many(len(paths), 'file')}: {reason}")
    status = _encode(folder, kept, out / "videos", arguments, shard)
    if status == 0:
        _index(out / "videos", out, arguments, shard)
    return status


def _settings(kind: Callable[..., Settings], arguments: Namespace) -> Settings:
    """Take the arguments that are called as fields of a kind of settings are."""
    given = vars(arguments)
    return kind(**{name: given[name] for name in kind.__annotations__ if name in given})


def _check(
    folder: Path, out: Path, arguments: Namespace, shard: Shard, *, is_quiet: bool = False
) -> FolderFacts:
    """Inspect what has not been inspected, and write what was found."""
    reports = check_folder(folder, out, _settings(CheckSettings, arguments), shard)
    facts = inspect_folder(folder, reports, count_others(folder))
    if not shard.is_main:
        return facts
    text = summarize(folder, reports, facts.duplicates, facts.others)
    text = "\n".join(filter(None, (text, describe_training(facts))))
    write_table(out / _TABLE, folder, reports)
    quarantine_unusable(out / QUARANTINE, folder, reports)
    with atomic_path(out / _SUMMARY) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    if not is_quiet:
        _print(f"{text}\nWritten to {out}: {REPORT}, {_TABLE}, {_SUMMARY}, {QUARANTINE}")
        _print(_write_page(out, facts))
    return facts


def _write_page(out: Path, facts: FolderFacts) -> str:
    """Write the page; return what to tell about it. Without Jinja2 there is none."""
    try:
        page = write_check_page(
            out / _PAGE, facts, read_thumbnails(out / THUMBNAILS), out / QUARANTINE
        )
    except UserError as error:
        return f"No page: {error}"
    return f"Open {page} in a browser."


def _index_settings(arguments: Namespace) -> IndexSettings:
    if arguments.level == "headers":
        raise UserError(
            "--level: got headers, which cannot detect unusable files; index with sample or full."
        )
    return _settings(IndexSettings, arguments)


def _index(folder: Path, out: Path, arguments: Namespace, shard: Shard) -> None:
    settings = _index_settings(arguments)
    facts = _check(folder, out, arguments, shard, is_quiet=True)
    if not shard.is_main:
        return
    index = make_index(folder, facts.reports, facts.duplicates, settings)
    files = write_index(out, index, folder=folder, overwrite=arguments.overwrite)
    _print(_describe(index))
    foreign = [name for name in _CSVS if (folder / name).exists() and folder != out]
    if foreign:
        _print(f"  {folder} holds {', '.join(foreign)}, which was not read.")
    _print(f"Written to {out}: {', '.join(file.name for file in files)}")
    prefix = f" DATA.PATH_PREFIX {folder.absolute()}" if settings.relative else ""
    _print(
        "To train on them:\n    python tools/run_net.py --cfg CONFIG.yaml "
        f"DATA.PATH_TO_DATA_DIR {out}{prefix}"
    )


def _describe(index: Index) -> str:
    lines = []
    for split, rows in index.rows.items():
        classes = len({label for _, label in rows if label >= 0})
        of_classes = f" of {classes} {'class' if classes == 1 else 'classes'}" if classes else ""
        lines.append(f"  {split:12}{how_many(len(rows), 'file')}{of_classes}")
    for reason, paths in index.left_out.items():
        lines.append(f"  {'left out':12}{how_many(len(paths), 'file')}: {reason}")
    lines += [f"  {remark}" for remark in index.remarks]
    return "\n".join(lines)


def _encode(folder: Path, files: list[str], out: Path, arguments: Namespace, shard: Shard) -> int:
    check_folders(folder, out)
    plans, begun = shard.own(plan_copies(folder, files, out)), time.monotonic()
    outcomes: list[TranscodeOutcome] = []
    results = encode_all(
        plans,
        _settings(EncodeSettings, arguments),
        num_processes=getattr(arguments, "num_processes", 0),
        timeout_sec=arguments.timeout_sec,
    )
    try:
        with closing(results):
            for outcome in progress(results, "encoding", len(plans), unit="files"):
                outcomes.append(outcome)
    finally:
        if outcomes:
            write_outcomes(out / shard.name(_OUTCOMES), folder, outcomes)
    if shard.size > 1:
        outcomes = [outcome for part in shard.gather(outcomes) for outcome in part]
        if shard.is_main:
            write_outcomes(out / _OUTCOMES, folder, outcomes)
        (out / f"{_OUTCOMES}.rank{shard.rank}").unlink(missing_ok=True)
    if shard.is_main:
        _print(_account(outcomes, folder, out, time.monotonic() - begun))
    return EXIT_FAILED if all(entry.status == "failed" for entry in outcomes) else 0


def _account(outcomes: list[TranscodeOutcome], folder: Path, out: Path, seconds: float) -> str:
    counts = Counter(outcome.status for outcome in outcomes)
    there = [outcome for outcome in outcomes if outcome.target_bytes]
    before = sum(outcome.source_bytes for outcome in there)
    after = sum(outcome.target_bytes for outcome in there)
    lines = [
        f"{folder} -> {out}: {counts['encoded']} encoded in {seconds:.0f} s, {counts['skipped']} "
        f"were there already, {counts['failed']} failed",
    ]
    if there:
        ratio = after / max(1, before)
        lines.append(f"  {format_bytes(before)} became {format_bytes(after)} ({ratio:.0%})")
    for status, title in (("failed", "failed"), ("encoded", "with losses")):
        found = [entry for entry in sorted(outcomes) if entry.status == status and entry.reason]
        for outcome in found[:_SHOWN]:
            name = Path(outcome.plan.source).relative_to(folder.absolute())
            lines.append(f"  {title}: {name}: {outcome.reason}")
        if len(found) > _SHOWN:
            lines.append(f"  {title}: {len(found) - _SHOWN} more")
    lines.append(f"Written to {out}: the copies, {_OUTCOMES}")
    return "\n".join(lines)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
