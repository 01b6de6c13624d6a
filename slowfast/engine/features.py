"""Features of a whole split: one pass, views averaged, every video once over all ranks.

Legend: B batch, V views, A temporal clips, C channels, D embedding, N videos, M classes.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from slowfast.config import UserError
from slowfast.engine.precision import Precision
from slowfast.models.heads import activate
from slowfast.utils import distributed

__all__ = [
    "EmbeddingModel",
    "FeatureTable",
    "average_views",
    "extract_features",
    "gather_rows",
]

logger = logging.getLogger(__name__)


class EmbeddingModel(Protocol):
    """A model that can be evaluated.

    ``embed(batch)`` returns what it has of: ``video`` (B, V, C) pooled features, ``audio``
    (B, A, C), ``video_embedding`` (B, V, D) and ``audio_embedding`` (B, A, D) in one space,
    L2-normalised, and ``logits`` (B, V, M) of a classifier.
    """

    def embed(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embed one prepared batch."""


@dataclass(frozen=True)
class FeatureTable:
    """One row per video, in the order of the manifest.

    Attributes:
        features: Name -> float32 (N, ...), the mean over all views; ``*_embedding`` normalised
            again after averaging.
        label: int64 (N,), -1 where unknown.
        index: int64 (N,), row of the manifest.
        audio_valid: bool (N,), whether any clip had sound.
        num_views: int64 (N,), views that were averaged.
    """

    features: dict[str, Tensor]
    label: Tensor
    index: Tensor
    audio_valid: Tensor
    num_views: Tensor

    def __len__(self) -> int:
        return len(self.index)


def extract_features(
    model: nn.Module,
    batches: Iterable[dict[str, Tensor]],
    precision: Precision,
    *,
    title: str,
    head_act: str = "softmax",
) -> FeatureTable:
    """Embed a split and average the views of each video.

    Args:
        model: An EmbeddingModel; its mode is restored afterwards.
        batches: Prepared batches of this rank.
        precision: As in training.
        title: For the progress bar.
        head_act: MODEL.HEAD_ACT; turns each view's logits into scores before averaging.

    Returns:
        The table over all ranks, the same on each.

    Raises:
        UserError: If there is not a single usable sample on any rank.
    """
    was_training = model.training
    model.eval()
    rows: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    for batch in tqdm(batches, title, disable=not sys.stderr.isatty(), leave=False):
        with precision.no_grad_autocast():
            embedded = dict(model.embed(batch))  # type: ignore[operator]
        if "logits" in embedded:
            embedded["scores"] = activate(embedded.pop("logits").float(), head_act)
        rows.append((embedded, _about(batch)))
    model.train(was_training)
    return average_views(gather_rows(rows))


def average_views(rows: dict[str, Tensor]) -> FeatureTable:
    """Combine the chunks of each video.

    Args:
        rows: ``label``, ``index``, ``audio_valid``, ``count.<name>`` and ``sum.<name>``, one row
            per chunk of views.

    Returns:
        One row per video, sorted by index.
    """
    index, inverse = torch.unique(rows["index"], return_inverse=True)
    first = torch.full_like(index, len(inverse)).scatter_reduce_(
        0, inverse, torch.arange(len(inverse)), "amin"
    )
    features = {}
    for name in [key.removeprefix("sum.") for key in rows if key.startswith("sum.")]:
        values = rows[f"sum.{name}"]
        total = values.new_zeros(len(index), *values.shape[1:]).index_add_(0, inverse, values)
        count = torch.zeros(len(index)).index_add_(0, inverse, rows[f"count.{name}"].float())
        mean = total / count.clamp(min=1).view(-1, *[1] * (values.dim() - 1))
        features[name] = F.normalize(mean, dim=-1) if name.endswith("_embedding") else mean
    valid = torch.zeros(len(index)).index_add_(0, inverse, rows["audio_valid"].float()) > 0
    views = torch.zeros(len(index), dtype=torch.int64).index_add_(0, inverse, rows["num_views"])
    return FeatureTable(features, rows["label"][first], index, valid, views)


def gather_rows(
    described: Sequence[tuple[dict[str, Tensor], dict[str, Tensor]]],
) -> dict[str, Tensor]:
    """Add up the views of each chunk, and join the chunks of all ranks.

    Args:
        described: Per batch of this rank: name -> float (B, V or A, ...), and the batch, of which
            ``label``, ``index``, ``audio_valid`` and the number of views are read. A rank may have
            none.

    Returns:
        What ``average_views`` takes, the same on each rank.

    Raises:
        UserError: If there is not a single usable sample on any rank.
    """
    rows = [_sum_views(values, batch) for values, batch in described]
    own = {key: torch.cat([row[key] for row in rows]) for key in rows[0]} if rows else {}
    if distributed.world_size() == 1:
        columns = own
    else:
        schemas: list[dict[str, tuple[torch.Size, torch.dtype]]] = [{}] * distributed.world_size()
        schema = {key: (value.shape[1:], value.dtype) for key, value in own.items()}
        torch.distributed.all_gather_object(schemas, schema)
        known = next((s for s in schemas if s), {})
        columns = {
            key: distributed.gather_ragged(own.get(key, torch.empty(0, *shape, dtype=dtype)))
            for key, (shape, dtype) in known.items()
        }
    if not columns:
        raise UserError("no sample of the split could be used; the reasons are in bad_media.csv.")
    return columns


def _about(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keep what is needed of a batch later, and let go of its frames."""
    kept = {name: batch[name].cpu() for name in ("label", "index", "view")}
    if "audio_valid" in batch:
        kept["audio_valid"] = batch["audio_valid"].cpu()
    return kept


def _sum_views(described: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add up the views of each sample; the count allows chunks of any size to be combined."""
    num = len(batch["index"])
    has_sound = batch.get("audio_valid", torch.zeros(num, 1, dtype=torch.bool)).cpu()
    rows = {
        "label": batch["label"].cpu(),
        "index": batch["index"].cpu(),
        "audio_valid": has_sound.any(dim=1),
        "num_views": torch.full((num,), batch["view"].shape[1]),
    }
    for name, values in described.items():
        weight = torch.ones(values.shape[:2])
        if name.startswith("audio"):
            weight = has_sound.float()
        rows[f"sum.{name}"] = (values.float().cpu() * weight.unsqueeze(-1)).sum(dim=1)
        rows[f"count.{name}"] = weight.sum(dim=1)
    return rows
