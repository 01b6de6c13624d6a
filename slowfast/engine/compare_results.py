"""Two ``results.json`` of the same weights: are they the same?"""

from __future__ import annotations

from typing import Any, NamedTuple

from slowfast.utils.statistics import wilson_interval

__all__ = ["Comparison", "compare_results"]

_ROUNDING = 1e-6  # values are stored with six digits


class Comparison(NamedTuple):
    """One number, twice.

    Attributes:
        metric: Its name.
        column: "after" or "value".
        stored: The number on record; None where it is not on record.
        measured: The number now; None where it was not measured.
        allowed: By how much they may differ.
    """

    metric: str
    column: str
    stored: float | None
    measured: float | None
    allowed: float

    @property
    def is_same(self) -> bool:
        """Whether both are there and as close as they must be."""
        if self.stored is None or self.measured is None:
            return False
        return abs(self.stored - self.measured) <= self.allowed


def compare_results(
    stored: dict[str, Any], measured: dict[str, Any], clips: int = 0
) -> list[Comparison]:
    """Compare every record.

    Args:
        stored: A results.json.
        measured: Another.
        clips: By how many videos of the test split a share may differ: 0, equal to the last digit.

    Returns:
        One comparison per metric and column of either, in the order of the stored ones.
    """
    old, new = _by_place(stored), _by_place(measured)
    counts = {place: record["count"] for place, record in old.items() if _is_share(record)}
    most = max(counts.values(), default=0)
    comparisons = []
    for place in dict.fromkeys([*old, *new]):
        count = counts.get(place, most)  # what is no share of videos is a mean of shares of all
        allowed = clips / count + _ROUNDING if clips and count else 0.0
        before, now = (found.get(place, {}).get("value") for found in (old, new))
        comparisons.append(Comparison(*place, before, now, allowed))
    return comparisons


def _is_share(record: dict[str, Any]) -> bool:
    """Say whether a value is a share of videos: those alone have Wilson's interval."""
    if not record["count"] or record["interval"] is None:
        return False
    pairs = zip(record["interval"], wilson_interval(record["value"], record["count"]), strict=True)
    return all(abs(stored - wilson) < 10 * _ROUNDING for stored, wilson in pairs)


def _by_place(content: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(record["metric"], record["column"]): record for record in content.get("records", [])}
