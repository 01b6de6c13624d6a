"""Crops of float clips, for scripts: PySlowFast's functions and arguments.

The data loaders crop uint8 frames instead (``views/transform.py``). Random numbers are those of
torch's global generator. ``images`` are float (..., H, W), such as (C, T, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.config.problems import ParameterError
from slowfast.datasets.views.crop import RandomResizedCrop

__all__ = [
    "horizontal_flip",
    "random_crop",
    "random_short_side_scale_jitter",
    "spatial_sampling",
    "tensor_normalize",
    "uniform_crop",
]


def tensor_normalize(
    tensor: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor
) -> Tensor:
    """Normalize frames whose channels come last.

    Args:
        tensor: (..., 3); uint8 is scaled to [0, 1] first.
        mean: Mean of each channel.
        std: Standard deviation of each channel.

    Returns:
        float (..., 3).
    """
    pixels = tensor.float() / 255.0 if tensor.dtype == torch.uint8 else tensor
    return (pixels - torch.as_tensor(mean)) / torch.as_tensor(std)


def random_short_side_scale_jitter(
    images: Tensor,
    min_size: float,
    max_size: float,
    boxes: Any = None,
    inverse_uniform_sampling: bool = False,
) -> tuple[Tensor, None]:
    """Resize so that the short side has a random length.

    Args:
        images: float (A, B, H, W).
        min_size: Lowest length, in pixels.
        max_size: Highest length, in pixels.
        boxes: None; detection is not built.
        inverse_uniform_sampling: Sample 1 / length uniformly instead of the length.

    Returns:
        The resized images, bilinear, and None for the boxes.
    """
    _no_boxes(boxes)
    if inverse_uniform_sampling:
        size = round(1.0 / _uniform(1.0 / max_size, 1.0 / min_size))
    else:
        size = round(_uniform(min_size, max_size))
    return _resize_short_side(images, size), None


def random_crop(images: Tensor, size: int, boxes: Any = None) -> tuple[Tensor, None]:
    """Crop a square at a random position.

    Args:
        images: float (..., H, W), not smaller than the crop.
        size: Side of the crop, in pixels.
        boxes: None; detection is not built.

    Returns:
        (..., size, size), and None for the boxes.
    """
    _no_boxes(boxes)
    _check_size(images, size)
    top, left = (int(torch.randint(side - size + 1, ())) for side in images.shape[-2:])
    return images[..., top : top + size, left : left + size], None


def horizontal_flip(prob: float, images: Tensor, boxes: Any = None) -> tuple[Tensor, None]:
    """Mirror all frames together, with probability ``prob``.

    Args:
        prob: 0 to 1.
        images: (..., H, W).
        boxes: None; detection is not built.

    Returns:
        The images, and None for the boxes.
    """
    _no_boxes(boxes)
    return (images.flip(-1) if _uniform(0.0, 1.0) < prob else images), None


def uniform_crop(
    images: Tensor, size: int, spatial_idx: int, boxes: Any = None, scale_size: int | None = None
) -> tuple[Tensor, None]:
    """Crop one of three squares along the long side.

    Args:
        images: float (..., H, W); (A, B, H, W) with ``scale_size``.
        size: Side of the crop, in pixels.
        spatial_idx: 0 left or top, 1 center, 2 right or bottom.
        boxes: None; detection is not built.
        scale_size: Resize the short side to it first; None: do not.

    Returns:
        (..., size, size), and None for the boxes.

    Raises:
        ParameterError: If the crop does not fit, or ``spatial_idx`` is none of the three.
    """
    _no_boxes(boxes)
    if spatial_idx not in (0, 1, 2):
        raise ParameterError("spatial_idx", f"got {spatial_idx}, expected 0, 1 or 2.")
    if scale_size is not None:
        images = _resize_short_side(images, scale_size)
    _check_size(images, size)
    height, width = images.shape[-2:]
    top, left = (math.ceil((side - size) / 2) for side in (height, width))
    if height > width:
        top = (0, top, height - size)[spatial_idx]
    else:
        left = (0, left, width - size)[spatial_idx]
    return images[..., top : top + size, left : left + size], None


def spatial_sampling(  # noqa: PLR0913 - PySlowFast's arguments
    frames: Tensor,
    spatial_idx: int = -1,
    min_scale: int = 256,
    max_scale: int = 320,
    crop_size: int = 224,
    random_horizontal_flip: bool = True,
    inverse_uniform_sampling: bool = False,
    aspect_ratio: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    motion_shift: bool = False,
) -> Tensor:
    """Crop a clip: at random for training, or one of three crops for testing.

    Args:
        frames: float (C, T, H, W).
        spatial_idx: -1 for random size, position and flip; 0, 1 or 2 as in ``uniform_crop``.
        min_scale: Lowest short side, in pixels; in testing all three sizes are equal.
        max_scale: Highest short side, in pixels.
        crop_size: Side of the crop, in pixels.
        random_horizontal_flip: Mirror half of the random crops.
        inverse_uniform_sampling: As in ``random_short_side_scale_jitter``.
        aspect_ratio: [lowest, highest] width / height of a random resized crop; None: (1, 1).
        scale: [lowest, highest] fraction of the area of a random resized crop, which replaces the
            sizes; None: none.
        motion_shift: False; moving crops are not built.

    Returns:
        float (C, T, crop_size, crop_size).

    Raises:
        ParameterError: If an argument is out of range.
    """
    if motion_shift:
        raise ParameterError("motion_shift", "got True, but moving crops are not built; use False.")
    if spatial_idx != -1:
        if len({min_scale, max_scale, crop_size}) != 1:
            raise ParameterError(
                "min_scale",
                f"got {min_scale}, max_scale {max_scale} and crop_size {crop_size}; expected equal "
                "sizes in testing.",
            )
        return uniform_crop(frames, crop_size, spatial_idx, scale_size=min_scale)[0]
    if aspect_ratio is None and scale is None:
        frames, _ = random_short_side_scale_jitter(
            frames, min_scale, max_scale, inverse_uniform_sampling=inverse_uniform_sampling
        )
        frames, _ = random_crop(frames, crop_size)
    else:
        sampler = RandomResizedCrop(scale=scale or (1.0, 1.0), aspect=aspect_ratio or (1.0, 1.0))
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        box = sampler.sample(frames.shape[-2], frames.shape[-1], rng)
        cut = frames[..., box.top : box.top + box.height, box.left : box.left + box.width]
        frames = _resize(cut, crop_size, crop_size)
    return horizontal_flip(0.5, frames)[0] if random_horizontal_flip else frames


def _resize_short_side(images: Tensor, size: int) -> Tensor:
    height, width = images.shape[-2:]
    short = min(height, width)
    if short == size:
        return images
    return _resize(images, height * size // short, width * size // short)


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), dtype=torch.float64))


def _check_size(images: Tensor, size: int) -> None:
    if min(images.shape[-2:]) < size:
        raise ParameterError(
            "size", f"got {size}, larger than the frames {tuple(images.shape[-2:])}."
        )


def _no_boxes(boxes: Any) -> None:
    if boxes is not None:
        raise ParameterError("boxes", "detection is not built; expected None.")
