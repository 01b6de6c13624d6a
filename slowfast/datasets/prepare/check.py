"""Checking a folder of media files: every file in a process of its own, and a report that grows.

``report.jsonl`` gets a line whenever a file is done. A later run looks only at files that are new,
have changed since, were given up, or are now to be looked at more closely.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from slowfast.config import UserError
from slowfast.datasets.annotations.files import (
    IMAGE_SUFFIXES,
    MEDIA_SUFFIXES,
    VIDEO_SUFFIXES,
    media_files,
    walk_files,
)
from slowfast.datasets.annotations.quarantine import (
    QuarantinedFile,
    file_stamp,
    write_quarantine,
)
from slowfast.datasets.decoding.error_codes import SEVERITIES, MediaProblem, problem
from slowfast.datasets.decoding.file import Beat
from slowfast.datasets.inspect import LEVELS
from slowfast.datasets.inspect.checker import inspect_media
from slowfast.datasets.inspect.report import MediaReport
from slowfast.datasets.prepare.settings import CheckSettings
from slowfast.datasets.prepare.shard import Shard
from slowfast.datasets.prepare.thumbnails import (
    THUMBNAILS,
    ThumbnailFile,
    encode_thumbnail,
    read_thumbnails,
)
from slowfast.datasets.prepare.workers import TaskResult, run_tasks
from slowfast.utils.io import atomic_path, write_csv
from slowfast.utils.progress import ProgressMeter

__all__ = [
    "REPORT",
    "check_folder",
    "count_others",
    "find_media",
    "quarantine_unusable",
    "read_reports",
    "write_table",
]

REPORT = "report.jsonl"

_OTHER_LAYOUTS = (
    " Folders of extracted frames and tars are not checked; training reads them (DATASET.md)."
)

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
        others = count_others(folder)
        kinds = ", ".join(f"{s or 'no suffix'} ({count})" for s, count in others.most_common(5))
        held = f"holds {sum(others.values())} other files: {kinds}" if others else "is empty"
        raise UserError(
            f"{folder} holds no media files; it {held}. Media files are found by their suffix: "
            f"{' '.join(sorted(MEDIA_SUFFIXES))}."
            f"{_OTHER_LAYOUTS if others.keys() & (IMAGE_SUFFIXES | {'.tar'}) else ''}"
        )
    return files


def count_others(folder: Path) -> Counter[str]:
    """Count the files below a folder that are not taken for media.

    Returns:
        How many there are of each suffix, "" for none; no others next to a single file.
    """
    if folder.is_file():
        return Counter()
    names = (name for _, files in walk_files(folder) for name in files)
    counts = Counter(Path(name).suffix.lower() for name in names)
    return Counter({s: count for s, count in counts.items() if s not in MEDIA_SUFFIXES})


def check_folder(
    folder: Path, out: Path, settings: CheckSettings, shard: Shard | None = None
) -> list[MediaReport]:
    """Inspect all media files below a folder, those excepted that a report in ``out`` covers.

    Args:
        folder: The folder, or a single file.
        out: Where ``report.jsonl`` and ``thumbnails.jsonl`` are, or will be.
        settings: How to check.
        shard: The share of this process, which every process of the job must call with; None: all
            files.

    Returns:
        A report per file, in the order of ``find_media``; in every process.

    Raises:
        UserError: If there is nothing to check, or the report in ``out`` is of another folder.
        OSError: If the report cannot be written.
    """
    shard = shard or Shard()
    files = [str(folder.absolute())] if folder.is_file() else find_media(folder)
    files = shard.of_main(files)
    file = out / REPORT
    parts = _parts(file)  # also those that a stopped job has left
    known = {report.path: report for one in (file, *parts) for report in read_reports(one)}
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
    shard.gather(None)  # all have read what rank 0 writes now
    if shard.is_main:
        _merge(out, done)
    shard.gather(None)
    to_do = shard.own([path for path in files if path not in done])
    num_done = len(done) if shard.size == 1 else 0
    _inspect_all(to_do, num_done, out, settings, shard)
    shard.gather(None)
    if shard.is_main:
        for one in (file, *_parts(file)):
            done |= {report.path: report for report in read_reports(one)}
        _merge(out, {path: done[path] for path in files})
    shard.gather(None)
    found = {report.path: report for report in read_reports(file)}
    return [found[path] for path in files]


def _inspect_all(
    to_do: Sequence[str], num_done: int, out: Path, settings: CheckSettings, shard: Shard
) -> None:
    """Inspect the files of this process; each adds a line to its report."""
    title = "checking" if shard.size == 1 else f"checking (process 1 of {shard.size})"
    results = run_tasks(
        functools.partial(_inspect, level=settings.level),
        to_do,
        num_processes=settings.num_processes,
        timeout_sec=settings.timeout_sec,
    )
    with (
        closing(results),
        ProgressMeter(title, num_done + len(to_do), done=num_done, unit="files") as meter,
        (out / shard.name(REPORT)).open("a", encoding="ascii") as lines,
        ThumbnailFile(out / shard.name(THUMBNAILS)) as thumbnails,
    ):
        for result in results:
            report, image = result.value or (_report_of(result, settings.level), b"")
            thumbnails.add(report.path, image)
            lines.write(f"{report.to_json()}\n")
            lines.flush()
            meter.update()


def _parts(file: Path) -> list[Path]:
    """List what the other processes of a job write next to a file of rank 0."""
    return sorted(file.parent.glob(f"{file.name}.rank*"))


def _merge(out: Path, reports: dict[str, MediaReport]) -> None:
    """Write one report and one file of images, and remove those of single processes."""
    _write_reports(out / REPORT, reports.values())
    parts = _parts(out / THUMBNAILS)
    with ThumbnailFile(out / THUMBNAILS, reports.keys()) as thumbnails:
        for part in parts:
            for path, image in read_thumbnails(part).items():
                if path in reports:
                    thumbnails.add(path, image)
    for part in (*parts, *_parts(out / REPORT)):
        part.unlink()


def _inspect(path: str, beat: Beat, *, level: str) -> tuple[MediaReport, bytes]:
    images: list[bytes] = []
    report = inspect_media(
        path, level=level, beat=beat, show=lambda frame: images.append(encode_thumbnail(frame))
    )
    return report, images[0] if images else b""


def _report_of(failed: TaskResult, level: str) -> MediaReport:
    """Make a report of a file whose inspection came to no end."""
    found = problem("unreadable" if failed.code == "raises" else failed.code, failed.reason)
    size, modified = file_stamp(failed.task)
    return MediaReport(
        path=failed.task, level=level, size_bytes=size, modified_ns=modified, problems=(found,)
    )


def _is_current(report: MediaReport, level: str) -> bool:
    """Whether a report still holds and is close enough."""
    if report.codes & _GIVEN_UP or LEVELS.index(report.level) < LEVELS.index(level):
        return False
    return (report.size_bytes, report.modified_ns) == file_stamp(report.path)


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


def quarantine_unusable(file: Path, folder: Path, reports: Iterable[MediaReport]) -> int:
    """Write the list of files that datasets leave out: unusable ones, and videos without video.

    Args:
        file: The list.
        folder: The checked folder or file.
        reports: One per file.

    Returns:
        The number of files on the list.
    """
    files = [
        QuarantinedFile(report.path, report.size_bytes, report.modified_ns, why.code, why.reason)
        for report in reports
        if (why := _why_left_out(report)) is not None
    ]
    write_quarantine(file, folder, files)
    return len(files)


def _why_left_out(report: MediaReport) -> MediaProblem | None:
    if not report.is_usable:
        return report.problems[0]  # the most severe first
    is_named_video = Path(report.path).suffix.lower() in VIDEO_SUFFIXES
    none = [found for found in report.problems if found.code == "no_video" and is_named_video]
    return none[0] if none else None


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
    return [report.name_in(folder), *values, *reasons]
