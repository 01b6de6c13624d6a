"""Multi-view classification with the model's head: class scores are averaged over views."""

from __future__ import annotations

from slowfast.config import CfgNode, ConfigValueError
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result
from slowfast.engine.protocols.probe import need_labels
from slowfast.utils.metrics import mean_class_accuracy, topk_hits

__all__ = ["classification"]


@PROTOCOL_REGISTRY.register()
def classification(provider: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure a classifier of video or audio on the test split.

    Returns:
        ``top1_acc``, ``mean_class_acc`` (the mean over the classes of each class's top-1 accuracy)
        and, with more than five classes, ``top5_acc``.

    Raises:
        UserError: If the model has no class scores, or labels are missing or beyond its classes.
    """
    table = provider.features("test")
    scores = table.features.get("scores")
    if scores is None:
        raise ConfigValueError(
            "TEST.PROTOCOLS",
            "'classification' needs a classifier, but this model has no class "
            "scores; use class_retrieval or linear_probe.",
        )
    need_labels("classification", table.label)
    classes, most = scores.shape[1], int(table.label.max())
    if most >= classes:
        raise ConfigValueError(
            "MODEL.NUM_CLASSES",
            f"the head has {classes} classes, but the test split has label "
            f"{most}; expected 0 to {classes - 1}.",
        )
    count = len(table)
    hits = topk_hits(scores, table.label, 1)
    results = {
        "top1_acc": Result(float(hits.mean()), 1 / classes, count=count),
        "mean_class_acc": Result(mean_class_accuracy(hits, table.label), 1 / classes),
    }
    if classes > 5:
        value = float(topk_hits(scores, table.label, 5).mean())
        results["top5_acc"] = Result(value, 5 / classes, count=count)
    return results
