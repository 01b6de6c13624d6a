"""Inflates image weights to video weights (Carreira and Zisserman, CVPR 2017, section 2.4).

Legend: O output channels, I input channels, t h w kernel.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["inflate"]


def inflate(value: Tensor, like: Tensor) -> Tensor | None:
    """Repeat a kernel in time, divided by its length in time.

    On a clip of one repeated frame, the inflated layer computes the output of the image layer.

    Args:
        value: (O, I, h, w), or (O, I, 1, h, w).
        like: Tensor of the model, (O, I, t, h, w).

    Returns:
        (O, I, t, h, w), or None if the shapes do not match.
    """
    if value.dim() == 4:
        value = value.unsqueeze(2)
    if value.dim() != 5 or like.dim() != 5 or value.shape[2] != 1:
        return None
    if value.shape[:2] != like.shape[:2] or value.shape[3:] != like.shape[3:]:
        return None
    return value.expand_as(like) / like.shape[2]
