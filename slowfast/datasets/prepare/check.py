"""Checking a folder of media files: every file in a process of its own, and a report that grows.

``report.jsonl`` gets a line whenever a file is done. A later run looks only at files that are new,
have changed since, were given up, or are now to be looked at more closely.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from slowfast.config import UserError
from slowfast.datasets.annotations.files import MEDIA_SUFFIXES, media_files, walk_files
from slowfast.datasets.decoding.error_codes import SEVERITIES, problem
from slowfast.datasets.decoding.file import Beat
from slowfast.datasets.inspect import LEVELS
from slowfast.datasets.inspect.checker import inspect_media
from slowfast.datasets.inspect.report import MediaReport
from slowfast.datasets.prepare.settings import CheckSettings
from slowfast.datasets.prepare.workers import TaskResult, progress_bar, run_tasks
from slowfast.utils.io import atomic_path, write_csv

__all__ = [
    "REPORT",
    "check_folder",
    "count_others",
    "find_media",
    "read_reports",
    "write_table",
]

REPORT = "report.jsonl"

_GIVEN_UP = frozenset({"hangs", "crashes"})


def find_media(folder: Path) -> list[str]:
    """List the media files below a folder.

    Raises:
        UserError: If there is no such folder, or no media file in it.
    """
    if not folder.exists():
        raise UserError(f"no such folder: {folder}.")
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; name the folder that holds it.")
    files = list(media_files(folder.absolute()))
    if not files:
        raise UserError(
            f"{folder} holds no media files. They are found by their suffix: "
            f"{' '.join(sorted(MEDIA_SUFFIXES))}."
        )
    return files


def count_others(folder: Path) -> Counter[str]:
    """Count the files below a folder that are not taken for media.

    Returns:
        How many there are of each suffix, "" for none.
    """
    names = (name for _, files in walk_files(folder) for name in files)
    counts = Counter(Path(name).suffix.lower() for name in names)
    return Counter({s: count for s, count in counts.items() if s not in MEDIA_SUFFIXES})


def check_folder(folder: Path, out: Path, settings: CheckSettings) -> list[MediaReport]:
    """Inspect all media files below a folder, those excepted that a report in ``out`` covers.

    Args:
        folder: The folder.
        out: Where ``report.jsonl`` is, or will be.
        settings: How to check.

    Returns:
        A report per file, in the order of ``find_media``.

    Raises:
        UserError: If there is nothing to check, or the report in ``out`` is of another folder.
        OSError: If the report cannot be written.
    """
    files = find_media(folder)
    file = out / REPORT
    known = {report.path: report for report in read_reports(file)}
    if known and not any(Path(path).is_relative_to(folder.absolute()) for path in known):
        raise UserError(
            f"--out: {out} holds the report of another folder, of {next(iter(known))} for example. "
            "Name another one."
        )
    done = {
        path: known[path]
        for path in files
        if path in known and not settings.again and _is_current(known[path], settings.level)
    }
    _write_reports(file, done.values())
    to_do = [path for path in files if path not in done]
    results = run_tasks(
        functools.partial(_inspect, level=settings.level),
        to_do,
        num_processes=settings.num_processes,
        timeout_sec=settings.timeout_sec,
    )
    with (
        closing(results),
        progress_bar("checking", len(done), len(files)) as bar,
        file.open("a", encoding="ascii") as lines,
    ):
        for result in results:
            report = result.value or _report_of(result, settings.level)
            done[report.path] = report
            lines.write(f"{report.to_json()}\n")
            lines.flush()
            bar.update()
    reports = [done[path] for path in files]
    _write_reports(file, reports)
    return reports


def _inspect(path: str, beat: Beat, *, level: str) -> MediaReport:
    return inspect_media(path, level=level, beat=beat)


def _report_of(failed: TaskResult, level: str) -> MediaReport:
    """Make a report of a file whose inspection came to no end."""
    found = problem("unreadable" if failed.code == "raises" else failed.code, failed.reason)
    size, modified = _stamp(failed.task)
    return MediaReport(
        path=failed.task, level=level, size_bytes=size, modified_ns=modified, problems=(found,)
    )


def _is_current(report: MediaReport, level: str) -> bool:
    """Whether a report still holds and is close enough."""
    if report.codes & _GIVEN_UP or LEVELS.index(report.level) < LEVELS.index(level):
        return False
    return (report.size_bytes, report.modified_ns) == _stamp(report.path)


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def read_reports(file: Path) -> list[MediaReport]:
    """Read the reports of an earlier run.

    Returns:
        The reports; of a file that was reported twice the last one counts. Lines that are cut
        short, or of another version, are left out: those files are inspected again.
    """
    if not file.exists():
        return []
    found: dict[str, MediaReport] = {}
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                report = MediaReport.from_json(line)
            except ValueError:
                continue
            found[report.path] = report
    return list(found.values())


def _write_reports(file: Path, reports: Iterable[MediaReport]) -> None:
    with atomic_path(file) as temporary, temporary.open("w", encoding="ascii") as lines:
        lines.writelines(f"{report.to_json()}\n" for report in reports)


_COLUMNS: dict[str, Callable[[MediaReport], Any]] = {
    "usable": lambda r: int(r.is_usable),
    "size_bytes": lambda r: r.size_bytes,
    "duration_sec": lambda r: round(r.duration_sec, 3),
    "width": lambda r: r.video and r.video.width,
    "height": lambda r: r.video and r.video.height,
    "fps": lambda r: r.video and r.video.fps,
    "frames": lambda r: r.video and r.video.num_frames,
    "keyframe_frames": lambda r: r.video and r.video.keyframe_frames,
    "video_codec": lambda r: r.video and r.video.codec,
    "audio_codec": lambda r: r.audio and r.audio.codec,
    "sample_rate_hz": lambda r: r.audio and r.audio.sample_rate_hz,
    "channels": lambda r: r.audio and r.audio.channels,
    "audio_sec": lambda r: r.audio and round(r.audio.length_sec, 3),
    "audio_offset_sec": lambda r: (
        None if r.audio_offset_sec is None else f"{r.audio_offset_sec:.3f}"
    ),
    "silent_share": lambda r: r.audio and r.audio.silent_share,
}


def write_table(file: Path, folder: Path, reports: Iterable[MediaReport]) -> None:
    """Write the reports as a table, one row per file, for a spreadsheet.

    Args:
        file: The csv file.
        folder: Paths are written relative to it.
        reports: The rows. Reasons stand in a column per severity, separated by semicolons.
    """
    header = ["path", *_COLUMNS, *(f"{severity}s" for severity in SEVERITIES)]
    write_csv(file, header, (_row(report, folder) for report in reports))


def _row(report: MediaReport, folder: Path) -> list[Any]:
    reasons = (
        "; ".join(p.reason for p in report.problems if p.severity == severity)
        for severity in SEVERITIES
    )
    values = (value(report) for value in _COLUMNS.values())
    return [os.path.relpath(report.path, folder.absolute()), *values, *reasons]
