"""Distributions over the files of a folder: histograms of numbers and counts of values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from slowfast.datasets.inspect.report import MediaReport

__all__ = ["Counts", "Histogram", "count_values", "histograms"]

_BINS = 24
_SKEWED = 20.0
"""A largest value of so many medians gets bins of equal ratios instead of equal widths."""

_VALUES = 12
_OTHERS = "other"


class Histogram(NamedTuple):
    """The distribution of a number.

    Attributes:
        title: What the number is.
        unit: Its unit, or "".
        edges: Edges of the bins, ascending, one more than there are bins.
        counts: Files in each bin.
        median: Median of the number.
    """

    title: str
    unit: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    median: float


class Counts(NamedTuple):
    """The distribution of a value.

    Attributes:
        title: What the value is.
        values: Each value and its number of files, the most frequent first; rare ones are summed up
            as "other".
    """

    title: str
    values: tuple[tuple[str, int], ...]


def histograms(reports: Sequence[MediaReport]) -> list[Histogram]:
    """Compute the histograms of the usable files.

    Args:
        reports: One per file.

    Returns:
        Those of numbers that at least one file has.
    """
    usable = [report for report in reports if report.is_usable]
    videos = [report.video for report in usable if report.video is not None]
    audios = [report.audio for report in usable if report.audio is not None]
    numbers: list[tuple[str, str, list[float]]] = [
        ("Duration", "s", [report.duration_sec for report in usable]),
        ("Frame rate", "Hz", [video.fps for video in videos if video.fps]),
        ("Short side", "pixels", [float(min(video.width, video.height)) for video in videos]),
        ("Frames between keyframes", "", [float(v.keyframe_frames) for v in videos
                                          if v.keyframe_frames is not None]),
        ("Audio level", "dBFS", [20 * math.log10(audio.rms) for audio in audios if audio.rms]),
        ("Silent part of the audio", "%", [100 * audio.quiet_share for audio in audios
                                           if audio.quiet_share is not None]),
        ("Audio starts after video", "s", [report.audio_offset_sec for report in usable
                                           if report.audio_offset_sec is not None]),
        ("File size", "MB", [report.size_bytes / 1e6 for report in usable]),
    ]  # fmt: skip
    return [_histogram(title, unit, values) for title, unit, values in numbers if values]


def count_values(reports: Sequence[MediaReport]) -> list[Counts]:
    """Count the values of the usable files: frame sizes, codecs, audio formats.

    Args:
        reports: One per file.

    Returns:
        Those that at least one file has.
    """
    usable = [report for report in reports if report.is_usable]
    videos = [report.video for report in usable if report.video is not None]
    audios = [report.audio for report in usable if report.audio is not None]
    values: dict[str, Iterable[str]] = {
        "Frame size": (f"{video.width} x {video.height}" for video in videos),
        "Video codec": (video.codec for video in videos),
        "Audio codec": (audio.codec for audio in audios),
        "Sample rate": (f"{audio.sample_rate_hz} Hz" for audio in audios),
        "Audio channels": (str(audio.channels) for audio in audios),
        "Container": (report.container.split(",")[0] for report in usable),
    }
    counted = {title: Counter(found) for title, found in values.items()}
    return [Counts(title, _most(counts)) for title, counts in counted.items() if counts]


def _histogram(title: str, unit: str, values: Sequence[float]) -> Histogram:
    numbers = np.array(values)
    low, high, median = numbers.min(), numbers.max(), float(np.median(numbers))
    if low > 0 and high > _SKEWED * median:
        edges = np.geomspace(low, high, _BINS + 1)
    elif math.isclose(low, high):
        edges = np.array([low - 0.5, low + 0.5])
    else:
        edges = np.linspace(low, high, _BINS + 1)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)  # rounding
    counts = np.histogram(numbers, edges)[0]
    return Histogram(title, unit, tuple(edges.tolist()), tuple(counts.tolist()), median)


def _most(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    common = counts.most_common()
    rest = sum(count for _, count in common[_VALUES:])
    return (*common[:_VALUES], *(((_OTHERS, rest),) if rest else ()))
