"""What a folder of media files is like, in a page of plain text."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from slowfast.datasets.decoding.error_codes import PROBLEMS, SEVERITIES
from slowfast.datasets.inspect.duplicates import Duplicates
from slowfast.datasets.inspect.folder import FolderFacts
from slowfast.datasets.inspect.report import MediaReport, relative_name
from slowfast.utils.io import name_some

__all__ = ["describe_training", "format_bytes", "how_many", "summarize"]

_NAMED = 3
_KINDS_NAMED = 5
_WIDTH = 12
_HEADINGS = {
    "error": "Errors: these files cannot be used",
    "warning": "Warnings: usable with care",
    "note": "Notes: good to know",
}
_DUPLICATES = {"bytes": "the same bytes", "content": "the same content"}


def summarize(
    folder: Path,
    reports: Sequence[MediaReport],
    duplicates: Sequence[Duplicates],
    others: Mapping[str, int],
) -> str:
    """Sum up the reports of a folder.

    Args:
        folder: The folder; files are named relative to it.
        reports: One per file; at least one.
        duplicates: The same files among them.
        others: Number of files that were not looked at, by suffix.

    Returns:
        Lines of text.
    """
    names = _Names(folder)
    parts = [_counts(folder, reports, others)]
    parts += [_problems(severity, reports, names) for severity in SEVERITIES]
    parts += [_statistics(reports), _duplicates(duplicates, names)]
    return "\n".join(part for part in parts if part)


def describe_training(facts: FolderFacts) -> str:
    """Describe how a folder would be read for training, and what to do next.

    Args:
        facts: From ``inspect_folder``.

    Returns:
        Lines of text; "" for a single file.
    """
    layout = facts.layout
    lines = []
    if layout.kind:
        lines += ["As DATA.PATH_TO_DATA_DIR", _line("layout", layout.kind)]
    elif layout.problem:
        lines += ["As DATA.PATH_TO_DATA_DIR", _line("layout", f"cannot be read: {layout.problem}")]
    for split in layout.splits:
        labels = f"{len(split.class_counts)} classes" if split.class_counts else "no labels"
        lines.append(_line(split.name, f"{how_many(split.num_files, 'file')}, {labels}"))
    if layout.unread:
        count = how_many(len(layout.unread), "file")
        lines.append(_line("no split", f"{count}: {name_some(layout.unread)}"))
    if layout.suspected:
        lines.append(_line("classes?", _most(dict(layout.suspected))))
    if facts.keys:
        lines += ["", "Config keys that fit these files"]
        lines += [f"  {key.key} {key.value}: {key.reason}" for key in facts.keys]
    if facts.steps:
        lines += ["", "Next"]
        for step in facts.steps:
            lines += [f"    {step.command}", f"      {step.reason}"]
    return "\n".join([*lines, ""]) if lines else ""


class _Names:
    """Names a few files of many."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def some(self, paths: Sequence[str]) -> str:
        return name_some([relative_name(path, self._folder) for path in paths], _NAMED)


def _counts(folder: Path, reports: Sequence[MediaReport], others: Mapping[str, int]) -> str:
    usable = sum(report.is_usable for report in reports)
    warned = sum(
        report.is_usable and any(found.severity == "warning" for found in report.problems)
        for report in reports
    )
    size = sum(report.size_bytes for report in reports)
    levels = ", ".join(sorted({report.level for report in reports}))
    count = how_many(len(reports), "media file")
    lines = [
        f"{folder}: {count}, {format_bytes(size)}, looked at: {levels}",
        _line("usable", f"{usable}, of these {warned} with a warning"),
        _line("unusable", str(len(reports) - usable)),
    ]
    if others:
        kinds = _most({suffix or "no suffix": count for suffix, count in others.items()})
        lines.append(_line("not media", f"{how_many(sum(others.values()), 'other file')}: {kinds}"))
    return "\n".join([*lines, ""])


def _problems(severity: str, reports: Sequence[MediaReport], names: _Names) -> str:
    by_code: dict[str, list[str]] = {}
    for report in reports:
        for code in sorted({p.code for p in report.problems if p.severity == severity}):
            by_code.setdefault(code, []).append(report.path)
    if not by_code:
        return ""
    lines = [_HEADINGS[severity]]
    for code, paths in sorted(by_code.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        lines.append(f"{len(paths):8d}  {PROBLEMS[code].title}: {names.some(paths)}")
        if PROBLEMS[code].remedy and severity != "note":
            lines.append(f"{'':10}{PROBLEMS[code].remedy}")
    return "\n".join([*lines, ""])


def _statistics(reports: Sequence[MediaReport]) -> str:
    usable = [report for report in reports if report.is_usable]
    if not usable:
        return ""
    videos = [report.video for report in usable if report.video is not None]
    audios = [report.audio for report in usable if report.audio is not None]
    lines = ["Usable files"]
    if videos:
        lines += [
            _line("video", _lengths([video.length_sec for video in videos])),
            _line("frames", _most(f"{video.width}x{video.height}" for video in videos)),
            _line("frame rate", _most(f"{video.fps:.4g} Hz" for video in videos)),
            _line("codecs", _most(video.codec for video in videos)),
        ]
        gaps = [v.keyframe_frames for v in videos if v.keyframe_frames is not None]
        if gaps:
            text = f"every {statistics.median(gaps):g} frames (median of the longest distances)"
            lines.append(_line("keyframes", f"{text}, at most {max(gaps)} apart"))
    if audios:
        silent = sum("silent" in report.codes for report in usable)
        lines += [
            _line("audio", _lengths([audio.length_sec for audio in audios])),
            _line(
                "formats", _most(f"{a.codec} {a.sample_rate_hz} Hz x{a.channels}" for a in audios)
            ),
            _line("silent", f"{silent} of {len(audios)} audio tracks throughout"),
        ]
    offsets = [report.audio_offset_sec for report in usable if report.audio_offset_sec is not None]
    if offsets:
        text = f"audio starts {min(offsets):+.3f} to {max(offsets):+.3f} s after the video"
        lines.append(_line("offsets", f"{text}, median {statistics.median(offsets):+.3f} s"))
    return "\n".join([*lines, ""])


def _duplicates(duplicates: Sequence[Duplicates], names: _Names) -> str:
    if not duplicates:
        return ""
    lines = ["Duplicates"]
    for kind, title in _DUPLICATES.items():
        groups = [group for group in duplicates if group.kind == kind]
        if groups:
            count = sum(len(group.paths) for group in groups)
            text = "group" if len(groups) == 1 else "groups"
            lines.append(f"{len(groups):8d}  {text} of files with {title}, {count} files:")
            lines += [f"{'':10}{names.some(group.paths)}" for group in groups[:_NAMED]]
            if len(groups) > _NAMED:
                lines.append(f"{'':10}...")
    return "\n".join([*lines, ""])


def _lengths(seconds: Sequence[float]) -> str:
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    total = f"{sum(seconds) / 3600:.2f} hours in {how_many(len(seconds), 'track')}"
    return f"{total}; shortest {low:.2f} s, median {middle:.2f} s, longest {high:.2f} s"


def _most(values: Iterable[str] | Mapping[str, int]) -> str:
    counts = Counter(values).most_common()
    text = ", ".join(f"{value} ({count})" for value, count in counts[:_KINDS_NAMED])
    more = len(counts) - _KINDS_NAMED
    return f"{text}, and {more} other kinds" if more > 0 else text


def _line(name: str, text: str) -> str:
    return f"  {name:{_WIDTH}}{text}"


def how_many(count: int, noun: str) -> str:
    """Write a number with its noun.

    Returns:
        Such as "1 file" or "3 files".
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_bytes(count: float) -> str:
    """Write a size as people do.

    Returns:
        Such as "12.3 MB".
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
