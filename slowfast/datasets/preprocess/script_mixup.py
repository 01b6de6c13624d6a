"""Mixup and cutmix for scripts, with PySlowFast's arguments."""

from __future__ import annotations

import torch
from torch import Tensor

from slowfast.config.problems import ParameterError
from slowfast.datasets.preprocess.mixup import Mixup

__all__ = ["MixUp"]


class MixUp:
    """Mixes a batch with itself in reverse order; random numbers are torch's global ones.

    Args:
        mixup_alpha: Parameter of mixup's Beta distribution; 0: no mixup.
        cutmix_alpha: The same for cutmix.
        mix_prob: Probability that a batch is mixed.
        switch_prob: Probability of cutmix if both are in use.
        correct_lam: True; the share of labels is that of the visible area.
        label_smoothing: Share of every label that is spread over all classes.
        num_classes: C.

    Raises:
        ParameterError: If a value is out of range.
    """

    def __init__(
        self,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 0.0,
        mix_prob: float = 1.0,
        switch_prob: float = 0.5,
        correct_lam: bool = True,
        label_smoothing: float = 0.1,
        num_classes: int = 1000,
    ) -> None:
        if not correct_lam:
            raise ParameterError("correct_lam", "got False; expected True.")
        self._mix = Mixup(
            num_classes=num_classes,
            alpha=mixup_alpha,
            cutmix_alpha=cutmix_alpha,
            prob=mix_prob,
            switch_prob=switch_prob,
            smoothing=label_smoothing,
        )

    def __call__(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            x: float (B, 3, T, H, W), changed in place.
            target: int64 (B,), class indices.

        Returns:
            The clips, and float (B, C) labels.
        """
        seed = int(torch.randint(2**62, ()))
        batch = self._mix({"video": x.unsqueeze(1), "label": target}, seed)
        return batch["video"].squeeze(1), batch["label"]
