"""Multi-view classification with the model's head: class scores are combined over the views.

Legend: N labeled videos, M classes.
"""

from __future__ import annotations

from torch import Tensor

from slowfast.config import CfgNode, ConfigValueError
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result
from slowfast.utils.metrics import average_precision, mean_class_accuracy, topk_hits

__all__ = ["classification"]


@PROTOCOL_REGISTRY.register(needs_head=True)
def classification(provider: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure a classifier of video or audio on the test split.

    Videos without a label do not count. If no video has one, there is nothing to measure; the test
    then writes its predictions only.

    Returns:
        ``top1_acc``, ``mean_class_acc`` (the mean over the classes of each class's top-1 accuracy)
        and, with more than five classes, ``top5_acc``. With DATA.MULTI_LABEL ``map``, the mean over
        the classes with positives of each class's average precision, and ``map_micro``, the average
        precision of all scores together.

    Raises:
        UserError: If the model has no class scores, or a label is beyond its classes.
    """
    table = provider.features("test")
    scores = table.features.get("scores")
    if scores is None:
        raise ConfigValueError(
            "TEST.PROTOCOLS",
            "'classification' needs a classifier, but this model has no class "
            "scores; use class_retrieval or linear_probe.",
        )
    known = table.is_labeled
    if not known.all():
        provider.warn_once(
            f"'classification': {int((~known).sum())} of {len(table)} videos have no label and do "
            "not count" + ("" if known.any() else ": nothing is measured")
        )
    if not known.any():
        return {}
    measure = _average_precision if table.is_multi_label else _accuracy
    return measure(scores[known], table.label[known])


def _accuracy(scores: Tensor, label: Tensor) -> dict[str, Result]:
    """Measure accuracies: float (N, M), int64 (N,)."""
    classes, most, count = scores.shape[1], int(label.max()), len(label)
    if most >= classes:
        raise ConfigValueError(
            "MODEL.NUM_CLASSES",
            f"the head has {classes} classes, but the test split has label "
            f"{most}; expected 0 to {classes - 1}.",
        )
    hits = topk_hits(scores, label, 1)
    results = {
        "top1_acc": Result(float(hits.mean()), 1 / classes, count=count),
        "mean_class_acc": Result(mean_class_accuracy(hits, label), 1 / classes),
    }
    if classes > 5:
        value = float(topk_hits(scores, label, 5).mean())
        results["top5_acc"] = Result(value, 5 / classes, count=count)
    return results


def _average_precision(scores: Tensor, label: Tensor) -> dict[str, Result]:
    """Measure mean average precision: float (N, M), multi-hot (N, M)."""
    if scores.shape != label.shape:
        raise ConfigValueError(
            "MODEL.NUM_CLASSES",
            f"the head has {scores.shape[1]} classes, but labels have {label.shape[1]}.",
        )
    share = label.double().mean(dim=0)  # the average precision of constant scores
    has_positives = share > 0
    if not has_positives.any():
        raise ConfigValueError(
            "TEST.PROTOCOLS",
            "'classification': no test video has a class, so there is no average precision.",
        )
    per_class = average_precision(scores[:, has_positives], label[:, has_positives])
    joint = average_precision(scores.flatten().unsqueeze(1), label.flatten().unsqueeze(1))
    return {
        "map": Result(float(per_class.mean()), float(share[has_positives].mean())),
        "map_micro": Result(float(joint), float(share.mean())),
    }
