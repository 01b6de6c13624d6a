"""Colour jitter as ONE matrix: drawn as numbers, composed once, applied in one pass.

Brightness, contrast, saturation, hue and grey are all linear in a pixel x and the clip's mean
colour m, so any chain of them is ``P x + Q m``. P and Q are drawn without seeing a frame; with the
mean measured, ``[P | Q m]`` is the 3x4 matrix that OpenCV applies.

Against doing the operations one by one, this differs in two ways, both on purpose: values are
rounded and clipped to [0, 255] once, at the end; and the contrast pivot is the mean of the whole
clip, not of each frame, so that a static scene does not flicker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GREY_WEIGHTS", "ColorJitter", "color_matrix", "hue_rotation"]

# Luma of ITU-R BT.601 for R, G, B, in this order.
GREY_WEIGHTS = (0.299, 0.587, 0.114)

_LUMA = np.ones((3, 1)) @ np.array([GREY_WEIGHTS])  # (3, 3): RGB -> (grey, grey, grey)
# RGB to YIQ, the NTSC colour space: luma and two chroma axes. Its first row is the luma above.
_RGB_TO_YIQ = np.array([GREY_WEIGHTS, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ)
_NOTHING = np.zeros((3, 3))

Matrix = NDArray[np.float64]


def hue_rotation(turn: float) -> Matrix:
    """Rotate the chroma plane of YIQ.

    Unlike a shift of HSV's hue it is linear, and it keeps the luma of every pixel; saturated
    colours come out differently by some grey levels.

    Args:
        turn: Angle as a fraction of the colour circle; 1/3 takes red near green.

    Returns:
        float64 (3, 3), from RGB to RGB.
    """
    cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    rotation = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    return _YIQ_TO_RGB @ rotation @ _RGB_TO_YIQ


@dataclass(frozen=True, kw_only=True)
class ColorJitter:
    """Draws a chain of colour operations.

    Brightness multiplies by a factor; contrast pulls towards the clip's mean grey; saturation pulls
    towards each pixel's grey; hue rotates. The four come in random order. Grey comes last; placed
    anywhere else it would give the same picture, as all four commute with it.

    Attributes:
        brightness, contrast, saturation: Largest relative change b: factors ~ U(max(0, 1-b), 1+b).
        hue: Largest rotation, as a fraction of the colour circle, in [0, 0.5].
        jitter_prob: Probability that a view is jittered at all.
        grey_prob: Probability that a view is turned grey.

    Raises:
        ValueError: If a value is out of range.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float = 0.0
    jitter_prob: float = 1.0
    grey_prob: float = 0.0

    def __post_init__(self) -> None:
        strengths = [self.brightness, self.contrast, self.saturation]
        if min(strengths) < 0:
            raise ValueError(f"DATA.SSL_COLOR_BRI_CON_SAT: got {strengths}; expected numbers >= 0.")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(
                f"DATA.SSL_COLOR_HUE: got {self.hue}; expected a fraction of the colour circle in "
                "[0, 0.5]."
            )
        keys = {"SSL_JITTER_PROB": self.jitter_prob, "COLOR_RND_GRAYSCALE": self.grey_prob}
        for key, prob in keys.items():
            if not 0 <= prob <= 1:
                raise ValueError(f"DATA.{key}: got {prob}; expected a probability in [0, 1].")

    def draw(self, rng: np.random.Generator) -> Matrix | None:
        """Draw the operations of one view.

        Args:
            rng: The view's generator.

        Returns:
            float64 (3, 6), ``[P | Q]``: what to do with a pixel and with the clip's mean colour
            (see ``color_matrix``); None to leave the colours alone.
        """
        jitter = rng.random() < self.jitter_prob
        steps = self._draw_steps(rng) if jitter else []
        grey = rng.random() < self.grey_prob
        if grey:
            steps.append((_LUMA, _NOTHING))
        return _compose(steps) if steps else None

    def _draw_steps(self, rng: np.random.Generator) -> list[tuple[Matrix, Matrix]]:
        """Draw the four factors and their order; operations of strength 0 are left out."""
        bright, contrast, saturation = (
            rng.uniform(max(0.0, 1 - strength), 1 + strength)
            for strength in (self.brightness, self.contrast, self.saturation)
        )
        turn = rng.uniform(-self.hue, self.hue)
        same = np.eye(3)
        steps = [
            (self.brightness, bright * same, _NOTHING),
            (self.contrast, contrast * same, (1 - contrast) * _LUMA),
            (self.saturation, saturation * same + (1 - saturation) * _LUMA, _NOTHING),
            (self.hue, hue_rotation(turn), _NOTHING),
        ]
        order = rng.permutation(len(steps))
        return [steps[i][1:] for i in order if steps[i][0] > 0]


def color_matrix(weights: Matrix, mean: Matrix) -> Matrix:
    """Finish the matrix of a view, now that the clip's mean colour is known.

    Args:
        weights: float64 (3, 6), from ``ColorJitter.draw``.
        mean: float64 (3,), mean R, G, B of the clip, in grey levels.

    Returns:
        float64 (3, 4): ``y = matrix[:, :3] @ x + matrix[:, 3]``.
    """
    return np.column_stack([weights[:, :3], weights[:, 3:] @ mean])


def _compose(steps: list[tuple[Matrix, Matrix]]) -> Matrix:
    """Chain steps ``x -> L x + N mean(x)`` into [P | Q], (3, 6)."""
    pixel, mean = np.eye(3), _NOTHING
    for on_pixel, on_mean in steps:
        # What a step sees as the mean is the mean after the steps before it: (P + Q) m.
        pixel, mean = on_pixel @ pixel, on_pixel @ mean + on_mean @ (pixel + mean)
    return np.column_stack([pixel, mean])
