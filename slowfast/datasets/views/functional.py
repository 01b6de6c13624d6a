"""Augmentation of one view of a clip with given parameters.

The order is RandAugment on the decoded frames, crop and resize, color, flip, blur, random erasing.

Frames stay uint8; every operation is one of OpenCV. The parameters are the same for all frames of
a clip, so that augmentation adds no motion. Operations that act on each pixel or row alone run on
all frames at once, stacked vertically as one tall image.

Legend: T frames, H W height and width, S side of the square crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from slowfast.config.problems import ParameterError
from slowfast.datasets.views.clip_operations import ClipOperation, Frames, apply_operations
from slowfast.datasets.views.color import ColorParams, color_matrix
from slowfast.datasets.views.crop import Box
from slowfast.datasets.views.random_erasing import Patch, erase
from slowfast.utils.media_libraries import cv2

__all__ = [
    "AREA_FROM_FACTOR",
    "Blur",
    "Frames",
    "ViewParams",
    "apply_view",
    "check_frames",
    "crop_resize",
    "use_one_thread",
]

# INTER_AREA averages all source pixels: the better filter for downsampling, at five times the cost
# of INTER_LINEAR (benchmarks/bench_augment.py). Up to this factor INTER_LINEAR still reads nearly
# every source pixel; on camera footage its error is only 0.3 gray levels higher. For upsampling,
# INTER_AREA would be blocky.
AREA_FROM_FACTOR = 1.5


class ViewParams(NamedTuple):
    """The random parameters of one view, constant over its frames.

    Attributes:
        box: The box that is cropped and resized to the crop size.
        flip: Flip horizontally.
        color: Color jitter; None: no change.
        blur_sigma: Standard deviation of the blur on both axes, in pixels of the crop; 0: no blur.
        operations: Operations of RandAugment, on the frames before the crop.
        patches: Boxes of the crop that are erased.
    """

    box: Box
    flip: bool = False
    color: ColorParams | None = None
    blur_sigma: float = 0.0
    operations: tuple[ClipOperation, ...] = ()
    patches: tuple[Patch, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Samples the Gaussian blur of a view: one sigma for all frames and both axes.

    Attributes:
        sigma: [lowest, highest] standard deviation, in pixels of the crop.
        prob: Probability that a view is blurred.

    Raises:
        ValueError: If a value is out of range.
    """

    sigma: Sequence[float]
    prob: float

    def __post_init__(self) -> None:
        low, high = self.sigma
        if not 0 <= low <= high:
            raise ParameterError(
                "sigma", f"got {low} to {high}; expected 0 <= lowest <= highest, in pixels."
            )
        if not 0 <= self.prob <= 1:
            raise ParameterError("prob", f"got {self.prob}; expected a probability in [0, 1].")

    def sample(self, rng: np.random.Generator) -> float:
        """Sample sigma, in pixels; 0 if the view is not blurred."""
        return rng.uniform(self.sigma[0], self.sigma[1]) if rng.random() < self.prob else 0.0


def apply_view(frames: Frames, params: ViewParams, size: int) -> Frames:
    """Apply sampled parameters to the frames of a clip.

    Args:
        frames: uint8 (T, H, W, 3), RGB; not changed.
        params: The parameters.
        size: Side S of the output, in pixels.

    Returns:
        uint8 (T, S, S, 3), RGB, contiguous.
    """
    frames = apply_operations(frames, params.operations)
    view = crop_resize(frames, params.box, size, size)  # (T, S, S, 3)
    tall = view.reshape(-1, size, 3)  # (T * S, S, 3), the same memory
    if params.color is not None:
        mean = np.array(cv2.mean(tall)[:3])
        cv2.transform(tall, color_matrix(params.color, mean), dst=tall)
    if params.flip:
        cv2.flip(tall, 1, dst=tall)
    if params.blur_sigma > 0:
        _blur(view, params.blur_sigma)
    erase(view, params.patches)
    return view


def use_one_thread() -> None:
    """Limit OpenCV to the calling thread; called before and at the start of every data worker.

    The workers already run in parallel: two threads in each of two workers cost 45 % of the
    throughput. (DataLoader has already set torch to one thread; more would deadlock after a fork.)
    """
    if cv2:
        cv2.setNumThreads(1)


def crop_resize(frames: Frames, box: Box, height: int, width: int) -> Frames:
    """Crop a box from every frame and resize it.

    Args:
        frames: uint8 (T, H, W, 3); not changed.
        box: The box, inside the frames.
        height: Height of the output, in pixels.
        width: Width of the output, in pixels.

    Returns:
        uint8 (T, height, width, 3), contiguous; always a new array.
    """
    out = np.empty((len(frames), height, width, 3), dtype=np.uint8)
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    cropped = frames[:, rows, columns]  # (T, h, w, 3), the same memory
    if (box.height, box.width) == (height, width):
        out[:] = cropped
        return out
    shrink = min(box.height / height, box.width / width)
    interpolation = cv2.INTER_AREA if shrink >= AREA_FROM_FACTOR else cv2.INTER_LINEAR
    for source, target in zip(cropped, out, strict=True):
        cv2.resize(source, (width, height), dst=target, interpolation=interpolation)
    return out


def check_frames(frames: Frames) -> None:
    """Check the dtype and the shape of a clip.

    Args:
        frames: uint8 (T, H, W, 3).

    Raises:
        ValueError: If the dtype or the shape differs, or the array is empty.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or frames.size == 0:
        raise ValueError(
            f"frames: got {frames.dtype} of shape {frames.shape}; expected uint8 (T, H, W, 3), "
            "not empty."
        )


def _blur(view: Frames, sigma: float) -> None:
    """Blur every frame in place; the kernel ends at three sigma, the border is mirrored."""
    # sepFilter2D rounds once and takes a third of the time of GaussianBlur, which rounds to 8-bit
    # fixed point between the two axes.
    size = 2 * max(1, round(3 * sigma)) + 1
    kernel = cv2.getGaussianKernel(size, sigma)
    for frame in view:
        cv2.sepFilter2D(frame, -1, kernel, kernel, dst=frame)
