"""Which frames of a video are shown at given instants."""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["Window"]

_NEVER = -(2**62)


class Window:
    """Which frames are shown at ascending instants: for each the last that starts by then.

    Args:
        limits: The instants, in ticks.
        end: Where the track ends, in ticks.

    Attributes:
        target: Where decoding has to start: the first instant, or the last one of the track.
    """

    def __init__(self, limits: list[int], end: int) -> None:
        self.limits = limits
        self.target = min(limits[0], end - 1)
        self.clear()

    @property
    def bounds(self) -> tuple[int, int]:
        """First and last instant."""
        return self.limits[0], self.limits[-1]

    def clear(self) -> None:
        """Forget the packets that came by."""
        self._latest = [_NEVER] * len(self.limits)

    def slot(self, pts: int) -> int:
        """Return the first instant that a frame could be shown at; ``len(limits)``: at none."""
        return bisect_left(self.limits, pts)

    def may_show(self, pts: int | None) -> bool:
        """Whether a packet's frame may be shown; note that the packet has come by.

        It is not when a packet was seen whose frame starts later and still before the instant. A
        frame with B-frames before it is decoded before them, so this nearly always is known.
        """
        slot = len(self.limits) if pts is None else self.slot(pts)
        if pts is None or slot == len(self.limits):
            return True
        if self._latest[slot] > pts:
            return False
        self._latest[slot] = pts
        return True
