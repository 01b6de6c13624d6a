"""From a decoded frame to the RGB picture that is to be seen.

Legend: H W height and width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

__all__ = ["FrameShape", "quarter_turns", "to_rgb"]

_SCALING = Interpolation.AREA | Interpolation.FULL_CHR_H_INT
"""Area averaging. Without the flag FFmpeg's fast path darkens scaled pictures by two levels."""

_KNOWN_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
"""AVColorSpace values that FFmpeg converts from."""

_BT2020_CONSTANT = 10


class FrameShape(NamedTuple):
    """How coded frames are to be shown.

    Attributes:
        width: Coded width, in pixels.
        height: Coded height, in pixels.
        pixel_aspect: Width of a pixel by its height (sample aspect ratio).
        quarter_turns: Turns by 90 degrees, counter-clockwise, that make the picture upright.
    """

    width: int
    height: int
    pixel_aspect: float = 1.0
    quarter_turns: int = 0

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height with square pixels, upright: what a player shows."""
        return self._upright(self._square_pixels())

    def scaled(self, short_side: int | None) -> tuple[int, int]:
        """Return width and height to scale a coded frame to, before it is turned.

        Args:
            short_side: Wanted length of the shorter side, in pixels; None: as it is. Never up.
        """
        width, height = self._square_pixels()
        short = min(width, height)
        if short_side is None or short <= short_side:
            return width, height
        long = max(short_side, _round(max(width, height) * short_side / short))
        return (short_side, long) if width <= height else (long, short_side)

    def _square_pixels(self) -> tuple[int, int]:
        return max(1, _round(self.width * self.pixel_aspect)), self.height

    def _upright(self, size: tuple[int, int]) -> tuple[int, int]:
        return size[::-1] if self.quarter_turns % 2 else size



XXX
def _nearest_matrix(colorspace: int) -> dict[str, Colorspace]:
    """Replace a colour matrix that FFmpeg refuses (ICtCp, YCgCo, reserved) by the likeliest."""
    if colorspace in _KNOWN_MATRICES:
        return {}
    matrix = Colorspace.BT2020 if colorspace == _BT2020_CONSTANT else Colorspace.ITU601
    return {"src_colorspace": matrix, "dst_colorspace": Colorspace.ITU601}


def _round(value: float) -> int:
    return math.floor(value + 0.5)


