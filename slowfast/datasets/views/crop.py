"""Samplers of the crop box of a training view.

A sampler returns a box in pixels of the source; ``views/transform.py`` resizes the box to the crop
size. A new sampler is a class with a method ``sample``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from slowfast.config.problems import ParameterError

__all__ = [
    "Box",
    "CropSampler",
    "RandomResizedCrop",
    "ShiftAndScale",
    "ShortSideCrop",
    "check_range",
]

_TRIES = 10


class Box(NamedTuple):
    """A rectangle of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


class CropSampler(Protocol):
    """Samples the crop box of a view."""

    def sample(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Sample a box inside a frame of the given size."""


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop:
    """A box of random area and aspect ratio at a random position.

    The area is uniform in ``scale`` (as a fraction of the frame), the ratio width / height is
    log-uniform in ``aspect``, the position is uniform. If ten sampled boxes do not fit (very wide
    or tall frames), the largest centered box with an allowed ratio is returned.

    Attributes:
        scale: [lowest, highest] fraction of the area, 0 < lowest <= highest <= 1.
        aspect: [lowest, highest] ratio, 0 < lowest <= highest.

    Raises:
        ValueError: If a range is malformed.
    """

    scale: Sequence[float]
    aspect: Sequence[float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        check_range("scale", self.scale, highest=1.0)
        check_range("aspect", self.aspect)

    def sample(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Sample a box inside a frame.

        Args:
            height: Height of the frame, in pixels.
            width: Width of the frame, in pixels.
            rng: The view's random generator.

        Returns:
            The box.
        """
        low, high = math.log(self.aspect[0]), math.log(self.aspect[1])
        for _ in range(_TRIES):
            area = rng.uniform(self.scale[0], self.scale[1]) * height * width
            aspect = math.exp(rng.uniform(low, high))
            box_w, box_h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < box_h <= height and 0 < box_w <= width:
                return _place(box_h, box_w, height, width, rng)
        aspect = min(max(width / height, self.aspect[0]), self.aspect[1])
        box_w = max(1, min(width, round(height * aspect)))
        box_h = max(1, min(height, round(width / aspect)))
        return Box((height - box_h) // 2, (width - box_w) // 2, box_h, box_w)


@dataclass(frozen=True, kw_only=True)
class ShortSideCrop:
    """PySlowFast's crop of supervised training: random short side, then a random square.

    Both steps are done at once: the square is cut from the source, where its side is
    ``size * short / scale`` pixels, rounded. Scales below the crop size are raised to it.

    Attributes:
        scales: [lowest, highest] short side, in pixels.
        size: Side of the crop, in pixels.
        inverse: Sample 1 / scale uniformly instead of scale (PySlowFast's INV_UNIFORM_SAMPLE).

    Raises:
        ValueError: If the range is malformed.
    """

    scales: Sequence[float]
    size: int
    inverse: bool = False

    def __post_init__(self) -> None:
        check_range("scales", self.scales)

    @property
    def short_side(self) -> int:
        """Short side from which no crop is scaled up, in pixels."""
        return max(round(self.scales[1]), self.size)

    def sample(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Sample a square box inside a frame.

        Args:
            height: Height of the frame, in pixels.
            width: Width of the frame, in pixels.
            rng: The view's random generator.

        Returns:
            The box.
        """
        low, high = self.scales
        scale = 1 / rng.uniform(1 / high, 1 / low) if self.inverse else rng.uniform(low, high)
        side = round(self.size * min(height, width) / max(round(scale), self.size))
        return _place(max(side, 1), max(side, 1), height, width, rng)


@dataclass(frozen=True, kw_only=True)
class ShiftAndScale:
    """A box with the shape of the frame, of random size, at a random position.

    Attributes:
        strength: The sides are uniform in [1 - strength, 1] of the frame's, 0 <= strength < 1.

    Raises:
        ValueError: If the strength is out of range.
    """

    strength: float

    def __post_init__(self) -> None:
        if not 0 <= self.strength < 1:
            raise ParameterError(
                "strength", f"got {self.strength}; expected a number >= 0 and < 1."
            )

    def sample(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Sample a box inside a frame.

        Args:
            height: Height of the frame, in pixels.
            width: Width of the frame, in pixels.
            rng: The video's random generator.

        Returns:
            The box.
        """
        side = rng.uniform(1 - self.strength, 1)
        box_h, box_w = (max(1, round(side * length)) for length in (height, width))
        return _place(box_h, box_w, height, width, rng)


def check_range(name: str, values: Sequence[float], *, highest: float = math.inf) -> None:
    """Check a range of positive numbers.

    Args:
        name: Name of the parameter, for the error message.
        values: The range, [low, high].
        highest: Largest number allowed.

    Raises:
        ValueError: Unless there are two values with 0 < low <= high <= highest.
    """
    if len(values) != 2 or not 0 < values[0] <= values[1] <= highest:
        bound = "" if math.isinf(highest) else f" <= {highest:g}"
        raise ParameterError(
            name, f"got {list(values)}; expected [low, high], 0 < low <= high{bound}."
        )


def check_positive(name: str, size: int) -> None:
    """Check a size in pixels; see ``check_range``."""
    if size < 1:
        raise ParameterError(name, f"got {size}; expected a size in pixels >= 1.")


def _place(box_h: int, box_w: int, height: int, width: int, rng: np.random.Generator) -> Box:
    """Place a box at a random position; all positions are equally likely."""
    top, left = rng.integers(height - box_h + 1), rng.integers(width - box_w + 1)
    return Box(int(top), int(left), box_h, box_w)
