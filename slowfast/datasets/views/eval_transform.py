"""Spatial transforms of evaluation, from the uint8 frames of a clip to its crops.

Legend: T frames, H W height and width, S side of the square crop, K spatial crops.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from fvcore.common.config import CfgNode

from slowfast.config.problems import ParameterError, keys
from slowfast.datasets.views.crop import (
    Box,
    CropSampler,
    ShiftAndScale,
    check_positive,
    check_range,
)
from slowfast.datasets.views.functional import Frames, check_frames, crop_resize

__all__ = ["EvalTransform", "SpatialTransform", "build_test_transform", "build_val_transform"]


class SpatialTransform(Protocol):
    """Resizes the frames of a clip and crops them."""

    @property
    def num_crops(self) -> int:
        """K."""

    def all_crops(self, frames: Frames, rng: np.random.Generator) -> Frames:
        """Return all crops of uint8 (T, H, W, 3): uint8 (K, T, H', W', 3)."""


class EvalTransform:
    """Resizes the short side and crops squares at fixed positions.

    The long side is rounded down, as in PySlowFast. Crop 0 is at the left (for portrait frames at
    the top), crop 1 in the center, crop 2 at the right (bottom).

    Args:
        short_side: Length to which the short side is resized, in pixels; raised to ``size`` if it
            is smaller.
        size: Side S of a crop, in pixels.
        num_crops: 1 (center crop) or 3.
        jitter: Samples the part of the frames to which ``all_crops`` is applied; None: all of it.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self, *, short_side: int, size: int, num_crops: int = 1, jitter: CropSampler | None = None
    ) -> None:
        check_positive("size", size)
        check_positive("short_side", short_side)
        if num_crops not in (1, 3):
            raise ParameterError(
                "num_crops", f"got {num_crops}; expected 1 (center) or 3 (left, center, right)."
            )
        self.short_side, self.size = max(short_side, size), size
        self.num_crops, self._jitter = num_crops, jitter

    def __call__(
        self, frames: Frames, rng: np.random.Generator | None = None, *, spatial_crop: int = 1
    ) -> Frames:
        """Return one crop.

        Args:
            frames: uint8 (T, H, W, 3), RGB.
            rng: Ignored; it exists for the same signature as ``TrainTransform``.
            spatial_crop: 0, 1 or 2.

        Returns:
            uint8 (T, S, S, 3), RGB, contiguous.

        Raises:
            ValueError: If ``frames`` has another dtype or shape, or ``spatial_crop`` is invalid.
        """
        return self._cut(frames, [spatial_crop])[0]

    def all_crops(self, frames: Frames, rng: np.random.Generator | None = None) -> Frames:
        """Return all crops of the evaluation; the frames are resized only once.

        Args:
            frames: uint8 (T, H, W, 3), RGB.
            rng: The video's random generator, for ``jitter``.

        Returns:
            uint8 (K, T, S, S, 3), K = ``num_crops``: center, or left, center and right.

        Raises:
            ValueError: If ``frames`` has another dtype or shape.
        """
        if self._jitter is not None and rng is not None:
            check_frames(frames)
            top, left, height, width = self._jitter.sample(frames.shape[1], frames.shape[2], rng)
            frames = frames[:, top : top + height, left : left + width]
        return self._cut(frames, [1] if self.num_crops == 1 else [0, 1, 2])

    def _cut(self, frames: Frames, crops: list[int]) -> Frames:
        """Resize, then crop: (K, T, S, S, 3)."""
        if not set(crops) <= {0, 1, 2}:
            raise ValueError(f"spatial_crop: got {crops[0]}; expected 0, 1 or 2.")
        check_frames(frames)
        height, width = frames.shape[1:3]
        short = min(height, width)
        box = Box(0, 0, height, width)
        new_h, new_w = (side * self.short_side // short for side in (height, width))
        long_axis = 0 if new_h > new_w else 1
        scaled = crop_resize(frames, box, new_h, new_w)  # (T, H, W, 3)
        out = np.empty((len(crops), len(frames), self.size, self.size, 3), dtype=np.uint8)
        for cut, crop in zip(out, crops, strict=True):
            # Crops are centered on the short axis and differ in their position on the long one.
            top, left = (
                _offset(side - self.size, crop if axis == long_axis else 1)
                for axis, side in enumerate((new_h, new_w))
            )
            cut[:] = scaled[:, top : top + self.size, left : left + self.size]
        return out


def build_val_transform(cfg: CfgNode) -> EvalTransform:
    """Build the transform of validation during training: center crop, at the training resolution.

    PySlowFast samples a random crop instead, which makes its validation metrics noisy.

    Args:
        cfg: The configuration.

    Returns:
        A transform with one crop.

    Raises:
        ValueError: If a setting is out of range.
    """
    with keys(size="DATA.TRAIN_CROP_SIZE"):
        return EvalTransform(short_side=_smallest_scale(cfg), size=cfg.DATA.TRAIN_CROP_SIZE)


def build_test_transform(cfg: CfgNode, split: str = "test") -> EvalTransform:
    """Build the transform of testing, with the crops of PySlowFast.

    Three crops: the short side is resized to ``DATA.TEST_CROP_SIZE``. One crop: the short side is
    resized to ``DATA.TRAIN_JITTER_SCALES[0]``, followed by a center crop.

    Args:
        cfg: The configuration.
        split: "test", to which ``TEST.SPATIAL_JITTER`` applies, or "gallery".

    Returns:
        A transform; ``transform.all_crops(frames)`` gives all spatial crops of a clip.

    Raises:
        ValueError: If a setting is out of range.
    """
    size, num_crops = cfg.DATA.TEST_CROP_SIZE, cfg.TEST.NUM_SPATIAL_CROPS
    short_side = _smallest_scale(cfg) if num_crops == 1 else size
    with keys(
        size="DATA.TEST_CROP_SIZE",
        num_crops="TEST.NUM_SPATIAL_CROPS",
        strength="TEST.SPATIAL_JITTER",
    ):
        jitter = ShiftAndScale(strength=cfg.TEST.SPATIAL_JITTER) if split == "test" else None
        return EvalTransform(
            short_side=short_side,
            size=size,
            num_crops=num_crops,
            jitter=jitter if cfg.TEST.SPATIAL_JITTER else None,
        )


def _smallest_scale(cfg: CfgNode) -> int:
    """Return the short side at which PySlowFast evaluates single crops."""
    with keys(scales="DATA.TRAIN_JITTER_SCALES"):
        check_range("scales", cfg.DATA.TRAIN_JITTER_SCALES)
    return cfg.DATA.TRAIN_JITTER_SCALES[0]


def _offset(slack: int, crop: int) -> int:
    """Return the offset of a crop on an axis that is ``slack`` pixels longer than the crop."""
    return (0, (slack + 1) // 2, slack)[crop]
