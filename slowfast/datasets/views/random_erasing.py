"""Random erasing of boxes of a clip, the same in all frames.

Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, with timm's areas, aspect ratios and
contents, which PySlowFast applies to a cube over time.

Legend: T frames, S side of the crop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.config.problems import ParameterError
from slowfast.datasets.views.clip_operations import Frames
from slowfast.datasets.views.crop import Box
from slowfast.utils.registry import nearest

__all__ = ["MODES", "Patch", "RandomErasing", "erase"]

MODES = ("const", "rand", "pixel")

_AREA = (0.02, 1 / 3)  # of the frame, for all boxes together
_ASPECT = (math.log(0.3), math.log(1 / 0.3))  # of height / width
_TRIES = 100
_MAX_BYTE = 255


class Patch(NamedTuple):
    """A box and its new content.

    Attributes:
        box: The box.
        pixels: uint8, (height, width, 3) or (1, 1, 3).
    """

    box: Box
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class RandomErasing:
    """Samples the boxes of a clip.

    Attributes:
        prob: Probability that a clip is erased.
        mode: One of MODES: the mean, one random color per box, or noise.
        max_count: Largest number of boxes.
        mean: Mean of the contents for R, G, B, in units of [0, 1].
        std: Standard deviation, likewise.

    Raises:
        ValueError: If a value is out of range.
    """

    prob: float
    mode: str = "pixel"
    max_count: int = 1
    mean: Sequence[float] = (0.45, 0.45, 0.45)
    std: Sequence[float] = (0.225, 0.225, 0.225)

    def __post_init__(self) -> None:
        if not 0 <= self.prob <= 1:
            raise ParameterError("prob", f"got {self.prob}; expected a probability in [0, 1].")
        if self.mode not in MODES:
            raise ParameterError("mode", f"got {self.mode!r}. {nearest(str(self.mode), MODES)}")
        if self.max_count < 1:
            raise ParameterError("max_count", f"got {self.max_count}; expected 1 or more.")

    def sample(self, size: int, rng: np.random.Generator) -> tuple[Patch, ...]:
        """Sample the patches of a clip.

        Args:
            size: Side S of the frames, in pixels.
            rng: The view's random generator.

        Returns:
            The patches, maybe none.
        """
        if rng.random() >= self.prob:
            return ()
        count = int(rng.integers(1, self.max_count + 1))
        boxes = [self._sample_box(size, count, rng) for _ in range(count)]
        return tuple(Patch(box, self._sample_pixels(box, rng)) for box in boxes if box is not None)

    def _sample_box(self, size: int, count: int, rng: np.random.Generator) -> Box | None:
        """Sample a box that is smaller than the frame on both axes; None after 100 failures."""
        for _ in range(_TRIES):
            area = rng.uniform(*_AREA) * size * size / count
            aspect = math.exp(rng.uniform(*_ASPECT))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < height < size and 0 < width < size:
                top, left = rng.integers(size - height + 1), rng.integers(size - width + 1)
                return Box(int(top), int(left), height, width)
        return None

    def _sample_pixels(self, box: Box, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Sample the content of a box: the normal distribution of the model's input, as uint8."""
        shape = (box.height, box.width, 3) if self.mode == "pixel" else (1, 1, 3)
        noise = np.zeros(shape) if self.mode == "const" else rng.standard_normal(shape)
        values = np.rint(_MAX_BYTE * (np.array(self.mean) + np.array(self.std) * noise))
        return values.clip(0, _MAX_BYTE).astype(np.uint8)


def erase(frames: Frames, patches: Sequence[Patch]) -> None:
    """Replace boxes in all frames, in place.

    Args:
        frames: uint8 (T, S, S, 3).
        patches: The boxes and their contents.
    """
    for (top, left, height, width), pixels in patches:
        frames[:, top : top + height, left : left + width] = pixels
