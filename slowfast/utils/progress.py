"""Progress of a long loop: a bar on a terminal, a line now and then in a file."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from typing import Self, TypeVar

from tqdm import tqdm

__all__ = ["ProgressMeter", "progress"]

logger = logging.getLogger(__name__)

_EVERY_SEC = 30.0
_MEGABYTE = 1e6

Item = TypeVar("Item")


def progress(
    items: Iterable[Item],
    title: str,
    total: int | None = None,
    *,
    unit: str = "it",
) -> Iterator[Item]:
    """Iterate, and show how far it is, as ``ProgressMeter`` does.

    Args:
        items: What to iterate over.
        title: As of ``ProgressMeter``.
        total: Number of items; None: their length, if they have one.
        unit: As of ``ProgressMeter``.

    Yields:
        The items.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with ProgressMeter(title, total, unit=unit) as meter:
        for item in items:
            yield item
            meter.update()


class ProgressMeter:
    """Shows how far a job is, in the main process; a context manager.

    On a terminal it is a bar on standard error. Elsewhere it is a line for every ``every_sec``
    seconds: in the log of a run, or on standard error for a command that has no log. A job that
    ends before the first line is due shows nothing.

    Args:
        title: What is done, e.g. "test: features".
        total: How much there is to do; None if unknown.
        done: How much of it was done before.
        unit: What is counted; "B": bytes, shown in MB.
        every_sec: Time between two lines, in seconds.
    """

    def __init__(
        self,
        title: str,
        total: int | None = None,
        *,
        done: int = 0,
        unit: str = "it",
        every_sec: float = _EVERY_SEC,
    ) -> None:
        self._title, self._total, self._unit, self._every_sec = title, total, unit, every_sec
        self._before = self._done = done
        self._is_shown = _is_main_process() and not (total is not None and done >= total)
        self._start = self._last = time.monotonic()
        self._bar = tqdm(
            desc=title,
            total=total,
            initial=done,
            unit=unit if unit == "B" else f" {unit}",
            unit_scale=unit == "B",
            dynamic_ncols=True,
            leave=False,
            disable=not (self._is_shown and sys.stderr.isatty()),
        )

    def update(self, count: int = 1) -> None:
        """Count what was done since the last call."""
        self._done += count
        self._bar.update(count)
        if not self._is_shown or not self._bar.disable:
            return
        now = time.monotonic()
        if now - self._last >= self._every_sec:
            self._last = now
            _say(self._line(now - self._start))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _line(self, seconds: float) -> str:
        speed = (self._done - self._before) / seconds
        done, unit = self._amount(self._done), "MB" if self._unit == "B" else self._unit
        if not self._total:
            return f"{self._title}: {done} {unit}, {self._amount(speed)} per second"
        share = f"{done} of {self._amount(self._total)} {unit} ({self._done / self._total:.0%})"
        if not speed:
            return f"{self._title}: {share}"
        left = timedelta(seconds=round(max(0, self._total - self._done) / speed))
        return f"{self._title}: {share}, about {left} left"

    def _amount(self, count: float) -> str:
        if self._unit == "B":
            return f"{count / _MEGABYTE:.1f}"
        return str(count) if isinstance(count, int) else f"{count:.3g}"


def _is_main_process() -> bool:
    """Return whether this process may show something, without an import of torch for it."""
    distributed = sys.modules.get("slowfast.utils.distributed")
    return distributed is None or distributed.is_main_process()


def _say(line: str) -> None:
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", line)
    else:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
