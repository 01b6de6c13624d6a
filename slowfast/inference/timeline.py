"""A timeline of a long video: consecutive windows of the same class are one segment."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from slowfast.inference.embeddings import Prediction

__all__ = ["Segment", "merge_windows"]


class Segment(NamedTuple):
    """Consecutive windows of one class.

    Attributes:
        label: Name of the class.
        score: Its mean score in these windows.
        start_sec: Start of the first window, in seconds.
        end_sec: End of the last one.
    """

    label: str
    score: float
    start_sec: float
    end_sec: float


def merge_windows(windows: Sequence[Prediction], *, multi_label: bool = False) -> list[Segment]:
    """Merge consecutive windows of the same class.

    Args:
        windows: In temporal order.
        multi_label: Whether a window has all of its classes; else it has the best one. A window
            without a class is in no segment.

    Returns:
        The segments, by their start; those of different classes overlap if ``multi_label``.
    """
    numbered = list(enumerate(windows))
    labels = sorted({name for window in windows for name, _ in _classes(window, multi_label)})
    segments = [segment for label in labels for segment in _segments(label, numbered, multi_label)]
    return sorted(segments, key=lambda segment: (segment.start_sec, -segment.score))


def _classes(window: Prediction, multi_label: bool) -> list[tuple[str, float]]:
    return window.classes if multi_label else window.classes[:1]


def _segments(
    label: str, numbered: Iterable[tuple[int, Prediction]], multi_label: bool
) -> Iterator[Segment]:
    """Yield the segments of one class."""
    having = [
        (number, window, dict(_classes(window, multi_label))[label])
        for number, window in numbered
        if label in dict(_classes(window, multi_label))
    ]
    # Consecutive numbers minus their position are equal.
    runs = itertools.groupby(enumerate(having), key=lambda entry: entry[1][0] - entry[0])
    for _, run in runs:
        entries = [entry for _, entry in run]
        score = sum(score for _, _, score in entries) / len(entries)
        yield Segment(label, score, entries[0][1].start_sec, entries[-1][1].end_sec)
