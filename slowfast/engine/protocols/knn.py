"""k-nearest-neighbor classification with frozen features."""

from __future__ import annotations

from torch.nn import functional as F

from slowfast.config import CfgNode
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result
from slowfast.engine.protocols.probe import count_hits, read_probe
from slowfast.utils.knn import knn_search, knn_vote

__all__ = ["knn"]


@PROTOCOL_REGISTRY.register(one_label=True)
def knn(provider: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure a weighted nearest-neighbor classifier: cosine similarity with temperature.

    Args:
        provider: Features of both splits.
        cfg: PROBE.FEATURE, KNN_K (at most the gallery's size), KNN_TEMPERATURE.

    Returns:
        ``knn_top1`` and, with more than five classes, ``knn_top5``.

    Raises:
        UserError: If labels or features are missing.
    """
    probe = read_probe(provider, cfg, "knn")
    neighbors = knn_search(
        F.normalize(probe.queries, dim=1),
        F.normalize(probe.inputs, dim=1),
        min(cfg.PROBE.KNN_K, len(probe.inputs)),
    )
    split = probe.split
    votes = knn_vote(neighbors, split.label, len(split.classes), cfg.PROBE.KNN_TEMPERATURE)
    return count_hits(votes, split, "knn")
