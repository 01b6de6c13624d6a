"""The operations of RandAugment on the uint8 frames of a clip.

Every operation has the same parameter for all frames of a clip. Those that depend on an image's
histogram (AutoContrast, Equalize, Contrast) use that of each frame, as PIL does for single images.
Results are those of PIL: equal for lookup tables, within a gray level or two for the others.

Legend: T frames, H W height and width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.utils.media_libraries import cv2

__all__ = ["OPERATIONS", "ClipOperation", "Frames", "apply_operations"]

Frames = NDArray[np.uint8]

FILL = 128
"""Gray level of positions outside of the frame."""

_LEVELS = 256
_VALUES = np.arange(_LEVELS)
# PIL's luma, in units of 2**-16.
_LUMA = np.array([[19595, 38470, 7471]], dtype=np.float32)
_LUMA_UNIT = 1 << 16
# PIL's SMOOTH filter.
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], dtype=np.float32) / 13
# PIL truncates where OpenCV rounds: round(x - 0.498) is the integer part of x unless x lies less
# than 0.002 below the next integer, so that integers stay what they are.
_TRUNCATE = -0.498


class ClipOperation(NamedTuple):
    """An operation with its parameter, the same for all frames.

    Attributes:
        name: A key of OPERATIONS.
        value: Its parameter; see there.
        cubic: Interpolate with cubic convolution instead of linearly, in geometric operations.
    """

    name: str
    value: float = 0.0
    cubic: bool = False


def apply_operations(frames: Frames, operations: tuple[ClipOperation, ...]) -> Frames:
    """Apply operations one after the other.

    Args:
        frames: uint8 (T, H, W, 3), RGB; not changed.
        operations: The operations.

    Returns:
        uint8 (T, H, W, 3); the input itself if there are no operations.
    """
    for operation in operations:
        frames = OPERATIONS[operation.name](np.ascontiguousarray(frames), operation)
    return frames


def _look_up(frames: Frames, table: NDArray[np.uint8]) -> Frames:
    """Replace values by a table: (256,), or (256, 3) with a column per channel."""
    tall = frames.reshape(-1, frames.shape[2], 3)
    out = np.empty_like(tall)
    cv2.LUT(tall, table.reshape(_LEVELS, 1, -1), dst=out)
    return out.reshape(frames.shape)


def _look_up_each(
    frames: Frames, make_table: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> Frames:
    """Replace the values of each frame by a table that is made from it."""
    return np.stack([_look_up(frame[None], make_table(frame))[0] for frame in frames])


def _per_channel(
    table_of: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
) -> Callable[[Frames, ClipOperation], Frames]:
    """Make an operation of a function from the histogram of a channel to its table."""

    def make_table(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        counts = [
            cv2.calcHist([frame], [c], None, [_LEVELS], [0, _LEVELS]).ravel().astype(np.int64)
            for c in range(3)
        ]
        return np.stack([table_of(count) for count in counts], axis=1)

    return lambda frames, _: _look_up_each(frames, make_table)


def _stretch(count: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Map the lowest value of a channel to 0 and the highest to 255."""
    seen = np.flatnonzero(count)
    low, high = int(seen[0]), int(seen[-1])
    if low == high:
        return _VALUES.astype(np.uint8)
    scale = (_LEVELS - 1) / (high - low)
    return (_VALUES * scale - low * scale).astype(np.int64).clip(0, _LEVELS - 1).astype(np.uint8)


def _equalize(count: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Map the values of a channel such that they are equally frequent."""
    seen = count[count > 0]
    step = int(seen.sum() - seen[-1]) // (_LEVELS - 1)
    if step == 0:
        return _VALUES.astype(np.uint8)
    below = np.concatenate([[0], count.cumsum()[:-1]])
    return ((step // 2 + below) // step).clip(0, _LEVELS - 1).astype(np.uint8)


def _blend_table(base: int, factor: float) -> NDArray[np.uint8]:
    """Return the table of ``base + factor (v - base)``, truncated, in float32 as PIL."""
    mixed = np.float32(base) + np.float32(factor) * (_VALUES - base).astype(np.float32)
    return mixed.clip(0, _LEVELS - 1).astype(np.uint8)


def _contrast(frames: Frames, operation: ClipOperation) -> Frames:
    def make_table(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # float32 holds these sums exactly: they are below 2**24.
        luma = cv2.transform(frame.astype(np.float32), _LUMA)
        gray = np.floor((luma + _LUMA_UNIT // 2) / _LUMA_UNIT)
        return _blend_table(int(gray.mean(dtype=np.float64) + 0.5), operation.value)

    return _look_up_each(frames, make_table)


def _blend(base: Frames, frames: Frames, factor: float) -> Frames:
    """Return ``base + factor (frames - base)``, clipped; written to ``base``."""
    tall = (-1, frames.shape[2], 3)
    cv2.addWeighted(
        base.reshape(tall), 1 - factor, frames.reshape(tall), factor, _TRUNCATE, base.reshape(tall)
    )
    return base


def _color(frames: Frames, operation: ClipOperation) -> Frames:
    gray = cv2.cvtColor(frames.reshape(-1, frames.shape[2], 3), cv2.COLOR_RGB2GRAY)
    base = np.empty_like(frames)
    cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB, dst=base.reshape(-1, frames.shape[2], 3))
    return _blend(base, frames, operation.value)


def _sharpness(frames: Frames, operation: ClipOperation) -> Frames:
    base = frames.copy()  # PIL leaves the border unfiltered
    for frame, smooth in zip(frames, base, strict=True):
        smooth[1:-1, 1:-1] = cv2.filter2D(frame, -1, _SMOOTH)[1:-1, 1:-1]
    return _blend(base, frames, operation.value)


def _table(make: Callable[[float], NDArray[np.int64]]) -> Callable[[Frames, ClipOperation], Frames]:
    """Make an operation of a function from its parameter to a table."""
    return lambda frames, operation: _look_up(frames, make(operation.value).astype(np.uint8))


def _warp(
    matrix_of: Callable[[float, int, int], tuple[float, float, float, float, float, float]],
) -> Callable[[Frames, ClipOperation], Frames]:
    """Make a geometric operation.

    Args:
        matrix_of: (value, height, width) -> (a, b, c, d, e, f): the point (x, y) of the output is
            (a x + b y + c, d x + e y + f) of the input, where the center of the first pixel is
            (0.5, 0.5).
    """

    def apply(frames: Frames, operation: ClipOperation) -> Frames:
        height, width = frames.shape[1:3]
        a, b, c, d, e, f = matrix_of(operation.value, height, width)
        # OpenCV counts from pixel centers.
        matrix = np.array(
            [[a, b, c + (a + b - 1) / 2], [d, e, f + (d + e - 1) / 2]], dtype=np.float64
        )
        flags = (cv2.INTER_CUBIC if operation.cubic else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
        out = np.empty_like(frames)
        for source, target in zip(frames, out, strict=True):
            cv2.warpAffine(source, matrix, (width, height), target, flags, cv2.BORDER_REPLICATE)
        x, y = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
        from_x, from_y = a * x + b * y + c, d * x + e * y + f  # (H, W)
        outside = (from_x < 0) | (from_x >= width) | (from_y < 0) | (from_y >= height)
        out[:, outside] = FILL
        return out

    return apply


def _rotation(
    degrees: float, height: int, width: int
) -> tuple[float, float, float, float, float, float]:
    """Rotate counterclockwise around the center."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = width / 2, height / 2
    return cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y


OPERATIONS: dict[str, Callable[[Frames, ClipOperation], Frames]] = {
    "AutoContrast": _per_channel(_stretch),
    "Equalize": _per_channel(_equalize),
    "Invert": _table(lambda _: _LEVELS - 1 - _VALUES),
    "Posterize": _table(lambda bits: _VALUES & ~(2 ** (8 - int(bits)) - 1)),
    "Solarize": _table(lambda limit: np.where(limit > _VALUES, _VALUES, _LEVELS - 1 - _VALUES)),
    "SolarizeAdd": _table(
        lambda add: np.where(_VALUES < _LEVELS // 2, _VALUES + int(add), _VALUES).clip(0, 255)
    ),
    "Brightness": lambda frames, operation: _look_up(frames, _blend_table(0, operation.value)),
    "Contrast": _contrast,
    "Color": _color,
    "Sharpness": _sharpness,
    "Rotate": _warp(_rotation),
    "ShearX": _warp(lambda factor, height, width: (1, factor, 0, 0, 1, 0)),
    "ShearY": _warp(lambda factor, height, width: (1, 0, 0, factor, 1, 0)),
    "TranslateXRel": _warp(lambda share, height, width: (1, 0, share * width, 0, 1, 0)),
    "TranslateYRel": _warp(lambda share, height, width: (1, 0, 0, 0, 1, share * height)),
}
"""Name -> ``(frames, operation) -> frames``. The parameter is in Posterize the number of bits that
are kept, in Solarize the value from which values are inverted, in SolarizeAdd the number that is
added to values below 128, in Brightness, Contrast, Color and Sharpness a factor (1: no change), in
Rotate degrees counterclockwise, in the other geometric operations a fraction of the length."""
