"""Color jitter as one matrix: four random parameters, applied in one pass.

Brightness, contrast, saturation, hue and grayscale are simple in luma and chroma (YIQ). With
factors b, c, s, an angle a and the clip's mean luma m:

    luma    ->  b (c luma + (1 - c) m)
    chroma  ->  b c s R(a) chroma            (gray: s = 0)

This equals the usual four operations one after the other, in any order: each is linear, the last
two keep luma and the first two treat all colors alike, so they commute, and a random order would
change nothing. There are two intended differences to the sequence of operations on uint8: values
are rounded and clipped once, at the end; and the pivot of contrast is the mean of the clip, not of
each frame, so that contrast does not flicker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.config.problems import ParameterError

__all__ = ["GRAY_WEIGHTS", "ColorJitter", "ColorParams", "color_matrix"]

# Luma of ITU-R BT.601 for R, G, B, in this order.
GRAY_WEIGHTS = (0.299, 0.587, 0.114)

# RGB to YIQ, the NTSC color space: luma and two chroma components, which are 0 for gray.
_RGB_TO_YIQ = np.array([GRAY_WEIGHTS, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ)


class ColorParams(NamedTuple):
    """The parameters of the color jitter of a view.

    Attributes:
        brightness: Factor b of all values.
        contrast: Factor c of the distance to the clip's mean luma.
        saturation: Factor s of the distance to the luma of each pixel; 0 gives grayscale.
        hue: Rotation a of the chroma, as a fraction of the color circle: 1/3 turns red nearly into
            green. It is linear and keeps the luma of every pixel; a shift of the hue in HSV does
            neither and differs by some gray levels for saturated colors.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ColorJitter:
    """Samples the color jitter of a view.

    Attributes:
        brightness: Largest relative change x: the factor is sampled from U(max(0, 1 - x), 1 + x).
        contrast: Likewise.
        saturation: Likewise.
        hue: Largest rotation, as a fraction of the color circle, in [0, 0.5].
        jitter_prob: Probability that the colors of a view are jittered.
        gray_prob: Probability that a view is converted to grayscale.

    Raises:
        ValueError: If a value is out of range.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float = 0.0
    jitter_prob: float = 1.0
    gray_prob: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if getattr(self, name) < 0:
                raise ParameterError(name, f"got {getattr(self, name)}; expected a number >= 0.")
        if not 0 <= self.hue <= 0.5:
            raise ParameterError(
                "hue", f"got {self.hue}; expected a fraction of the color circle in [0, 0.5]."
            )
        for name, prob in (("jitter_prob", self.jitter_prob), ("gray_prob", self.gray_prob)):
            if not 0 <= prob <= 1:
                raise ParameterError(name, f"got {prob}; expected a probability in [0, 1].")

    def sample(self, rng: np.random.Generator) -> ColorParams | None:
        """Sample the color jitter of one view.

        Returns:
            The parameters; None if the colors do not change.
        """
        color = ColorParams()
        if rng.random() < self.jitter_prob:
            strengths = (self.brightness, self.contrast, self.saturation)
            factors = (rng.uniform(max(0.0, 1 - x), 1 + x) for x in strengths)
            color = ColorParams(*factors)._replace(hue=rng.uniform(-self.hue, self.hue))
        if rng.random() < self.gray_prob:
            color = color._replace(saturation=0.0)
        return None if color == ColorParams() else color


def color_matrix(color: ColorParams, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine map of RGB values that color parameters describe.

    Args:
        color: The parameters.
        mean: float64 (3,), mean R, G, B of the clip.

    Returns:
        float64 (3, 4): ``y = matrix[:, :3] @ x + matrix[:, 3]`` for a pixel x in R, G, B, in the
        units of ``mean``.
    """
    angle = 2 * math.pi * color.hue
    cos, sin = color.saturation * math.cos(angle), color.saturation * math.sin(angle)
    in_yiq = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    pixel = color.brightness * color.contrast * (_YIQ_TO_RGB @ in_yiq @ _RGB_TO_YIQ)
    pivot = color.brightness * (1 - color.contrast) * (_RGB_TO_YIQ[0] @ mean)
    return np.column_stack([pixel, np.full(3, pivot)])
