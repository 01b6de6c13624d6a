"""Where a training view is cut out of a frame.

A sampler draws a box in source pixels; scaling it to the crop size is the same operation for all of
them (``datasets/transform.py``). Adding a way to crop is adding a class with a ``draw`` method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from slowfast.config.problems import ParameterError

__all__ = ["Box", "CropSampler", "RandomResizedCrop", "ShortSideCrop", "check_range"]

_TRIES = 10


class Box(NamedTuple):
    """A rectangle of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


class CropSampler(Protocol):
    """Draws the box of a view."""

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Draw a box inside a frame of that size."""


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop:
    """A box of random area and aspect ratio at a random place.

    The area is uniform in ``scale`` (as a fraction of the frame), the ratio width / height
    log-uniform in ``aspect``, the place uniform over all positions. After ten boxes that do not fit
    (very long frames) it is the largest centered box whose ratio is allowed.

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

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Draw a box inside a frame.

        Args:
            height: Of the frame, in pixels.
            width: Of the frame, in pixels.
            rng: The view's generator.

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
    """PySlowFast's supervised crop: short side to a random length, then a random square.

    Done in one step: the square is cut from the source, where it has ``size * short / scale``
    pixels, rounded. A scale below the crop size counts as the crop size.

    Attributes:
        scales: [lowest, highest] short side, in pixels.
        size: Side of the crop, in pixels.
        inverse: Draw 1 / scale uniformly instead of the scale (PySlowFast's INV_UNIFORM_SAMPLE).

    Raises:
        ValueError: If the range is malformed.
    """

    scales: Sequence[float]
    size: int
    inverse: bool = False

    def __post_init__(self) -> None:
        check_range("scales", self.scales)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Draw a square box inside a frame.

        Args:
            height: Of the frame, in pixels.
            width: Of the frame, in pixels.
            rng: The view's generator.

        Returns:
            The box.
        """
        low, high = self.scales
        scale = 1 / rng.uniform(1 / high, 1 / low) if self.inverse else rng.uniform(low, high)
        side = round(self.size * min(height, width) / max(round(scale), self.size))
        return _place(max(side, 1), max(side, 1), height, width, rng)


def check_range(name: str, values: Sequence[float], *, highest: float = math.inf) -> None:
    """Refuse what is not a range of positive numbers.

    Args:
        name: Of the parameter, for the message.
        values: Should be [low, high].
        highest: Largest number allowed.

    Raises:
        ValueError: Unless there are two values with 0 < low <= high <= highest.
    """
    if len(values) != 2 or not 0 < values[0] <= values[1] <= highest:
        bound = "" if math.isinf(highest) else f" <= {highest:g}"
        raise ParameterError(
            name, f"got {list(values)}; expected [low, high], 0 < low <= high{bound}."
        )


def _place(box_h: int, box_w: int, height: int, width: int, rng: np.random.Generator) -> Box:
    """Put a box at a random place, every position equally likely."""
    top, left = rng.integers(height - box_h + 1), rng.integers(width - box_w + 1)
    return Box(int(top), int(left), box_h, box_w)
