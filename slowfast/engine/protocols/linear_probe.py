"""A linear classifier on frozen features."""

from __future__ import annotations

import logging

from slowfast.config import CfgNode
from slowfast.engine.linear import GridSearchResult, fit_with_cv
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result
from slowfast.engine.protocols.probe import count_hits, read_probe

__all__ = ["linear_probe", "log_selected"]

logger = logging.getLogger(__name__)


@PROTOCOL_REGISTRY.register(one_label=True)
def linear_probe(provider: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure multinomial logistic regression on standardized features.

    The weight decay is selected by cross-validation within the train split.

    Args:
        provider: Features of both splits.
        cfg: PROBE.FEATURE, WEIGHT_DECAY_GRID, VALIDATION_FOLDS.

    Returns:
        ``linear_probe_top1`` and, with more than five classes, ``linear_probe_top5``.

    Raises:
        UserError: If labels or features are missing.
    """
    probe = read_probe(provider, cfg, "linear_probe")
    classifier, choice = fit_with_cv(
        probe.inputs,
        probe.split.label,
        len(probe.split.classes),
        cfg.PROBE.WEIGHT_DECAY_GRID,
        cfg.PROBE.VALIDATION_FOLDS,
    )
    log_selected("linear_probe", "PROBE.WEIGHT_DECAY_GRID", choice)
    return count_hits(classifier.scores(probe.queries), probe.split, "linear_probe")


def log_selected(name: str, key: str, choice: GridSearchResult) -> None:
    """Log the selected setting, and whether the grid should be larger."""
    if not choice.accuracy:
        logger.info("%s: %g of %s, without validation", name, choice.best, key)
        return
    ends = (min(choice.accuracy), max(choice.accuracy))
    hint = f", at the end of {key}: a larger grid may be better" if choice.best in ends else ""
    accuracy = 100 * choice.accuracy[choice.best]
    logger.info("%s: selected %g (%.1f %% in validation)%s", name, choice.best, accuracy, hint)
