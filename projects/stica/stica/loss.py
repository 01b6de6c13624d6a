"""StiCA's objective: cross-modal and within-modal noise-contrastive terms.

A video's own audio is told from other sounds, and crops of one view from the other view's crops of
other videos. Every pair of slots is one :func:`slowfast.models.losses.info_nce.info_nce`; here all
pairs of an axis share one gathering of keys and one matrix product.

Legend: B batch of one process, V views, K large and S small crops, D embedding, N keys after
gathering, Q query slots, P key slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor
from torch.nn import functional as F

from slowfast.config.problems import ConfigValueError
from slowfast.utils import distributed
from stica.model import STiCAOutputs

__all__ = [
    "build_loss",
    "cross_modal_loss",
    "multi_crop_info_nce",
    "stica_loss",
    "valid_rows",
    "within_modal_loss",
]


def multi_crop_info_nce(
    query: Tensor, key: Tensor, temperature: float, valid: Tensor | None = None
) -> Tensor:
    """Average the noise-contrastive loss over all pairs of a query slot and a key slot.

    ``NCE(q, k) = -1/B sum_i log( exp(q_i . k_i / t) / sum_j exp(q_i . k_j / t) )``; j runs over the
    samples of all processes. Keys get no gradient. While gradients are recorded, the mean over
    processes is the loss of the joint batch; otherwise each process is by itself.

    Args:
        query: float (Q, B, D), rows of length 1.
        key: float (P, B, D), rows of length 1.
        temperature: t > 0.
        valid: bool (B,): rows that are False are neither queries nor keys. None: all are valid.

    Returns:
        Scalar, float32 (float64 for float64 input).
    """
    joint = torch.is_grad_enabled()
    gather = distributed.gather_no_gradient if joint else torch.Tensor.detach
    batch = query.shape[1]
    keys = gather(key.transpose(0, 1).contiguous())  # (N, P, D)
    row = torch.arange(batch, device=query.device)
    target = row + (distributed.rank() * batch if joint else 0)
    # Half precision holds about 3 digits: too few for logits of +-1/t.
    with torch.autocast(query.device.type, enabled=False):
        wide = torch.promote_types(query.dtype, torch.float32)
        logits = torch.einsum("qbd,npd->bnqp", query.to(wide), keys.to(wide)) / temperature
        if valid is not None:
            # A row's own key stays, so that rows that do not count are finite too.
            own = torch.arange(keys.shape[0], device=query.device) == target[:, None]  # (B, N)
            is_key = gather(valid) | own
            logits = logits.masked_fill(~is_key[:, :, None, None], float("-inf"))
        targets = target[:, None, None].expand(-1, *logits.shape[2:])
        losses = F.cross_entropy(logits, targets, reduction="none")  # (B, Q, P)
        return distributed.global_mean(losses, valid, joint=joint)


def cross_modal_loss(
    video: Tensor, audio: Tensor, temperature: float, valid: Tensor | None = None
) -> Tensor:
    """Tell a video's own audio from other sounds, and an audio's own video from other videos.

    The cross-modal term of StiCA, which it shares with its parent GDT: the mean over views of
    ``1/2 NCE(video, audio) + 1/2 NCE(audio, video)``.

    Args:
        video: float (V, B, D), whole clips, or V crops.
        audio: float (B, D).
        temperature: STICA.TEMPERATURE_CROSS.
        valid: bool (B,), samples with audio; None: all.

    Returns:
        Scalar.
    """
    to_audio = multi_crop_info_nce(video, audio[None], temperature, valid)
    to_video = multi_crop_info_nce(audio[None], video, temperature, valid)
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

    The within-modal term of StiCA: the mean of ``NCE(query, key)`` over all ordered pairs of
    different views, all crops of the first (large and small) as queries and all large crops of the
    second as keys.

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
    terms = [
        multi_crop_info_nce(crops[view], large[other], temperature, valid)
        for view in range(views)
        for other in range(views)
        if other != view
    ]
    return torch.stack(terms).mean()


def valid_rows(batch: Mapping[str, Any], *, with_sound: bool) -> Tensor | None:
    """Say which samples of a batch count.

    Args:
        batch: ``valid`` bool (B,) and ``audio_valid`` bool (B, A), both optional.
        with_sound: Only samples whose audio is there.

    Returns:
        bool (B,), or None when all count.
    """
    valid = batch.get("valid")
    sound = batch.get("audio_valid") if with_sound else None
    if sound is None:
        return valid
    has_sound = sound[:, 0]  # in training a sample has one audio clip
    return has_sound if valid is None else has_sound & valid


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
    that have large crops. A term without embeddings is left out together with its weight, so that
    what is left has weight 1. With ``crop_keys`` "audio" (ours, not the paper's) every crop is
    contrasted with the audio as whole clips are, and ``crops`` takes the place of ``within``.

    Args:
        outputs: Embeddings of the model.
        batch: See ``valid_rows``.
        temperature_cross: Temperature of the cross-modal term.
        temperature_within: Temperature of the within-modal terms.
        within_weight: w, 0 to 1.
        pairs: See ``within_modal_loss``.
        crop_keys: STICA.CROP_KEYS, "video" or "audio".

    Returns:
        ``loss`` and, of the terms that are there, ``loss_cross``, ``loss_within`` or
        ``loss_crops``, ``loss_space`` and ``loss_time``, detached.

    Raises:
        ValueError: If no term is left.
    """
    terms: dict[str, Tensor] = {}
    weighted: list[tuple[float, Tensor]] = []
    if outputs.video is not None and outputs.audio is not None:
        valid = valid_rows(batch, with_sound=True)
        cross = cross_modal_loss(outputs.video, outputs.audio, temperature_cross, valid)
        terms["loss_cross"] = cross
        weighted.append((1 - within_weight, cross))
    axes = {
        "loss_space": (outputs.space_large, outputs.space_small),
        "loss_time": (outputs.time_large, outputs.time_small),
    }
    axes = {name: crops for name, crops in axes.items() if crops[0].shape[1] > 0}
    if crop_keys == "audio" and outputs.audio is not None:
        title, valid = "loss_crops", valid_rows(batch, with_sound=True)
        of_axes = {
            name: cross_modal_loss(
                torch.cat(crops, dim=1).flatten(0, 1), outputs.audio, temperature_cross, valid
            )
            for name, crops in axes.items()
        }
    else:
        title, valid = "loss_within", valid_rows(batch, with_sound=False)
        of_axes = {
            name: within_modal_loss(*crops, temperature_within, valid, pairs=pairs)
            for name, crops in axes.items()
        }
    if of_axes:
        terms[title] = torch.stack(list(of_axes.values())).mean()
        weighted.append((within_weight, terms[title]))
        terms |= of_axes
    total_weight = sum(weight for weight, _ in weighted)
    if total_weight == 0:
        raise ConfigValueError(
            "STICA.WITHIN_WEIGHT",
            f"got {within_weight}, and the model's outputs leave no term of "
            "the loss. Set AUDIO.ENABLE True with a weight below 1, or MODEL.FEATURE_AUG "
            "feature_crop with large crops and a weight above 0.",
        )
    total = torch.stack([weight / total_weight * term for weight, term in weighted]).sum()
    return {"loss": total, **{name: term.detach() for name, term in terms.items()}}


def build_loss(cfg: CfgNode) -> Callable[..., dict[str, Tensor]]:
    """Build the loss from STICA.TEMPERATURE_*, WITHIN_WEIGHT, PAIRS and CROP_KEYS.

    Args:
        cfg: The configuration.

    Returns:
        ``(outputs, batch) -> terms``.
    """
    return partial(
        stica_loss,
        temperature_cross=cfg.STICA.TEMPERATURE_CROSS,
        temperature_within=cfg.STICA.TEMPERATURE_WITHIN,
        within_weight=cfg.STICA.WITHIN_WEIGHT,
        pairs=cfg.STICA.PAIRS,
        crop_keys=cfg.STICA.CROP_KEYS,
    )
