"""StiCA's step in the order of the released code: one view, one crop, one pair at a time.

It calls the modules of this project's model, so that only the order of work differs. Crops are
slices, so each view of a batch shares its boxes (FEATURE_CROP.PER_SAMPLE False).

Legend: B batch, V views, C channels, D embedding, T' H' W' feature map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from stica.crops import Boxes
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.models.contracts import CropGroup, Tokens
from slowfast.models.pooling import pool_groups

Embedded = dict[str, list[list[Tensor]]]
"""Kind of crop -> one list per view -> (B, D) of each crop."""


def forward(
    model: nn.Module, batch: Mapping[str, Tensor], *, one_view_at_a_time: bool
) -> tuple[Embedded, Tensor]:
    """Embed full clips, crops and audio.

    Args:
        model: A ``SpaceTimeCropAttend`` with one pathway, audio, and one head for clips and crops.
        batch: ``video`` float (B, V, 3, T, H, W), ``audio`` (B, 1, 1, F, S), ``aug_seed`` (B,).
        one_view_at_a_time: Call the backbone for each view, as the released code does. Batch norm
            then has other statistics. False: one call.

    Returns:
        Embeddings of each kind of crop ("full" for the clips), and those of the audio, (B, D).
    """
    video = batch["video"]
    size, views = video.shape[:2]
    if one_view_at_a_time:
        maps = [model.backbone(video[:, view]).maps[0] for view in range(views)]
    else:
        joint = model.backbone(video.flatten(0, 1)).maps[0]  # rows: B * V
        maps = [joint[view::views] for view in range(views)]
    (boxes,) = model.feature_aug.sample([maps[0].shape[2:]], batch["aug_seed"], size * views)
    kinds = model.feature_aug.kinds.items()
    names = ["full", *(name for name, kind in kinds for _ in range(kind.num))]
    found = embed_crops(maps, boxes, model.pooling, model.head_video)
    embedded: Embedded = {name: [[] for _ in range(views)] for name in dict.fromkeys(names)}
    for view, crops in enumerate(found):
        for name, crop in zip(names, crops, strict=True):
            embedded[name][view].append(crop)
    return embedded, model.embed_audio(batch["audio"][:, 0])[1]


def embed_crops(
    maps: Sequence[Tensor],
    boxes: Boxes,
    pooling: nn.Module,
    head: Callable[[Tensor], Tensor],
) -> list[list[Tensor]]:
    """Slice, average over space, pool and embed one crop of one view at a time.

    Args:
        maps: One (B, C, T', H', W') per view.
        boxes: Row n belongs to view ``n % V``; all samples of a view share theirs.
        pooling: One ``Tokens`` per pathway -> (B, C).
        head: (B, C) -> (B, D).

    Returns:
        One list per view: (B, D) of the full map, of each crop in space and of each in time.
    """
    embedded = []
    for view, full in enumerate(maps):
        crops = [(full, 0)]
        for row0, row1, col0, col1 in boxes.space[view].tolist():
            crops.append((full[..., row0:row1, col0:col1], 0))
        for first, last in boxes.time[view].tolist():
            crops.append((full[:, :, first:last], first))
        embedded.append([head(_pool(pooling, values, first)) for values, first in crops])
    return embedded


def _pool(pooling: nn.Module, crop: Tensor, first: int) -> Tensor:
    values = crop.mean(dim=(3, 4)).transpose(1, 2)  # (B, T', C)
    positions = torch.arange(first, first + values.shape[1]).expand(len(values), -1)
    tokens = Tokens(values, torch.ones_like(positions, dtype=torch.bool), positions)
    return pool_groups(pooling, [CropGroup(("crop",), [tokens], torch.arange(len(values)))])


def info_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Compute the loss of one pair: (B, D) against (B, D); the key gets no gradient."""
    logits = query @ key.detach().T / temperature
    return F.cross_entropy(logits, torch.arange(len(query)))


def stica_loss(
    embedded: Embedded,
    audio: Tensor,
    *,
    temperature_cross: float,
    temperature_within: float,
    within_weight: float,
) -> Tensor:
    """Compute the total loss, one pair of embeddings at a time.

    Args:
        embedded: As ``forward`` returns.
        audio: (B, D).
        temperature_cross: STICA.TEMPERATURE_CROSS.
        temperature_within: STICA.TEMPERATURE_WITHIN.
        within_weight: STICA.WITHIN_WEIGHT.

    Returns:
        Scalar.
    """
    cross = []
    for (video,) in embedded["full"]:
        cross.append(info_nce(video, audio, temperature_cross))
        cross.append(info_nce(audio, video, temperature_cross))
    axes = []
    for axis in ("space", "time"):
        large, small = embedded[f"{axis}_large"], embedded[f"{axis}_small"]
        pairs = [
            info_nce(query, key, temperature_within)
            for one in range(len(large))
            for other in range(len(large))
            if one != other
            for query in large[one] + small[one]
            for key in large[other]
        ]
        axes.append(mean(pairs))
    return (1 - within_weight) * mean(cross) + within_weight * mean(axes)


def mean(values: Sequence[Tensor]) -> Tensor:
    """Average scalars."""
    return torch.stack(list(values)).mean()


def loss_of_config(stica: Any) -> dict[str, float]:
    """Return the settings of ``stica_loss`` from the STICA section."""
    return {
        "temperature_cross": stica.TEMPERATURE_CROSS,
        "temperature_within": stica.TEMPERATURE_WITHIN,
        "within_weight": stica.WITHIN_WEIGHT,
    }
