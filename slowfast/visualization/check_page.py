"""The page of ``slowfast check``: the files of a folder with thumbnails, those with problems first.

The facts come from ``slowfast.datasets.inspect``. Names of files are text, whatever they contain.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from slowfast.datasets.decoding.error_codes import PROBLEMS, SEVERITIES
from slowfast.datasets.inspect.folder import FolderFacts
from slowfast.datasets.inspect.report import AudioFacts, MediaReport
from slowfast.datasets.prepare.summary import format_bytes, how_many
from slowfast.utils.io import printable
from slowfast.visualization.pages import data_uri, fragment, render
from slowfast.visualization.pages.render import format_duration

__all__ = ["MAX_FILES", "write_check_page"]

MAX_FILES = 10_000
"""Files on a page; those with problems first."""

_THUMBNAIL_BYTES = 9_000_000
"""All thumbnails of a page, encoded."""

_NAMED = 3
_GROUPS, _GROUP_FILES = 1000, 20
_STATUS = {"error": "unusable", "warning": "warning", "note": "ok"}
_KINDS = {"bytes": "the same bytes", "content": "the same content"}

_COLUMNS = [
    "file",
    "status",
    "problems",
    ("duration", "duration"),
    ("frame size", "number"),
    ("frames per s", "number"),
    "video",
    "audio",
    ("level (dBFS)", "number"),
    ("silent", "percent"),
    ("audio offset (s)", "number"),
    ("MB", "number"),
]


def write_check_page(
    path: Path, facts: FolderFacts, thumbnails: Mapping[str, bytes], quarantine: Path
) -> Path:
    """Write the page.

    Args:
        path: The HTML file.
        facts: What is known of the folder.
        thumbnails: WebP images by path of the file.
        quarantine: The list of the files that training leaves out.

    Returns:
        The path.

    Raises:
        UserError: If Jinja2 is not installed, or the page cannot be written.
    """
    ordered = sorted(facts.reports, key=lambda r: (SEVERITIES.index(_severity(r)), r.path))
    page = _Page(path.parent, facts, ordered[:MAX_FILES], thumbnails)
    return render(
        "check.html",
        path,
        title=f"Check of {_shown(str(facts.folder))}",
        lead=", ".join(
            [how_many(len(facts.reports), "media file"), format_bytes(_num_bytes(facts.reports))]
        ),
        cards=_cards(facts),
        quarantined=_count_lines(quarantine),
        quarantine=_shown(str(quarantine)),
        layout=facts.layout,
        keys=facts.keys,
        steps=facts.steps,
        problems=list(page.problems()),
        classes=_classes(facts),
        histograms=facts.histograms,
        counts=facts.counts,
        duplicates=list(page.duplicates()),
        columns=_COLUMNS,
        files=[page.row(report) for report in page.reports],
        num_left_out=len(facts.reports) - len(page.reports),
        num_without_thumbnail=page.num_without_thumbnail,
    )


class _Page:
    """Names and rows of files, as seen from the folder of the page."""

    def __init__(
        self,
        folder: Path,
        facts: FolderFacts,
        reports: Sequence[MediaReport],
        thumbnails: Mapping[str, bytes],
    ) -> None:
        self._folder, self._facts, self.reports = folder.absolute(), facts, reports
        self._thumbnails, self._budget = thumbnails, _THUMBNAIL_BYTES
        self.num_without_thumbnail = 0

    def name(self, report: MediaReport) -> str:
        return _shown(report.name_in(self._facts.folder))

    def row(self, report: MediaReport) -> list[Any]:
        video, audio = report.video, report.audio
        worst = _severity(report)
        return [
            {"html": self._file(report), "sort": self.name(report)},
            {"text": _STATUS[worst], "sort": SEVERITIES.index(worst)},
            {"html": fragment("check_problems.html", problems=report.problems)
             if report.problems else "", "sort": len(report.problems)},
            report.duration_sec if video or audio else None,
            {"text": f"{video.width} x {video.height}", "sort": video.width * video.height}
            if video else None,
            {"text": f"{video.fps:.5g}{' variable' if video.is_variable else ''}",
             "sort": video.fps} if video and video.fps else None,
            video.codec if video else None,
            f"{audio.codec} {audio.sample_rate_hz} Hz x{audio.channels}" if audio else None,
            _level(audio),
            audio.quiet_share if audio else None,
            None if report.audio_offset_sec is None
            else {"text": f"{report.audio_offset_sec:+.3f}", "sort": report.audio_offset_sec},
            {"text": f"{report.size_bytes / 1e6:.3g}", "sort": report.size_bytes},
        ]  # fmt: skip

    def _file(self, report: MediaReport) -> Any:
        image = self._thumbnails.get(report.path, b"")
        self._budget -= len(image) * 4 // 3
        if self._budget < 0:
            image = b""
            self.num_without_thumbnail += 1
        return fragment(
            "check_file.html",
            name=self.name(report),
            href=_href(report.path, self._folder),
            thumbnail=data_uri(image, "image/webp") if image else "",
        )

    def problems(self) -> Iterator[dict[str, Any]]:
        """Yield a row per kind of problem, the most severe and frequent first."""
        files: dict[str, list[MediaReport]] = {}
        for report in self._facts.reports:
            for code in report.codes:
                files.setdefault(code, []).append(report)
        order = sorted(
            files,
            key=lambda code: (SEVERITIES.index(PROBLEMS[code].severity), -len(files[code]), code),
        )
        for code in order:
            found = files[code]
            examples = ", ".join(self.name(report) for report in found[:_NAMED])
            more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            yield {"code": code, **PROBLEMS[code]._asdict(), "count": len(found),
                   "examples": examples + more}  # fmt: skip

    def duplicates(self) -> Iterator[list[Any]]:
        """Yield a row per group of equal files."""
        root = self._facts.folder
        for group in self._facts.duplicates[:_GROUPS]:
            reports = [MediaReport(path=path, level="") for path in group.paths[:_GROUP_FILES]]
            more = len(group.paths) - len(reports)
            names = ", ".join(_shown(report.name_in(root)) for report in reports)
            text = f"{names}, and {more} more" if more else names
            yield [_KINDS[group.kind], len(group.paths), text]


def _cards(facts: FolderFacts) -> list[tuple[str, str, str]]:
    usable = [report for report in facts.reports if report.is_usable]
    status = Counter(_severity(report) for report in facts.reports)
    seconds = sum(report.duration_sec for report in usable)
    lengths = sorted(report.duration_sec for report in usable)
    with_audio = sum(report.has_audio for report in usable)
    repeated = sum(len(group.paths) - 1 for group in facts.duplicates)
    others = ", ".join(f"{suffix or 'no suffix'} ({n})" for suffix, n in facts.others.items())
    cards = [
        ("usable", f"{len(usable):,}", f"of {how_many(len(facts.reports), 'file')}"),
        ("unusable", f"{status['error']:,}", ""),
        ("with a warning", f"{status['warning']:,}", "usable with care"),
    ]
    if usable:
        cards += [
            (
                "duration",
                format_duration(seconds),
                f"median {lengths[len(lengths) // 2]:.3g} s per file",
            ),
            ("with audio", f"{100 * with_audio / len(usable):.0f} %", "not silent throughout"),
        ]
    cards.append(("duplicates", f"{repeated:,}", "files that are there already"))
    if facts.others:
        cards.append(("not checked", f"{sum(facts.others.values()):,}", _cut(others)))
    return cards


def _classes(facts: FolderFacts) -> list[list[Any]]:
    """Return class, files, and files relative to the largest class."""
    counts = facts.layout.classes or facts.layout.suspected
    largest = max((count for _, count in counts), default=1)
    return [[_shown(name), count, count / max(1, largest)] for name, count in counts]


def _severity(report: MediaReport) -> str:
    return min((p.severity for p in report.problems), key=SEVERITIES.index, default="note")


def _level(audio: AudioFacts | None) -> float | None:
    return round(20 * math.log10(audio.rms), 1) if audio and audio.rms else None


def _num_bytes(reports: Sequence[MediaReport]) -> int:
    return sum(report.size_bytes for report in reports)


def _count_lines(quarantine: Path) -> int:
    with quarantine.open("rb") as lines:
        return sum(1 for _ in lines) - 1


def _shown(text: str) -> str:
    return os.fsencode(printable(text)).decode("utf-8", "backslashreplace")


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _href(path: str, folder: Path) -> str:
    """Return a link from the page to a file, "" if that cannot be looked up."""
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises for a loop of links
        return ""
    return quote(os.fsencode(os.path.relpath(path, folder)))
