"""From the frames of a clip to the views a model sees, in a data worker: uint8 in, uint8 out.

A training view is drawn first (``ViewParams``, from the view's own generator) and applied second
(``datasets/functional.py``). Validation and testing are deterministic. Normalization to floats is
left to ``datasets/preprocess.py``.

Legend: T frames, H W height and width, S side of the square crop, K spatial crops.
"""

from __future__ import annotations

import numpy as np
from fvcore.common.config import CfgNode

from slowfast.config.checks import register_check
from slowfast.config.problems import ConfigValueError, ParameterError, Problem, keys
from slowfast.datasets.color import ColorJitter
from slowfast.datasets.crop import Box, CropSampler, RandomResizedCrop, ShortSideCrop, check_range
from slowfast.datasets.functional import (
    Blur,
    Frames,
    ViewParams,
    apply_view,
    check_frames,
    crop_resize,
)

__all__ = [
    "EvalTransform",
    "TrainTransform",
    "build_test_transform",
    "build_train_transform",
    "build_val_transform",
    "check_views",
]


class TrainTransform:
    """Augments one view of a clip.

    Args:
        crop: Draws the box.
        size: Side S of the output, in pixels.
        flip: Mirror with probability one half.
        color: Draws the color jitter; None for none.
        blur: Draws the blur; None for none.

    Raises:
        ValueError: If the size is not positive.
    """

    def __init__(
        self,
        crop: CropSampler,
        *,
        size: int,
        flip: bool = True,
        color: ColorJitter | None = None,
        blur: Blur | None = None,
    ) -> None:
        _check_positive("size", size)
        self.crop, self.size, self.flip, self.color, self.blur = crop, size, flip, color, blur

    def draw(self, height: int, width: int, rng: np.random.Generator) -> ViewParams:
        """Draw a view.

        Args:
            height: Of the frames, in pixels.
            width: Of the frames, in pixels.
            rng: The view's generator.

        Returns:
            The parameters; the same for generators in the same state.
        """
        return ViewParams(
            box=self.crop.draw(height, width, rng),
            flip=self.flip and bool(rng.random() < 0.5),
            color=self.color.draw(rng) if self.color else None,
            blur_sigma=self.blur.draw(rng) if self.blur else 0.0,
        )

    def __call__(self, frames: Frames, rng: np.random.Generator) -> Frames:
        """Draw a view and apply it.

        Args:
            frames: uint8 (T, H, W, 3), RGB.
            rng: The view's generator.

        Returns:
            uint8 (T, S, S, 3), RGB, contiguous.

        Raises:
            ValueError: If ``frames`` is something else.
        """
        check_frames(frames)
        return apply_view(frames, self.draw(frames.shape[1], frames.shape[2], rng), self.size)


class EvalTransform:
    """Scales the short side and cuts squares at fixed places: nothing is random.

    The long side is rounded down, as in PySlowFast. Crop 0 is at the left (top of an upright
    frame), 1 in the center, 2 at the right (bottom).

    Args:
        short_side: What the short side is scaled to, in pixels. Below ``size`` it counts as
            ``size``: a small source is enlarged, never refused.
        size: Side S of a crop, in pixels.
        num_crops: 1 (the center) or 3.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *, short_side: int, size: int, num_crops: int = 1) -> None:
        _check_positive("size", size)
        _check_positive("short_side", short_side)
        if num_crops not in (1, 3):
            raise ParameterError(
                "num_crops", f"got {num_crops}; expected 1 (center) or 3 (left, center, right)."
            )
        self.short_side, self.size, self.num_crops = max(short_side, size), size, num_crops

    def __call__(
        self, frames: Frames, rng: np.random.Generator | None = None, *, spatial_crop: int = 1
    ) -> Frames:
        """Cut one crop.

        Args:
            frames: uint8 (T, H, W, 3), RGB.
            rng: Ignored; here so that training and evaluation are called alike.
            spatial_crop: 0, 1 or 2.

        Returns:
            uint8 (T, S, S, 3), RGB, contiguous.

        Raises:
            ValueError: If ``frames`` is something else or there is no such crop.
        """
        return self._cut(frames, [spatial_crop])[0]

    def all_crops(self, frames: Frames) -> Frames:
        """Cut every crop of the evaluation; the frames are scaled once for all.

        Args:
            frames: uint8 (T, H, W, 3), RGB.

        Returns:
            uint8 (K, T, S, S, 3), K = ``num_crops``: the center, or left, center and right.

        Raises:
            ValueError: If ``frames`` is something else.
        """
        return self._cut(frames, [1] if self.num_crops == 1 else [0, 1, 2])

    def _cut(self, frames: Frames, crops: list[int]) -> Frames:
        """Scale, then cut the named crops: (K, T, S, S, 3)."""
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
            # The short axis is always centered, the long one is where the crop's name says.
            top, left = (
                _offset(side - self.size, crop if axis == long_axis else 1)
                for axis, side in enumerate((new_h, new_w))
            )
            cut[:] = scaled[:, top : top + self.size, left : left + self.size]
        return out


def build_train_transform(cfg: CfgNode) -> TrainTransform:
    """Build the augmentation of training views.

    ``DATA.TRAIN_JITTER_SCALES_RELATIVE`` set: random resized crop; else random short side and
    crop. ``DATA.SSL_COLOR_JITTER`` adds color jitter and gray; ``DATA.SSL_MOCOV2_AUG`` on top
    makes jitter a matter of chance and adds blur.

    Args:
        cfg: The configuration.

    Returns:
        A transform, called as ``transform(frames, rng)``.

    Raises:
        ValueError: If a setting is out of range.
    """
    data = cfg.DATA
    size = data.TRAIN_CROP_SIZE
    crop: CropSampler
    with keys(
        scale="DATA.TRAIN_JITTER_SCALES_RELATIVE",
        aspect="DATA.TRAIN_JITTER_ASPECT_RELATIVE",
        scales="DATA.TRAIN_JITTER_SCALES",
        size="DATA.TRAIN_CROP_SIZE",
    ):
        if data.TRAIN_JITTER_SCALES_RELATIVE:
            crop = RandomResizedCrop(
                scale=data.TRAIN_JITTER_SCALES_RELATIVE,
                aspect=data.TRAIN_JITTER_ASPECT_RELATIVE or (1.0, 1.0),
            )
        else:
            crop = ShortSideCrop(
                scales=data.TRAIN_JITTER_SCALES, size=size, inverse=data.INV_UNIFORM_SAMPLE
            )
        color, blur = _color_and_blur(cfg)
        return TrainTransform(crop, size=size, flip=data.RANDOM_FLIP, color=color, blur=blur)


def build_val_transform(cfg: CfgNode) -> EvalTransform:
    """Build the views of validation during training: the center, at the training resolution.

    PySlowFast draws them at random, which makes its validation numbers noisy.

    Args:
        cfg: The configuration.

    Returns:
        A transform with one crop.

    Raises:
        ValueError: If a setting is out of range.
    """
    with keys(size="DATA.TRAIN_CROP_SIZE"):
        return EvalTransform(short_side=_smallest_scale(cfg), size=cfg.DATA.TRAIN_CROP_SIZE)


def build_test_transform(cfg: CfgNode) -> EvalTransform:
    """Build the views of testing, as PySlowFast places them.

    Three crops: short side to ``DATA.TEST_CROP_SIZE``. One crop: short side to
    ``DATA.TRAIN_JITTER_SCALES[0]``, then the center.

    Args:
        cfg: The configuration.

    Returns:
        A transform; ``transform.all_crops(frames)`` gives all spatial crops of a clip.

    Raises:
        ValueError: If a setting is out of range.
    """
    size, num_crops = cfg.DATA.TEST_CROP_SIZE, cfg.TEST.NUM_SPATIAL_CROPS
    short_side = _smallest_scale(cfg) if num_crops == 1 else size
    with keys(size="DATA.TEST_CROP_SIZE", num_crops="TEST.NUM_SPATIAL_CROPS"):
        return EvalTransform(short_side=short_side, size=size, num_crops=num_crops)


@register_check
def check_views(cfg: CfgNode) -> list[Problem]:
    """Find settings that no view can be built from.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one problem per transform, and one for blur that would never happen.
    """
    problems = []
    for build in (build_train_transform, build_val_transform, build_test_transform):
        try:
            build(cfg)
        except ConfigValueError as error:
            problems.append(error.problem)
    if cfg.DATA.SSL_MOCOV2_AUG and not cfg.DATA.SSL_COLOR_JITTER:
        message = "got True, but it acts on color jitter; set DATA.SSL_COLOR_JITTER True as well."
        problems.append(Problem("DATA.SSL_MOCOV2_AUG", message))
    return list(dict.fromkeys(problems))


def _color_and_blur(cfg: CfgNode) -> tuple[ColorJitter | None, Blur | None]:
    """Build what DATA.SSL_COLOR_JITTER and DATA.SSL_MOCOV2_AUG ask for."""
    data = cfg.DATA
    if not data.SSL_COLOR_JITTER:
        return None, None
    strengths = data.SSL_COLOR_BRI_CON_SAT
    if len(strengths) != 3:
        raise ConfigValueError(
            "DATA.SSL_COLOR_BRI_CON_SAT",
            f"got {strengths}; expected [brightness, contrast, saturation].",
        )
    with keys(
        brightness="DATA.SSL_COLOR_BRI_CON_SAT",
        contrast="DATA.SSL_COLOR_BRI_CON_SAT",
        saturation="DATA.SSL_COLOR_BRI_CON_SAT",
        hue="DATA.SSL_COLOR_HUE",
        jitter_prob="DATA.SSL_JITTER_PROB",
        gray_prob="DATA.COLOR_RND_GRAYSCALE",
    ):
        color = ColorJitter(
            brightness=strengths[0],
            contrast=strengths[1],
            saturation=strengths[2],
            hue=data.SSL_COLOR_HUE,
            jitter_prob=data.SSL_JITTER_PROB if data.SSL_MOCOV2_AUG else 1.0,
            gray_prob=data.COLOR_RND_GRAYSCALE,
        )
    return color, _build_blur(cfg) if data.SSL_MOCOV2_AUG else None


def _build_blur(cfg: CfgNode) -> Blur:
    """Build the blur, which acts on space alone."""
    low, high = cfg.DATA.SSL_BLUR_SIGMA_MIN, cfg.DATA.SSL_BLUR_SIGMA_MAX
    for key, sigma in {"SSL_BLUR_SIGMA_MIN": low, "SSL_BLUR_SIGMA_MAX": high}.items():
        if len(sigma) != 2 or sigma[0] != 0:
            raise ConfigValueError(
                f"DATA.{key}", f"got {sigma}; expected [0.0, pixels]: blur in time is not built."
            )
    if low[1] > high[1]:
        raise ConfigValueError(
            "DATA.SSL_BLUR_SIGMA_MIN",
            f"got {low}, more than DATA.SSL_BLUR_SIGMA_MAX {high}.",
        )
    with keys(sigma="DATA.SSL_BLUR_SIGMA_MIN", prob="DATA.SSL_BLUR_PROB"):
        return Blur(sigma=(low[1], high[1]), prob=cfg.DATA.SSL_BLUR_PROB)


def _smallest_scale(cfg: CfgNode) -> int:
    """Read the short side that PySlowFast evaluates single crops at."""
    with keys(scales="DATA.TRAIN_JITTER_SCALES"):
        check_range("scales", cfg.DATA.TRAIN_JITTER_SCALES)
    return cfg.DATA.TRAIN_JITTER_SCALES[0]


def _offset(slack: int, crop: int) -> int:
    """Place a crop on an axis with that many pixels to spare."""
    return (0, (slack + 1) // 2, slack)[crop]


def _check_positive(name: str, size: int) -> None:
    if size < 1:
        raise ParameterError(name, f"got {size}; expected a number of pixels >= 1.")
