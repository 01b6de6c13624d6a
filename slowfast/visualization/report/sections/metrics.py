"""The metrics of ``results.json``: before and after training, intervals, chance level."""

from __future__ import annotations

from typing import Any

from slowfast.visualization.pages.render import format_percent
from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section, make_section

__all__ = ["metrics", "with_interval"]


def metrics(run: Run) -> Section | None:
    """Show the table of metrics.

    Args:
        run: The run.

    Returns:
        The section; None if nothing was measured.
    """
    if not run.metrics:
        return None
    rows = [
        [
            metric.name,
            with_interval(metric.before, metric.before_interval),
            with_interval(metric.after, metric.interval),
            metric.chance,
            metric.count,
        ]
        for metric in run.metrics
    ]
    return make_section("Metrics", "report/metrics.html", rows=rows)


def with_interval(
    value: float | None, interval: tuple[float, float] | None
) -> dict[str, Any] | None:
    """Format a value with its interval for a table.

    Args:
        value: A fraction; None: not measured.
        interval: Its 95 % interval; None: unknown.

    Returns:
        A field of a table, sorted by the value.
    """
    if value is None:
        return None
    text = format_percent(value)
    if interval is not None:
        text += f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
    return {"text": text, "sort": value}
