"""StiCA's objective: cross-modal and within-modal noise-contrastive (InfoNCE) losses.

The cross-modal loss contrasts a video's own audio with the audio of other videos; the within-modal
loss contrasts crops of two views of a video with crops of other videos. Every pair of a query crop
and a key crop is one :func:`slowfast.models.losses.info_nce.info_nce`; here all pairs of an axis
share one gathering of keys and one matrix product.

Legend: B batch of one process, V views, K large and S small crops, D embedding, N keys after
gathering, Q query crops, P key crops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from slowfast.config.problems import ConfigValueError
from slowfast.models.losses.chance import LossWithChance
from slowfast.utils import distributed
from slowfast.utils.env import full_precision
from stica.model import STiCAOutputs

__all__ = [
    "build_loss",
    "chance_level",
    "cross_modal_loss",
    "multi_crop_info_nce",
    "stica_loss",
    "valid_rows",
    "within_modal_loss",
]


def multi_crop_info_nce(
    query: Tensor,
    key: Tensor,
    temperature: float,
    valid: Tensor | None = None,
    *,
    queue: Tensor | None = None,
) -> Tensor:
    """Average the noise-contrastive loss over all pairs of a query crop and a key crop.

    ``NCE(q, k) = -1/B sum_i log( exp(q_i . k_i / t) / sum_j exp(q_i . k_j / t) )``; j runs over the
    samples of all processes. Keys get no gradient. While gradients are recorded, the mean over
    processes is the loss of the global batch; otherwise each process uses its own batch only.

    Args:
        query: float (Q, B, D), rows of length 1.
        key: float (P, B, D), rows of length 1.
        temperature: t > 0.
        valid: bool (B,): rows that are False are neither queries nor keys. None: all are valid.
        queue: float (L, D), keys of past batches, which are further negatives of every query.

    Returns:
        Scalar, float32 (float64 for float64 input).
    """
    joint = torch.is_grad_enabled()
    gather = distributed.gather_no_gradient if joint else torch.Tensor.detach
    batch = query.shape[1]
    keys = gather(key.transpose(0, 1).contiguous())  # (N, P, D)
    row = torch.arange(batch, device=query.device)
    target = row + (distributed.rank() * batch if joint else 0)
    # Half precision has about 3 digits: too few for logits of +-1/t.
    with full_precision(query.device):
        wide = torch.promote_types(query.dtype, torch.float32)
        logits = torch.einsum("qbd,npd->bnqp", query.to(wide), keys.to(wide)) / temperature
        if valid is not None:
            # A row's own key stays, so that the losses of invalid rows are finite, too.
            own = torch.arange(keys.shape[0], device=query.device) == target[:, None]  # (B, N)
            is_key = gather(valid) | own
            logits = logits.masked_fill(~is_key[:, :, None, None], float("-inf"))
        if queue is not None:
            past = torch.einsum("qbd,ld->blq", query.to(wide), queue.to(wide)) / temperature
            past = past[..., None].expand(-1, -1, -1, key.shape[0])  # (B, L, Q, P)
            logits = torch.cat([logits, past], dim=1)
        targets = target[:, None, None].expand(-1, *logits.shape[2:])
        losses = F.cross_entropy(logits, targets, reduction="none")  # (B, Q, P)
        return distributed.global_mean(losses, valid, joint=joint)


def cross_modal_loss(
    video: Tensor,
    audio: Tensor,
    temperature: float,
    valid: Tensor | None = None,
    *,
    queues: tuple[Tensor | None, Tensor | None] = (None, None),
) -> Tensor:
    """Contrast a video's own audio with other audio, and an audio's own video with other videos.

    The cross-modal loss of StiCA, the same as that of its predecessor GDT: the mean over views of
    ``1/2 NCE(video, audio) + 1/2 NCE(audio, video)``.

    Args:
        video: float (V, B, D), full clips, or V crops.
        audio: float (B, D).
        temperature: STICA.TEMPERATURE_CROSS.
        valid: bool (B,), samples with audio; None: all.
        queues: float (L, D) of video and of audio, further negatives (STICA.QUEUE_LEN).

    Returns:
        Scalar.
    """
    of_video, of_audio = queues
    to_audio = multi_crop_info_nce(video, audio[None], temperature, valid, queue=of_audio)
    to_video = multi_crop_info_nce(audio[None], video, temperature, valid, queue=of_video)
    return (to_audio + to_video) / 2


def within_modal_loss(
    large: Tensor,
    small: Tensor,
    temperature: float,
    valid: Tensor | None = None,
    *,
    pairs: str = "all",
) -> Tensor:
    """Compare crops of one view with the large crops of the other, along one axis.

    The within-modal loss of StiCA: the mean of ``NCE(query, key)`` over all ordered pairs of
    different views. All crops of the first view (large and small) are queries, all large crops of
    the second view are keys.

    Args:
        large: float (V, K, B, D), V >= 2.
        small: float (V, S, B, D).
        temperature: STICA.TEMPERATURE_WITHIN.
        valid: bool (B,); None: all.
        pairs: STICA.PAIRS. ``released``: the mean over the pairs of the released code, which are
            the last large crops of both views (both ways, as one pair) and every small crop of the
            second view as query with every large crop of the first as key.

    Returns:
        Scalar.

    Raises:
        ValueError: If there is one view only.
    """
    views = large.shape[0]
    if views < 2:
        raise ConfigValueError(
            "DATA.TRAIN_CROP_NUM_SPATIAL",
            f"got {views} view; crops are compared between views. "
            "Set 2, or STICA.WITHIN_WEIGHT 0.0.",
        )
    if pairs == "released":
        one, other = large[0, -1:], large[1, -1:]
        both_ways = multi_crop_info_nce(other, one, temperature, valid)
        both_ways = (both_ways + multi_crop_info_nce(one, other, temperature, valid)) / 2
        count = small.shape[1] * large.shape[1]
        if count == 0:
            return both_ways
        return (both_ways + count * multi_crop_info_nce(small[1], large[0], temperature, valid)) / (
            1 + count
        )
    crops = torch.cat([large, small], dim=1)  # (V, K + S, B, D)
    losses = [
        multi_crop_info_nce(crops[view], large[other], temperature, valid)
        for view in range(views)
        for other in range(views)
        if other != view
    ]
    return torch.stack(losses).mean()


def valid_rows(batch: Mapping[str, Any], *, with_audio: bool) -> Tensor | None:
    """Return the mask of the samples that enter the loss.

    Args:
        batch: ``valid`` bool (B,) and ``audio_valid`` bool (B, A), both optional.
        with_audio: Only samples that have audio.

    Returns:
        bool (B,), or None for all samples.
    """
    valid = batch.get("valid")
    audio_valid = batch.get("audio_valid") if with_audio else None
    if audio_valid is None:
        return valid
    has_audio = audio_valid[:, 0]  # in training a sample has one audio clip
    return has_audio if valid is None else has_audio & valid


def stica_loss(
    outputs: STiCAOutputs,
    batch: Mapping[str, Any],
    *,
    temperature_cross: float,
    temperature_within: float,
    within_weight: float,
    pairs: str = "all",
    crop_keys: str = "video",
) -> dict[str, Tensor]:
    """Compute StiCA's total loss.

    ``total = (1 - w) cross + w within``, where ``within`` is the mean over the axes (space, time)
    that have large crops. A loss without embeddings is left out together with its weight, and the
    weights of the others are normalized to sum to 1. With ``crop_keys`` "audio" (ours, not the
    paper's) every crop is contrasted with the audio, as full clips are, and ``crops`` replaces
    ``within``.

    Args:
        outputs: Embeddings of the model.
        batch: See ``valid_rows``.
        temperature_cross: Temperature of the cross-modal loss.
        temperature_within: Temperature of the within-modal losses.
        within_weight: w, 0 to 1.
        pairs: See ``within_modal_loss``.
        crop_keys: STICA.CROP_KEYS, "video" or "audio".

    Returns:
        ``loss`` and, where present and detached, ``loss_cross``, ``loss_within`` or
        ``loss_crops``, ``loss_space`` and ``loss_time``.

    Raises:
        ValueError: If no loss is left.
    """
    losses: dict[str, Tensor] = {}
    weighted: list[tuple[float, Tensor]] = []
    if outputs.video is not None and outputs.audio is not None:
        valid = valid_rows(batch, with_audio=True)
        queues = (outputs.queue_video, outputs.queue_audio)
        cross = cross_modal_loss(
            outputs.video, outputs.audio, temperature_cross, valid, queues=queues
        )
        losses["loss_cross"] = cross
        weighted.append((1 - within_weight, cross))
    axes = {
        "loss_space": (outputs.space_large, outputs.space_small),
        "loss_time": (outputs.time_large, outputs.time_small),
    }
    axes = {name: crops for name, crops in axes.items() if crops[0].shape[1] > 0}
    if crop_keys == "audio" and outputs.audio is not None:
        title, valid = "loss_crops", valid_rows(batch, with_audio=True)
        of_axes = {
            name: cross_modal_loss(
                torch.cat(crops, dim=1).flatten(0, 1), outputs.audio, temperature_cross, valid
            )
            for name, crops in axes.items()
        }
    else:
        title, valid = "loss_within", valid_rows(batch, with_audio=False)
        of_axes = {
            name: within_modal_loss(*crops, temperature_within, valid, pairs=pairs)
            for name, crops in axes.items()
        }
    if of_axes:
        losses[title] = torch.stack(list(of_axes.values())).mean()
        weighted.append((within_weight, losses[title]))
        losses |= of_axes
    total_weight = sum(weight for weight, _ in weighted)
    if total_weight == 0:
        raise ConfigValueError(
            "STICA.WITHIN_WEIGHT",
            f"got {within_weight}, and the model's outputs leave no loss to compute. "
            "Set AUDIO.ENABLE True with a weight below 1, or MODEL.FEATURE_AUG "
            "feature_crop with large crops and a weight above 0.",
        )
    total = torch.stack([weight / total_weight * loss for weight, loss in weighted]).sum()
    return {"loss": total, **{name: loss.detach() for name, loss in losses.items()}}


def chance_level(outputs: STiCAOutputs, within_weight: float) -> float:
    """Return ``stica_loss`` when all embeddings are equal: the logarithm of the candidates.

    Candidates are the clips of all processes, in the cross-modal loss also those of the queue.

    Args:
        outputs: Embeddings of the model, of which only the shapes are read.
        within_weight: w, 0 to 1.
    """
    candidates = outputs.space_large.shape[2] * distributed.world_size()
    if outputs.queue_audio is None:
        return math.log(candidates)
    has_crops = outputs.space_large.shape[1] + outputs.time_large.shape[1] > 0
    share_cross = 1 - within_weight if has_crops else 1.0
    return math.log(candidates) + share_cross * math.log1p(len(outputs.queue_audio) / candidates)


def build_loss(cfg: CfgNode) -> LossWithChance:
    """Build the loss from STICA.TEMPERATURE_*, WITHIN_WEIGHT, PAIRS and CROP_KEYS.

    Returns:
        ``(outputs, batch) -> losses``.
    """
    loss = partial(
        stica_loss,
        temperature_cross=cfg.STICA.TEMPERATURE_CROSS,
        temperature_within=cfg.STICA.TEMPERATURE_WITHIN,
        within_weight=cfg.STICA.WITHIN_WEIGHT,
        pairs=cfg.STICA.PAIRS,
        crop_keys=cfg.STICA.CROP_KEYS,
    )
    return LossWithChance(loss, partial(chance_level, within_weight=cfg.STICA.WITHIN_WEIGHT))
