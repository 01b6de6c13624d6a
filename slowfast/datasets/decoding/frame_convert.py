"""Conversion of a decoded frame to the RGB image that is displayed.

Legend: H W height and width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slowfast.utils.media_libraries import av

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["FrameConverter"]

_HALF_CHROMA = frozenset({"yuv420p", "yuvj420p"})
"""Formats that are scaled first and converted then: a sixth of the time, and as exact. Color keeps
half the resolution of brightness, as in a video of the smaller size."""

_KNOWN_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
"""AVColorSpace values that FFmpeg converts from."""

_BT2020_CONSTANT = 10

_MAX_PIXEL_ASPECT = 10.0
"""Damaged headers may have larger values, which would lead to frames of a gigabyte."""

_MAX_GROWTH = 4
"""A container may declare more pixels than its frames have by that factor; else it is wrong."""


class FrameConverter:
    """How the frames of a track are to be shown: upright, with square pixels.

    Args:
        width: Coded width, in pixels.
        height: Coded height, in pixels.
        pixel_aspect: Width of a coded pixel by its height. Rows are stretched by it.

    Attributes:
        pixel_aspect: As given; 1 where that cannot be true.
        quarter_turns: Turns by 90 degrees, counter-clockwise; None before ``look_at``.
    """

    def __init__(self, width: int, height: int, pixel_aspect: float) -> None:
        is_plausible = 1 / _MAX_PIXEL_ASPECT <= pixel_aspect <= _MAX_PIXEL_ASPECT
        self.pixel_aspect = pixel_aspect if is_plausible else 1.0
        self.quarter_turns: int | None = None
        self._size = max(1, _round(width * self.pixel_aspect)), height
        reformatter = av.video.reformatter
        self._scaler, self._converter = (reformatter.VideoReformatter() for _ in range(2))
        self._area = reformatter.Interpolation.AREA
        # Area averaging. Without the flag FFmpeg darkens what it scales and converts by two levels.
        self._conversion = self._area | reformatter.Interpolation.FULL_CHR_H_INT

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as shown, in pixels."""
        return self._size[::-1] if (self.quarter_turns or 0) % 2 else self._size

    def look_at(self, frame: VideoFrame) -> None:
        """Learn rotation and size from a track's first decoded frame; later ones change nothing."""
        if self.quarter_turns is not None:
            return
        self.quarter_turns = round(frame.rotation / 90) % 4
        width, height = self._size
        if width * height > _MAX_GROWTH * self.pixel_aspect * frame.width * frame.height:
            self._size = max(1, _round(frame.width * self.pixel_aspect)), frame.height

    def to_rgb(self, frame: VideoFrame, short_side: int | None) -> NDArray[np.uint8]:
        """Scale a frame, convert it and turn it upright.

        Args:
            frame: Of any pixel format. One of another size than the track's comes out alike.
            short_side: Length of the shorter side, in pixels, never up; None: as it is.

        Returns:
            uint8 (H, W, 3).
        """
        width, height = _scale_down(self._size, short_side)
        matrix = _nearest_matrix(frame.colorspace)
        size: dict[str, Any] = {"width": width, "height": height, "threads": 1}
        if frame.format.name in _HALF_CHROMA and (width, height) != (frame.width, frame.height):
            frame = self._scaler.reformat(frame, interpolation=self._area, **size, **matrix)
            matrix = {}
        rgb = self._converter.reformat(
            frame, format="rgb24", interpolation=self._conversion, **size, **matrix
        )
        return np.rot90(rgb.to_ndarray(), self.quarter_turns or 0)


def _scale_down(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """Scale width and height to a short side, unless they are smaller."""
    short, long = min(size), max(size)
    if short_side is None or short <= short_side:
        return size
    long = max(short_side, _round(long * short_side / short))
    return (short_side, long) if size[0] <= size[1] else (long, short_side)


def _nearest_matrix(colorspace: int) -> dict[str, Any]:
    """Replace a color matrix that FFmpeg refuses (ICtCp, YCgCo, reserved) by the likeliest."""
    if colorspace in _KNOWN_MATRICES:
        return {}
    spaces = av.video.reformatter.Colorspace
    matrix = spaces.BT2020 if colorspace == _BT2020_CONSTANT else spaces.ITU601
    return {"src_colorspace": matrix, "dst_colorspace": spaces.ITU601}


def _round(value: float) -> int:
    return math.floor(value + 0.5)
