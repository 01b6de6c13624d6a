"""Nearest-neighbor retrieval of the same class with frozen features."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from slowfast.config import CfgNode
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result
from slowfast.engine.protocols.probe import read_probe
from slowfast.utils.knn import knn_search

__all__ = ["class_retrieval"]


@PROTOCOL_REGISTRY.register(one_label=True)
def class_retrieval(provider: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure class retrieval: whether one of the k nearest gallery videos has the query's class.

    Queries are the test split, the gallery is the train split; cosine similarity of pooled
    features. The protocol follows clip order prediction (Xu et al., CVPR 2019).

    Args:
        provider: Features of both splits.
        cfg: PROBE.FEATURE, RANKS.

    Returns:
        ``class_retrieval_r<k>`` for each rank up to the gallery's size. The chance level is that of
        k random gallery videos.

    Raises:
        UserError: If labels or features are missing.
    """
    probe = read_probe(provider, cfg, "class_retrieval")
    label, target = probe.split.label, probe.split.target
    ranks = [k for k in cfg.PROBE.RANKS if k <= len(label)]
    if not ranks:
        return {}
    nearest = knn_search(
        F.normalize(probe.queries, dim=1), F.normalize(probe.inputs, dim=1), max(ranks)
    ).row  # (N, max k)
    hits = label[nearest] == target.unsqueeze(1)
    share = torch.bincount(label)[target.clamp(min=0)] / len(label)
    share = share.double() * (target >= 0)  # fraction of the gallery with the query's class
    return {
        f"class_retrieval_r{k}": Result(
            float(hits[:, :k].any(dim=1).double().mean()),
            float((1 - (1 - share) ** k).mean()),
            count=len(target),
        )
        for k in ranks
    }
