"""Losses of a classifier, over the full feature map and its crops.

Legend: B batch, V views, K crops, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from slowfast.config.problems import ParameterError, keys
from slowfast.models.build import LOSS_REGISTRY
from slowfast.models.classifier import ClassifierOutputs
from slowfast.utils import distributed

__all__ = [
    "ClassificationLoss",
    "bce",
    "bce_logit",
    "binary_loss",
    "cross_entropy",
    "label_loss",
    "soft_cross_entropy",
    "soft_label_loss",
    "topk_errors",
]

# (logits (M, C), labels of M rows, weights of the classes (C,) or None) -> (M,)
RowLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def label_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy with one label per row.

    Args:
        logits: float (M, C).
        labels: int64 (M,).
        weights: float (C,), of the rows of each class; None: 1.

    Returns:
        float (M,).
    """
    weight = None if weights is None else weights.to(logits)
    return F.cross_entropy(logits, labels, weight=weight, reduction="none")


def soft_label_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy with a soft label per row, as with mixup.

    Args:
        logits: float (M, C).
        labels: float (M, C), not negative; each row is scaled to sum to 1. Or int64 (M,): class
            indices, as one-hot labels.
        weights: float (C,), of the parts of a label; None: 1.

    Returns:
        float (M,).
    """
    if labels.dim() == 1:
        return label_loss(logits, labels, weights)
    target = labels / labels.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(labels.dtype).eps)
    if weights is not None:
        target = target * weights.to(target)
    return -(target * logits.log_softmax(dim=-1)).sum(dim=-1)


def binary_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of every class, averaged over classes.

    Args:
        logits: float (M, C).
        labels: (M, C) of 0 and 1, or probabilities. Or int64 (M,): one class per row.
        weights: float (C,), of the positives of each class; None: 1.

    Returns:
        float (M,).
    """
    target = labels
    if labels.dim() == 1:
        target = labels.unsqueeze(-1) == torch.arange(logits.shape[-1], device=labels.device)
    target = target.to(logits.dtype)
    weight = None if weights is None else weights.to(logits)
    losses = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
    return losses.mean(dim=-1)


def topk_errors(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Measure how often the label is not among the highest logits, for the log.

    Args:
        logits: float (B, V, C).
        labels: int64 (B,), or soft labels as with mixup, float (B, C); empty result for others.

    Returns:
        ``top1_err`` and, with more than five classes, ``top5_err``, in percent; detached. With
        soft labels, as in PySlowFast, the two most probable classes count as one, whose logit is
        the sum of theirs.
    """
    logits = logits.detach()
    if labels.dim() == 2 and labels.is_floating_point():
        logits, labels = _merge_two(logits, labels)
    if labels.dim() != 1:
        return {}
    best = logits.topk(min(5, logits.shape[-1]), dim=-1).indices  # (B, V, 5)
    hits = best == labels[:, None, None]
    ranks = {"top1_err": 1} | ({"top5_err": 5} if logits.shape[-1] > 5 else {})
    return {name: 100 * (1 - hits[..., :k].any(dim=-1).float().mean()) for name, k in ranks.items()}


def _merge_two(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Add the logit of the second class of soft labels to that of the first, and set it to 0.

    Returns:
        Logits (B, V, C) and the first class (B,).
    """
    two = labels.topk(min(2, labels.shape[-1]), dim=-1).indices  # (B, 2)
    index = two[:, None].expand(-1, logits.shape[1], -1)  # (B, V, 2)
    values = logits.gather(-1, index)
    merged = torch.zeros_like(values)
    merged[..., 0] = values.sum(dim=-1)
    return logits.scatter(-1, index, merged), two[:, 0]


class ClassificationLoss:
    """``(1 - w) loss(full map) + w mean loss(crops)``; ``loss(full map)`` without crops.

    Args:
        row_loss: Loss per row.
        crop_weight: w, 0 to 1.
        class_weights: float (C,), see ``row_loss``; None: all 1.
        multi_label: Whether a sample has several labels, so that there is no top-k error.

    Raises:
        ValueError: If w is out of range.
    """

    def __init__(
        self,
        row_loss: RowLoss,
        *,
        crop_weight: float = 0.5,
        class_weights: Tensor | None = None,
        multi_label: bool = False,
    ) -> None:
        if not 0 <= crop_weight <= 1:
            raise ParameterError(
                "crop_weight", f"got {crop_weight}, expected a number from 0 to 1."
            )
        self.row_loss = row_loss
        self.crop_weight = crop_weight
        self.class_weights = class_weights
        self.multi_label = multi_label

    def __call__(self, outputs: ClassifierOutputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the loss.

        With gradients enabled, the mean of ``loss`` over processes is the mean over all their valid
        rows (see :func:`slowfast.utils.distributed.global_mean`), and every process must call this.
        In evaluation, processes may have different numbers of batches, so each averages over its
        own rows.

        Args:
            outputs: Outputs of the model.
            batch: ``label`` int64 (B,), or (B, C), such as soft labels, and optionally ``valid``
                bool (B,): rows that are False do not count.

        Returns:
            ``loss``; with crops also ``loss_full`` and ``loss_crops``; unless several labels are
            right, ``top1_err`` and ``top5_err`` of the full map, in percent.
        """
        full = self._mean(outputs.logits[None], batch)
        errors = {}
        if not self.multi_label:
            errors = topk_errors(outputs.logits, batch["label"])
        if outputs.crop_logits is None:
            return {"loss": full, **errors}
        crops = self._mean(outputs.crop_logits, batch)
        total = (1 - self.crop_weight) * full + self.crop_weight * crops
        components = {"loss_full": full.detach(), "loss_crops": crops.detach()}
        return {"loss": total, **components, **errors}

    def _mean(self, logits: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Average over crops, views and valid rows: (K, B, V, C) -> scalar."""
        crops, rows, views, _ = logits.shape
        labels, valid = batch["label"], batch.get("valid")
        if valid is not None:  # invalid rows may have no label (-1)
            labels = torch.where(valid.view(-1, *(1,) * (labels.dim() - 1)), labels, 0)
        repeated = labels[None, :, None].expand(crops, rows, views, *labels.shape[1:])
        wide = torch.promote_types(logits.dtype, torch.float32)
        rows_of_logits = logits.flatten(0, 2).to(wide)
        if self.class_weights is not None:  # kept where it is needed: a copy makes the host wait
            self.class_weights = self.class_weights.to(logits.device)
        losses = self.row_loss(rows_of_logits, repeated.flatten(0, 2), self.class_weights)
        per_row = losses.view(crops, rows, views).transpose(0, 1)  # (B, K, V)
        return distributed.global_mean(per_row, valid, joint=torch.is_grad_enabled())


def _build(cfg: CfgNode, row_loss: RowLoss) -> ClassificationLoss:
    """Read MODEL.FEATURE_AUG_WEIGHT, SOLVER.CLASS_WEIGHTS and DATA.MULTI_LABEL."""
    weights = cfg.SOLVER.CLASS_WEIGHTS
    with keys(crop_weight="MODEL.FEATURE_AUG_WEIGHT"):
        return ClassificationLoss(
            row_loss,
            crop_weight=cfg.MODEL.FEATURE_AUG_WEIGHT,
            class_weights=torch.tensor(weights) if weights else None,
            multi_label=cfg.DATA.MULTI_LABEL,
        )


@LOSS_REGISTRY.register(soft_labels=True, class_weights=True)
def cross_entropy(cfg: CfgNode) -> ClassificationLoss:
    """Build cross-entropy with one label per sample; see ``_build``."""
    return _build(cfg, label_loss)


@LOSS_REGISTRY.register(soft_labels=True, class_weights=True)
def soft_cross_entropy(cfg: CfgNode) -> ClassificationLoss:
    """Build cross-entropy with a distribution per sample; see ``_build``."""
    return _build(cfg, soft_label_loss)


@LOSS_REGISTRY.register(soft_labels=True, class_weights=True)
def bce(cfg: CfgNode) -> ClassificationLoss:
    """Build binary cross-entropy of ``sigmoid(logits)``; heads always return logits."""
    return _build(cfg, binary_loss)


@LOSS_REGISTRY.register(soft_labels=True, class_weights=True)
def bce_logit(cfg: CfgNode) -> ClassificationLoss:
    """Build binary cross-entropy of logits, PySlowFast's name for the stable computation."""
    return _build(cfg, binary_loss)
