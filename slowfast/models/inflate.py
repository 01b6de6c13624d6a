"""From weights of images to weights of video (Carreira and Zisserman, CVPR 2017, section 2.4).

Legend: O output channels, I input channels, t h w kernel.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["inflate"]


def inflate(value: Tensor, like: Tensor) -> Tensor | None:
    """Repeat a kernel in time, divided by its new length.

    On a clip of a still picture the inflated layer computes what the image's layer did.

    Args:
        value: (O, I, h, w), or (O, I, 1, h, w).
        like: The model's own tensor, (O, I, t, h, w).

    Returns:
        (O, I, t, h, w), or None when the shapes are not those of a kernel and its inflation.
    """
    if value.dim() == 4:
        value = value.unsqueeze(2)
    if value.dim() != 5 or like.dim() != 5 or value.shape[2] != 1:
        return None
    if value.shape[:2] != like.shape[:2] or value.shape[3:] != like.shape[3:]:
        return None
    return value.expand_as(like) / like.shape[2]
