"""Multi-view classification: the views' class scores are averaged, top-1 and top-5 reported."""

from __future__ import annotations

from slowfast.config import CfgNode, UserError
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, Evidence, Result
from slowfast.utils.metrics import topk_accuracy

__all__ = ["classification"]


@PROTOCOL_REGISTRY.register()
def classification(evidence: Evidence, cfg: CfgNode) -> dict[str, Result]:
    """Measure top-1 and top-5 accuracy on the test split.

    Args:
        evidence: Features with ``scores``.
        cfg: The configuration; MODEL.NUM_CLASSES.

    Returns:
        ``top1_acc`` and, with more than five classes, ``top5_acc``.

    Raises:
        UserError: If the model has no class scores or the videos have no labels.
    """
    table = evidence.features("test")
    scores = table.features.get("scores")
    if scores is None:
        raise UserError(
            "TEST.PROTOCOLS: 'classification' needs a classifier, but this model gives no class "
            "scores; use class_retrieval."
        )
    if (table.label < 0).any():
        raise UserError("TEST.PROTOCOLS: 'classification' needs a label for every video.")
    classes = scores.shape[1]
    results = {}
    for k in (1, 5):
        if k == 1 or k < classes:
            value = topk_accuracy(scores, table.label, k)
            results[f"top{k}_acc"] = Result(value, k / classes)
    return results
