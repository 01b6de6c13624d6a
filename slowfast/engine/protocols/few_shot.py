"""Few-shot classification: a linear classifier on frozen features of k videos per class."""

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
"""Weight decay. Fixed, since one video per class does not allow cross-validation."""


@PROTOCOL_REGISTRY.register(one_label=True)
def few_shot(provider: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure logistic regression on k labeled videos of each class.

    The videos of an episode depend on RNG_SEED, the episode and the class only, so that two models
    are compared on the same ones. The videos of a smaller k are a subset of those of a larger k.

    Args:
        provider: Features of both splits.
        cfg: PROBE.FEATURE, FEW_SHOT_K, FEW_SHOT_EPISODES; RNG_SEED.

    Returns:
        ``few_shot_<k>``: top-1 accuracy on the full test split, the mean over the episodes with its
        95 % Student t interval. A k for which a class has too few videos is skipped.

    Raises:
        UserError: If labels or features are missing.
    """
    probe = read_probe(provider, cfg, "few_shot")
    smallest = int(torch.bincount(probe.split.label).min())
    results = {}
    for k in cfg.PROBE.FEW_SHOT_K:
        if k > smallest:
            logger.info("few_shot: k = %d is skipped, as a class has %d videos", k, smallest)
            continue
        accuracies = [
            _accuracy(probe, sample_k_shot(probe.split, k, cfg.RNG_SEED, episode))
            for episode in range(cfg.PROBE.FEW_SHOT_EPISODES)
        ]
        mean, low, high = mean_interval(accuracies)
        interval = max(0.0, low), min(1.0, high)  # accuracies are in [0, 1]
        results[f"few_shot_{k}"] = Result(mean, probe.split.chance(1), interval, len(accuracies))
    return results


def sample_k_shot(split: ClassSplit, k: int, seed: int, episode: int) -> Tensor:
    """Sample k videos of each class of the gallery.

    Episode 0 has the videos that DATA.TRAIN_VIDEOS_PER_CLASS selects for training.

    Returns:
        int64 (M * k,), rows of the gallery, class by class.
    """
    rows = []
    for number, label in enumerate(split.classes.tolist()):
        own = (split.label == number).nonzero().flatten()
        order = sample_rng(seed, episode, label, STREAM_SUBSET).permutation(len(own))
        rows.append(own[torch.from_numpy(order[:k])])
    return torch.cat(rows)


def _accuracy(probe: Probe, rows: Tensor) -> float:
    split = probe.split
    classifier = fit_logistic_regression(
        probe.inputs[rows], split.label[rows], len(split.classes), FEW_SHOT_DECAY
    )
    return topk_accuracy(classifier.scores(probe.queries), split.target, 1)
