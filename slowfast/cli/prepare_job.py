"""What ``prepare_data`` does: its commands, from arguments to files and a few lines of text."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from slowfast.config import UserError
from slowfast.datasets.inspect.duplicates import Duplicates, find_duplicates
from slowfast.datasets.inspect.report import MediaReport
from slowfast.datasets.prepare.check import (
    REPORT,
    check_folder,
    count_others,
    find_media,
    write_table,
)
from slowfast.datasets.prepare.index import Index, make_index, write_index
from slowfast.datasets.prepare.settings import CheckSettings, EncodeSettings, IndexSettings
from slowfast.datasets.prepare.summary import format_bytes, how_many, summarize
from slowfast.datasets.prepare.transcode_jobs import (
    TranscodeOutcome,
    check_folders,
    encode_all,
    plan_copies,
    write_outcomes,
)
from slowfast.datasets.prepare.workers import progress_bar
from slowfast.utils.exit_codes import EXIT_FAILED
from slowfast.utils.io import atomic_path

__all__ = ["run_command"]

_TABLE, _SUMMARY, _OUTCOMES = "report.csv", "summary.txt", "encode.csv"
_CSVS = ("train.csv", "val.csv", "test.csv")
_SHOWN = 5

Settings = TypeVar("Settings", CheckSettings, EncodeSettings, IndexSettings)


def run_command(arguments: Namespace) -> int:
    """Run a command.

    Raises:
        UserError: If the user has to fix something.
        OSError: If something cannot be written.
    """
    if hasattr(sys.stdout, "reconfigure"):  # names of files may be any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    folder: Path = arguments.folder
    out: Path = getattr(arguments, "out", None) or Path(f"{folder.absolute().name}_report")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out: {out} is a file; name a folder.")
    if arguments.command == "check":
        _check(folder, out, arguments)
        return 0
    if arguments.command == "encode":
        return _encode(folder, find_media(folder), out, arguments)
    if arguments.command == "index":
        _index(folder, out, arguments)
        return 0
    return _all(folder, out, arguments)


def _all(folder: Path, out: Path, arguments: Namespace) -> int:
    check_folders(folder, out)
    reports, _ = _check(folder, out / "check", arguments)
    usable = [report.path for report in reports if report.is_usable]
    if not usable:
        raise UserError(f"{folder}: no file is usable; see {out / 'check' / _SUMMARY}.")
    status = _encode(folder, usable, out / "videos", arguments)
    if status == 0:
        _index(out / "videos", out, arguments)
    return status


def _settings(kind: Callable[..., Settings], arguments: Namespace) -> Settings:
    """Take the arguments that are called as fields of a kind of settings are."""
    given = vars(arguments)
    return kind(**{name: given[name] for name in kind.__annotations__ if name in given})


def _check(
    folder: Path, out: Path, arguments: Namespace, *, is_quiet: bool = False
) -> tuple[list[MediaReport], list[Duplicates]]:
    """Inspect what has not been inspected, and write what was found."""
    reports = check_folder(folder, out, _settings(CheckSettings, arguments))
    duplicates = find_duplicates(reports)
    text = summarize(folder, reports, duplicates, count_others(folder))
    write_table(out / _TABLE, folder, reports)
    with atomic_path(out / _SUMMARY) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    if not is_quiet:
        _print(f"{text}\nWritten to {out}: {REPORT}, {_TABLE}, {_SUMMARY}")
    return reports, duplicates


def _index(folder: Path, out: Path, arguments: Namespace) -> None:
    if arguments.level == "headers":
        raise UserError(
            "--level: got headers, which cannot detect unusable files; index with sample or full."
        )
    settings = _settings(IndexSettings, arguments)
    reports, duplicates = _check(folder, out, arguments, is_quiet=True)
    index = make_index(folder, reports, duplicates, settings)
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


def _encode(folder: Path, files: list[str], out: Path, arguments: Namespace) -> int:
    check_folders(folder, out)
    plans, begun = plan_copies(folder, files, out), time.monotonic()
    outcomes: list[TranscodeOutcome] = []
    results = encode_all(
        plans,
        _settings(EncodeSettings, arguments),
        num_processes=getattr(arguments, "num_processes", 0),
        timeout_sec=arguments.timeout_sec,
    )
    try:
        with closing(results), progress_bar("encoding", 0, len(plans)) as bar:
            for outcome in results:
                outcomes.append(outcome)
                bar.update()
    finally:
        if outcomes:
            write_outcomes(out / _OUTCOMES, folder, outcomes)
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
