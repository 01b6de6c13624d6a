"""A linear classifier on the frozen features of a few labeled videos."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from slowfast.config import CfgNode
from slowfast.engine.linear import fit_logistic_regression
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result
from slowfast.engine.protocols.probe import ClassSplit, Probe, read_probe
from slowfast.utils.metrics import topk_accuracy
from slowfast.utils.random import STREAM_SUBSET, sample_rng
from slowfast.utils.statistics import mean_interval

__all__ = ["FEW_SHOT_DECAY", "few_shot", "sample_k_shot"]

logger = logging.getLogger(__name__)

FEW_SHOT_DECAY = 1e-2
"""Weight of the squared norm. Fixed: one video per class leaves nothing to choose it with."""


@PROTOCOL_REGISTRY.register()
def few_shot(evidence: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure logistic regression on k labeled videos of each class.

    The videos of a draw depend on RNG_SEED, the draw and the class alone, so that two models are
    compared on the same ones; those of a smaller k are among those of a larger.

    Args:
        evidence: Features of both splits.
        cfg: PROBE.FEATURE, FEW_SHOT_K, FEW_SHOT_EPISODES; RNG_SEED.

    Returns:
        ``few_shot_<k>``: top-1 accuracy on the whole test split, the mean over the draws with its
        95 % Student t interval. A k for which a class has too few videos is left out.

    Raises:
        UserError: If labels or features are missing.
    """
    probe = read_probe(evidence, cfg, "few_shot")
    smallest = int(torch.bincount(probe.split.label).min())
    results = {}
    for k in cfg.PROBE.FEW_SHOT_K:
        if k > smallest:
            logger.info("few_shot: no figure for k = %d, a class has %d videos", k, smallest)
            continue
        accuracies = [
            _accuracy(probe, sample_k_shot(probe.split, k, cfg.RNG_SEED, draw))
            for draw in range(cfg.PROBE.FEW_SHOT_EPISODES)
        ]
        mean, low, high = mean_interval(accuracies)
        interval = max(0.0, low), min(1.0, high)  # an accuracy is nowhere else
        results[f"few_shot_{k}"] = Result(mean, probe.split.chance(1), interval, len(accuracies))
    return results


def sample_k_shot(split: ClassSplit, k: int, seed: int, draw: int) -> Tensor:
    """Draw k videos of each class of the gallery.

    Draw 0 takes those that DATA.TRAIN_VIDEOS_PER_CLASS trains on.

    Args:
        split: Labels of the gallery.
        k: At most the size of the smallest class.
        seed: RNG_SEED.
        draw: Number of the draw.

    Returns:
        int64 (M * k,), rows of the gallery, class by class.
    """
    rows = []
    for number, label in enumerate(split.classes.tolist()):
        own = (split.label == number).nonzero().flatten()
        order = sample_rng(seed, draw, label, STREAM_SUBSET).permutation(len(own))
        rows.append(own[torch.from_numpy(order[:k])])
    return torch.cat(rows)


def _accuracy(probe: Probe, rows: Tensor) -> float:
    split = probe.split
    classifier = fit_logistic_regression(
        probe.inputs[rows], split.label[rows], len(split.classes), FEW_SHOT_DECAY
    )
    return topk_accuracy(classifier.scores(probe.queries), split.target, 1)
