"""Spatial transforms of training, from the uint8 frames of a clip to uint8 views.

They run in the data workers. A view is first sampled (``ViewParams``, from the random generator of
the view) and then applied (``views/functional.py``). ``datasets/preprocess/batch.py`` normalizes
the frames later, on the device.

Legend: T frames, H W height and width, S side of the square crop.
"""

from __future__ import annotations

import copy

import numpy as np
from fvcore.common.config import CfgNode

from slowfast.config.checks import register_check
from slowfast.config.problems import ConfigValueError, Problem, keys
from slowfast.datasets.views.color import ColorJitter
from slowfast.datasets.views.crop import (
    CropSampler,
    RandomResizedCrop,
    ShortSideCrop,
    check_positive,
)
from slowfast.datasets.views.eval_transform import build_test_transform, build_val_transform
from slowfast.datasets.views.functional import Blur, Frames, ViewParams, apply_view, check_frames
from slowfast.datasets.views.rand_augment import RandAugment
from slowfast.datasets.views.random_erasing import RandomErasing

__all__ = ["TrainTransform", "build_train_transform", "check_views"]


class TrainTransform:
    """The augmentation of one view of a clip.

    Args:
        crop: Samples the crop box.
        size: Side S of the output, in pixels.
        flip: Flip horizontally with probability 0.5.
        color: Samples the color jitter; None: no color jitter.
        blur: Samples the Gaussian blur; None: no blur.
        augment: Samples the operations of RandAugment; None: none.
        erasing: Samples the boxes that are erased; None: none.

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
        augment: RandAugment | None = None,
        erasing: RandomErasing | None = None,
    ) -> None:
        check_positive("size", size)
        self.crop, self.size, self.flip, self.color, self.blur = crop, size, flip, color, blur
        self.augment, self.erasing = augment, erasing

    def without_erasing(self) -> TrainTransform:
        """Return the same transform without random erasing."""
        copied = copy.copy(self)
        copied.erasing = None
        return copied

    @property
    def short_side(self) -> int:
        """Short side that frames need, in pixels: the largest crop is not scaled up."""
        return max(self.size, getattr(self.crop, "short_side", 0))

    def sample(self, height: int, width: int, rng: np.random.Generator) -> ViewParams:
        """Sample the parameters of a view.

        Args:
            height: Height of the frames, in pixels.
            width: Width of the frames, in pixels.
            rng: The view's random generator.

        Returns:
            The parameters.
        """
        return ViewParams(
            box=self.crop.sample(height, width, rng),
            flip=self.flip and bool(rng.random() < 0.5),
            color=self.color.sample(rng) if self.color else None,
            blur_sigma=self.blur.sample(rng) if self.blur else 0.0,
            operations=self.augment.sample(rng) if self.augment else (),
            patches=self.erasing.sample(self.size, rng) if self.erasing else (),
        )

    def __call__(self, frames: Frames, rng: np.random.Generator) -> Frames:
        """Sample the parameters of a view and apply them.

        Args:
            frames: uint8 (T, H, W, 3), RGB.
            rng: The view's random generator.

        Returns:
            uint8 (T, S, S, 3), RGB, contiguous.

        Raises:
            ValueError: If ``frames`` has another dtype or shape.
        """
        check_frames(frames)
        return apply_view(frames, self.sample(frames.shape[1], frames.shape[2], rng), self.size)


def build_train_transform(cfg: CfgNode) -> TrainTransform:
    """Build the augmentation of training views.

    If ``DATA.TRAIN_JITTER_SCALES_RELATIVE`` is set: RandomResizedCrop, else ShortSideCrop.
    ``DATA.SSL_COLOR_JITTER`` adds color jitter and random grayscale. ``DATA.SSL_MOCOV2_AUG``
    applies the color jitter with probability ``DATA.SSL_JITTER_PROB`` and adds Gaussian blur.
    ``AUG.ENABLE`` adds RandAugment (or color jitter) and random erasing.

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
        return TrainTransform(
            crop,
            size=size,
            flip=data.RANDOM_FLIP,
            color=color,
            blur=blur,
            augment=_rand_augment(cfg),
            erasing=_erasing(cfg),
        )


@register_check
def check_views(cfg: CfgNode) -> list[Problem]:
    """Find settings of the transforms that are out of range.

    Args:
        cfg: The merged configuration.

    Returns:
        At most one problem per transform, and one if DATA.SSL_MOCOV2_AUG has no effect.
    """
    problems = []
    # A run that only tests may keep any setting of training.
    train = [build_train_transform] if cfg.TRAIN.ENABLE else []
    for build in (*train, build_val_transform, build_test_transform):
        try:
            build(cfg)
        except ConfigValueError as error:
            problems.append(error.problem)
    if cfg.DATA.SSL_MOCOV2_AUG and not cfg.DATA.SSL_COLOR_JITTER:
        message = "got True, which requires color jitter; set DATA.SSL_COLOR_JITTER True as well."
        problems.append(Problem("DATA.SSL_MOCOV2_AUG", message))
    return list(dict.fromkeys(problems))


def _color_and_blur(cfg: CfgNode) -> tuple[ColorJitter | None, Blur | None]:
    """Build color jitter and blur from DATA.SSL_COLOR_JITTER and DATA.SSL_MOCOV2_AUG."""
    data = cfg.DATA
    if not data.SSL_COLOR_JITTER:
        return _plain_jitter(cfg), None
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


def _plain_jitter(cfg: CfgNode) -> ColorJitter | None:
    """Build the color jitter of AUG, which replaces RandAugment."""
    strength = cfg.AUG.COLOR_JITTER
    if not cfg.AUG.ENABLE or names_rand_augment(cfg.AUG.AA_TYPE) or not strength:
        return None
    key = "AUG.COLOR_JITTER"
    with keys(brightness=key, contrast=key, saturation=key):
        return ColorJitter(brightness=strength, contrast=strength, saturation=strength)


def names_rand_augment(text: str | None) -> bool:
    """Return whether AUG.AA_TYPE names an augmentation: it is neither empty nor None."""
    return text not in (None, "", "None")


def _rand_augment(cfg: CfgNode) -> RandAugment | None:
    aug = cfg.AUG
    if not aug.ENABLE or not names_rand_augment(aug.AA_TYPE):
        return None
    with keys(text="AUG.AA_TYPE", interpolation="AUG.INTERPOLATION"):
        return RandAugment.parse(aug.AA_TYPE, aug.INTERPOLATION)


def _erasing(cfg: CfgNode) -> RandomErasing | None:
    aug = cfg.AUG
    if not aug.ENABLE or aug.RE_PROB == 0:
        return None
    with keys(prob="AUG.RE_PROB", mode="AUG.RE_MODE", max_count="AUG.RE_COUNT"):
        return RandomErasing(
            prob=aug.RE_PROB,
            mode=str(aug.RE_MODE).lower(),
            max_count=aug.RE_COUNT,
            mean=cfg.DATA.MEAN,
            std=cfg.DATA.STD,
        )


def _build_blur(cfg: CfgNode) -> Blur:
    """Build the spatial blur; temporal blur is not implemented."""
    low, high = cfg.DATA.SSL_BLUR_SIGMA_MIN, cfg.DATA.SSL_BLUR_SIGMA_MAX
    for key, sigma in {"SSL_BLUR_SIGMA_MIN": low, "SSL_BLUR_SIGMA_MAX": high}.items():
        if len(sigma) != 2 or sigma[0] != 0:
            raise ConfigValueError(
                f"DATA.{key}", f"got {sigma}; expected [0.0, pixels]: no blur in time."
            )
    if low[1] > high[1]:
        raise ConfigValueError(
            "DATA.SSL_BLUR_SIGMA_MIN",
            f"got {low}, more than DATA.SSL_BLUR_SIGMA_MAX {high}.",
        )
    with keys(sigma="DATA.SSL_BLUR_SIGMA_MIN", prob="DATA.SSL_BLUR_PROB"):
        return Blur(sigma=(low[1], high[1]), prob=cfg.DATA.SSL_BLUR_PROB)
