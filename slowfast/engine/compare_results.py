"""Compares two ``results.json`` of the same weights."""

from __future__ import annotations

from typing import Any, NamedTuple

from slowfast.utils.statistics import wilson_interval

__all__ = ["Comparison", "compare_results"]

_ROUNDING = 1e-6  # values are stored with six digits


class Comparison(NamedTuple):
    """A stored value and its new measurement.

    Attributes:
        metric: Name of the metric.
        column: "after" or "value".
        stored: The stored value; None if there is none.
        measured: The new value; None if it was not measured.
        allowed: Allowed difference.
    """

    metric: str
    column: str
    stored: float | None
    measured: float | None
    allowed: float

    @property
    def is_same(self) -> bool:
        """Whether both values exist and differ by no more than allowed."""
        if self.stored is None or self.measured is None:
            return False
        return abs(self.stored - self.measured) <= self.allowed


def compare_results(
    stored: dict[str, Any], measured: dict[str, Any], clips: int = 0
) -> list[Comparison]:
    """Compare every record.

    Args:
        stored: Content of a results.json.
        measured: Content of another one.
        clips: Allowed difference of accuracies, in videos of the test split; 0: equal values.

    Returns:
        One comparison per metric and column of either file, in the order of the stored ones.
    """
    old, new = _by_place(stored), _by_place(measured)
    counts = {place: record["count"] for place, record in old.items() if _is_share(record)}
    most = max(counts.values(), default=0)
    comparisons = []
    for place in dict.fromkeys([*old, *new]):
        count = counts.get(place, most)  # other values are means of accuracies over all videos
        allowed = clips / count + _ROUNDING if clips and count else 0.0
        before, now = (found.get(place, {}).get("value") for found in (old, new))
        comparisons.append(Comparison(*place, before, now, allowed))
    return comparisons


def _is_share(record: dict[str, Any]) -> bool:
    """Return whether a value is a proportion of videos, i.e. has a Wilson interval."""
    if not record["count"] or record["interval"] is None:
        return False
    pairs = zip(record["interval"], wilson_interval(record["value"], record["count"]), strict=True)
    return all(abs(stored - wilson) < 10 * _ROUNDING for stored, wilson in pairs)


def _by_place(content: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(record["metric"], record["column"]): record for record in content.get("records", [])}
