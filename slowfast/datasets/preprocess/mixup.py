"""Mixup and cutmix of a batch with itself in reverse order, and label smoothing.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; Yun et al., "CutMix", ICCV
2019; in the form of timm that PySlowFast uses: one method and one share per batch of a process.

Legend: B batch, V views, T frames, H W height and width, C classes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from slowfast.config.checks import register_check
from slowfast.config.problems import ConfigValueError, ParameterError, Problem, keys
from slowfast.utils.random import STREAM_MIXUP, sample_rng

__all__ = ["Mix", "Mixup", "build_mixup", "check_mixup"]


class Mix(NamedTuple):
    """How a batch is mixed.

    Attributes:
        share: Share of a clip's own label, 0 to 1.
        box: Rows from ``box[0]`` to below ``box[1]``, columns from ``box[2]`` to below ``box[3]``
            of the other clip in cutmix; None: mixup.
    """

    share: float
    box: tuple[int, int, int, int] | None = None


class Mixup:
    """Mixes the frames and the labels of a batch.

    Args:
        num_classes: C.
        alpha: The share of mixup is sampled from Beta(alpha, alpha); 0: no mixup.
        cutmix_alpha: Likewise for cutmix; the share is corrected for boxes that reach the border.
        prob: Probability that a batch is mixed.
        switch_prob: Probability of cutmix if both are in use.
        smoothing: Share of every label that is spread over all classes.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        smoothing: float = 0.1,
    ) -> None:
        for name, value in {"alpha": alpha, "cutmix_alpha": cutmix_alpha}.items():
            if not 0 <= value < math.inf:
                raise ParameterError(name, f"got {value}; expected a number >= 0.")
        for name, value in {"prob": prob, "switch_prob": switch_prob}.items():
            if not 0 <= value <= 1:
                raise ParameterError(name, f"got {value}; expected a probability in [0, 1].")
        if not 0 <= smoothing < 1:
            raise ParameterError("smoothing", f"got {smoothing}; expected a share in [0, 1).")
        if prob > 0 and alpha == cutmix_alpha == 0:
            raise ParameterError(
                "alpha",
                "got 0 for mixup and for cutmix; expected more than 0 for one of them. For label "
                "smoothing alone, set the probability to 0.",
            )
        self.num_classes, self.smoothing = num_classes, smoothing
        self.alpha, self.cutmix_alpha = alpha, cutmix_alpha
        self.prob, self.switch_prob = prob, switch_prob

    def sample(self, seed: int, height: int, width: int) -> Mix:
        """Sample how a batch is mixed.

        Args:
            seed: Seed of the batch; the only source of randomness.
            height: Height of the frames, in pixels.
            width: Width of the frames, in pixels.

        Returns:
            The mix; its share is 1 if the batch is not mixed.
        """
        rng = sample_rng(seed, 0, 0, STREAM_MIXUP)
        mixes, switches = rng.random(2) < (self.prob, self.switch_prob)
        if not mixes:
            return Mix(1.0)
        if self.cutmix_alpha == 0 or (self.alpha > 0 and not switches):
            return Mix(float(rng.beta(self.alpha, self.alpha)))
        ratio = math.sqrt(1 - rng.beta(self.cutmix_alpha, self.cutmix_alpha))
        top, bottom = _sample_edges(height, ratio, rng)
        left, right = _sample_edges(width, ratio, rng)
        share = 1 - (bottom - top) * (right - left) / (height * width)
        return Mix(share, (top, bottom, left, right))

    def __call__(self, batch: dict[str, Any], seed: int) -> dict[str, Any]:
        """Mix a batch.

        Args:
            batch: ``video`` float (B, V, 3, T, H, W), which is changed in place; ``label`` int64
                (B,).
            seed: Seed of the batch.

        Returns:
            The batch with mixed frames and ``label`` float (B, C), rows of sum 1.
        """
        video = batch["video"]
        share, box = self.sample(seed, *video.shape[-2:])
        if box is not None:
            inside = (..., slice(box[0], box[1]), slice(box[2], box[3]))
            video[inside] = video[inside].flip(0)
        elif share < 1:
            other = video.flip(0)
            video.mul_(share).add_(other, alpha=1 - share)
        return {**batch, "label": self.soft_labels(batch["label"], share)}

    def soft_labels(self, labels: Tensor, share: float) -> Tensor:
        """Mix labels with those of the reversed batch, and smooth them.

        Args:
            labels: int64 (B,).
            share: Share of a sample's own label.

        Returns:
            float32 (B, C), rows of sum 1.
        """
        hard = F.one_hot(labels, self.num_classes).to(torch.float32)
        mixed = share * hard + (1 - share) * hard.flip(0)
        return (1 - self.smoothing) * mixed + self.smoothing / self.num_classes


def _sample_edges(length: int, ratio: float, rng: np.random.Generator) -> tuple[int, int]:
    """Sample the edges of a box on one axis: a uniform center, cut off at the border."""
    half, center = int(length * ratio) // 2, int(rng.integers(length))
    return max(0, center - half), min(length, center + half)


def build_mixup(cfg: CfgNode) -> Mixup | None:
    """Build mixup and cutmix from MIXUP.

    Args:
        cfg: The configuration.

    Returns:
        None if MIXUP.ENABLE is False.

    Raises:
        ValueError: If a setting is out of range.
    """
    mixup = cfg.MIXUP
    if not mixup.ENABLE:
        return None
    with keys(
        alpha="MIXUP.ALPHA",
        cutmix_alpha="MIXUP.CUTMIX_ALPHA",
        prob="MIXUP.PROB",
        switch_prob="MIXUP.SWITCH_PROB",
        smoothing="MIXUP.LABEL_SMOOTH_VALUE",
    ):
        return Mixup(
            num_classes=cfg.MODEL.NUM_CLASSES,
            alpha=mixup.ALPHA,
            cutmix_alpha=mixup.CUTMIX_ALPHA,
            prob=mixup.PROB,
            switch_prob=mixup.SWITCH_PROB,
            smoothing=mixup.LABEL_SMOOTH_VALUE,
        )


@register_check
def check_mixup(cfg: CfgNode) -> list[Problem]:
    """Find settings of MIXUP that are out of range, and data that cannot be mixed.

    Args:
        cfg: The merged configuration.

    Returns:
        The problems; none for a run that only tests.
    """
    if not cfg.MIXUP.ENABLE or not cfg.TRAIN.ENABLE:
        return []
    problems = []
    try:
        build_mixup(cfg)
    except ConfigValueError as error:
        problems.append(error.problem)
    if cfg.DATA.MULTI_LABEL:
        message = (
            "got True with DATA.MULTI_LABEL True, but one label per video is mixed; use False."
        )
        problems.append(Problem("MIXUP.ENABLE", message))
    if cfg.AUDIO.ENABLE:
        message = (
            "got True with AUDIO.ENABLE True, but only frames are mixed, and the audio would not "
            "fit them; use False."
        )
        problems.append(Problem("MIXUP.ENABLE", message))
    return problems
