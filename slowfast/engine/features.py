"""Extracts features of a split: one pass, views averaged, each video once over all ranks.

The sum over the views of a video does not depend on the number of ranks: it is in float64 and in
the order of the views. The number of views per batch only changes the rounding of that sum, which
is far below that of the float32 result.

Legend: B batch, V views, A temporal clips, C channels, D embedding, N videos, M classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config import UserError
from slowfast.engine.precision import Precision
from slowfast.models.heads import activate
from slowfast.utils import distributed
from slowfast.utils.progress import progress

__all__ = [
    "EmbeddingModel",
    "FeatureTable",
    "add_views",
    "average_views",
    "embed_batch",
    "extract_features",
    "gather_rows",
    "sum_views",
]


class EmbeddingModel(Protocol):
    """A model that can be evaluated.

    ``embed(batch)`` returns the available ones of: ``video`` (B, V, C) pooled features, ``audio``
    (B, A, C), ``video_embedding`` (B, V, D) and ``audio_embedding`` (B, A, D) in one space,
    L2-normalized, and ``logits`` of a classifier: (B, V, M), or (B, A, M) when it has no ``video``.
    The V views are those of the first clip, then those of the second, and so on.
    """

    def embed(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embed one prepared batch."""


@dataclass(frozen=True)
class FeatureTable:
    """One row per video, in the order of the manifest.

    Attributes:
        features: Name -> float32 (N, ...), the mean outputs of ``embed`` over all views, with
            ``*_embedding`` normalized again after averaging, ``scores`` (N, M) for ``logits``: the
            mean or, by DATA.ENSEMBLE_METHOD, the maximum, and, with both embeddings,
            ``similarity`` (N, 1): the cosine of each view with the audio of its own clip.
            ``audio*`` and ``similarity`` average over clips with audio only, zero if there are
            none.
        label: int64 (N,), -1 where unknown; with DATA.MULTI_LABEL float32 (N, M) of 0 and 1, a row
            of -1 where unknown.
        index: int64 (N,), row of the manifest.
        audio_valid: bool (N,), whether any clip had audio.
        num_views: int64 (N,), views that were averaged.
    """

    features: dict[str, Tensor]
    label: Tensor
    index: Tensor
    audio_valid: Tensor
    num_views: Tensor

    def __len__(self) -> int:
        return len(self.index)

    @property
    def is_multi_label(self) -> bool:
        """Whether labels are multi-hot."""
        return self.label.dim() > 1

    @property
    def is_labeled(self) -> Tensor:
        """Which videos have a label: bool (N,)."""
        return (self.label >= 0).flatten(1).all(dim=1) if self.is_multi_label else self.label >= 0


def extract_features(
    model: nn.Module,
    batches: Iterable[dict[str, Tensor]],
    precision: Precision,
    *,
    title: str,
    total: int | None = None,
    head_act: str = "softmax",
    ensemble: str = "sum",
    watch: Callable[[dict[str, Tensor], dict[str, Tensor]], None] | None = None,
) -> FeatureTable:
    """Embed a split and average the views of each video.

    Args:
        model: An EmbeddingModel; its mode is restored afterward.
        batches: Prepared batches of this rank.
        precision: As in training.
        title: Name of the split, for the progress bar and messages.
        total: Number of batches, for the progress bar; None if unknown.
        head_act: MODEL.HEAD_ACT; applied to the logits of each view before averaging.
        ensemble: DATA.ENSEMBLE_METHOD: scores are the mean over the views ("sum"), or the maximum
            ("max").
        watch: Called with each batch and the result of ``embed`` for it.

    Returns:
        The table over all ranks, the same on each.

    Raises:
        UserError: If no rank has a usable sample, or the features of one are
            not finite.
    """
    was_training = model.training
    model.eval()
    rows = []
    for batch in progress(batches, f"{title}: features", total, unit="batches"):
        embedded = embed_batch(model, batch, precision, head_act)
        rows.append(add_views(embedded, batch, ensemble))
        if watch is not None:
            watch(batch, embedded)
    model.train(was_training)
    table = average_views(gather_rows(rows))
    _check_finite(table, title)
    return table


def embed_batch(
    model: nn.Module, batch: dict[str, Tensor], precision: Precision, head_act: str
) -> dict[str, Tensor]:
    """Embed a batch, each view by itself.

    Args:
        model: An EmbeddingModel in evaluation mode.
        batch: A prepared batch.
        precision: As in training.
        head_act: MODEL.HEAD_ACT.

    Returns:
        The outputs of ``embed``; ``scores`` instead of ``logits``; and ``similarity``, if there are
        embeddings of both modalities.
    """
    with precision.no_grad_autocast():
        embedded = dict(model.embed(batch))  # type: ignore[operator]
    if "logits" in embedded:
        embedded["scores"] = activate(embedded.pop("logits").float(), head_act)
    if "video_embedding" in embedded and "audio_embedding" in embedded:
        embedded["similarity"] = _clip_similarity(**_embeddings(embedded))
    return embedded


def add_views(
    described: Mapping[str, Tensor], batch: Mapping[str, Tensor], ensemble: str = "sum"
) -> dict[str, Tensor]:
    """Summarize the views of each sample of a batch, for ``average_views``.

    Args:
        described: As for ``sum_views``.
        batch: As for ``sum_views``.
        ensemble: DATA.ENSEMBLE_METHOD.

    Returns:
        The columns of ``sum_views``, and with "max" the highest scores.
    """
    row = sum_views(described, batch)
    if ensemble == "max" and "scores" in described:
        row |= {"max.scores": _max_views(described, batch)}
    return row


def sum_views(described: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sum the views of each sample of a batch; sums and counts of chunks can be combined.

    Args:
        described: Name -> float (B, V or A, ...); see FeatureTable for the clips in use.
        batch: Uses ``label``, ``index``, ``view`` and, with audio, ``audio_valid``.

    Returns:
        On the CPU, one row per sample: ``label``, ``index``, ``audio_valid``, ``first_view``,
        ``num_views``, and ``sum.<name>`` and ``count.<name>``, both float64.
    """
    num = len(batch["index"])
    has_audio = batch.get("audio_valid", torch.zeros(num, 1, dtype=torch.bool)).cpu()
    view = batch["view"].cpu()
    rows = {
        "label": batch["label"].cpu(),
        "index": batch["index"].cpu(),
        "audio_valid": has_audio.any(dim=1),
        "first_view": view[:, 0],
        "num_views": torch.full((num,), view.shape[1]),
    }
    for name, values in described.items():
        weight = torch.ones(values.shape[:2], dtype=torch.float64)  # (B, V or A)
        if _is_audio_feature(name, described):
            crops = values.shape[1] // has_audio.shape[1]
            weight = has_audio.double().repeat_interleave(crops, dim=1)
        total = torch.zeros(num, *values.shape[2:], dtype=torch.float64)
        for number, one in enumerate(values.detach().cpu().double().unbind(dim=1)):
            total += one * weight[:, number].view(-1, *[1] * (one.dim() - 1))
        rows[f"sum.{name}"] = total
        rows[f"count.{name}"] = weight.sum(dim=1)
    return rows


def _max_views(described: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Tensor:
    """Return the highest scores (B, M) of the views in use, -inf if there are none."""
    scores = described["scores"].detach().cpu()
    if not _is_audio_feature("scores", described):
        return scores.amax(dim=1)
    has_audio = batch["audio_valid"].cpu()  # (B, A)
    is_used = has_audio.repeat_interleave(scores.shape[1] // has_audio.shape[1], dim=1)
    return scores.masked_fill(~is_used.unsqueeze(-1), -torch.inf).amax(dim=1)


def gather_rows(own: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join the rows of all batches of all ranks.

    Args:
        own: Results of ``sum_views`` for this rank's batches; may be empty.

    Returns:
        Column -> (rows, ...), the same on each rank.

    Raises:
        UserError: If no rank has a usable sample.
    """
    columns = {key: torch.cat([rows[key] for rows in own]) for key in own[0]} if own else {}
    if distributed.world_size() > 1:
        schemas: list[dict[str, tuple[torch.Size, torch.dtype]]] = [{}] * distributed.world_size()
        schema = {key: (value.shape[1:], value.dtype) for key, value in columns.items()}
        torch.distributed.all_gather_object(schemas, schema)
        known = next((s for s in schemas if s), {})
        columns = {
            key: distributed.all_gather_variable_length(
                columns.pop(key, torch.empty(0, *shape, dtype=dtype))
            )
            for key, (shape, dtype) in known.items()
        }
    if not columns:
        raise UserError("no sample of the split could be used; see bad_media.csv for the reasons.")
    return columns


def average_views(rows: dict[str, Tensor]) -> FeatureTable:
    """Combine the chunks of each video, in the order of its views."""
    order = rows["first_view"].argsort(stable=True)
    order = order[rows["index"][order].argsort(stable=True)]
    rows = {key: values[order] for key, values in rows.items()}
    index, inverse, chunks = torch.unique_consecutive(
        rows["index"], return_inverse=True, return_counts=True
    )

    def add_up(values: Tensor) -> Tensor:
        return values.new_zeros(len(index), *values.shape[1:]).index_add_(0, inverse, values)

    features = {}
    for name in [key.removeprefix("sum.") for key in rows if key.startswith("sum.")]:
        total = add_up(rows[f"sum.{name}"])
        count = add_up(rows[f"count.{name}"]).clamp(min=1)
        mean = (total / count.view(-1, *[1] * (total.dim() - 1))).float()
        features[name] = F.normalize(mean, dim=-1) if name.endswith("_embedding") else mean
    for name in [key.removeprefix("max.") for key in rows if key.startswith("max.")]:
        scores = rows[f"max.{name}"]  # (chunks, M)
        lowest = torch.full_like(features[name], -torch.inf)
        best = lowest.scatter_reduce(0, inverse[:, None].expand_as(scores), scores, "amax")
        features[name] = torch.where(best.isinf(), features[name], best)
    return FeatureTable(
        features,
        rows["label"][chunks.cumsum(0) - chunks],
        index,
        add_up(rows["audio_valid"].long()) > 0,
        add_up(rows["num_views"]),
    )


def _embeddings(embedded: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"video": embedded["video_embedding"], "audio": embedded["audio_embedding"]}


def _clip_similarity(video: Tensor, audio: Tensor) -> Tensor:
    """Compare each view (B, V, D) with the audio (B, A, D) of its clip: cosines (B, V, 1)."""
    views, clips = video.shape[1], audio.shape[1]
    if views % clips:
        raise ValueError(
            f"embed: got {views} views and {clips} audio clips; expected the same number of views "
            "for each clip."
        )
    own_audio = audio.repeat_interleave(views // clips, dim=1)  # (B, V, D)
    return F.cosine_similarity(video.float(), own_audio.float(), dim=-1).unsqueeze(-1)


def _is_audio_feature(name: str, described: Mapping[str, Tensor]) -> bool:
    """Return whether a feature averages over clips with audio only."""
    if name == "scores":
        return "audio" in described and "video" not in described
    return name.startswith("audio") or name == "similarity"


def _check_finite(table: FeatureTable, title: str) -> None:
    """Raise if features are not finite, since protocols would silently return wrong results."""
    for name, values in table.features.items():
        broken = ~values.flatten(1).isfinite().all(dim=1)
        if broken.any():
            raise UserError(
                f"{title}: the model's '{name}' of {int(broken.sum())} of {len(table)} videos are "
                f"not finite (first: row {int(table.index[broken][0])} of the manifest). Its "
                "weights have diverged, or TRAIN.MIXED_PRECISION overflows: try bf16, or False."
            )
