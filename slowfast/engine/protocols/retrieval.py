"""Retrieval with frozen features: of a class from a gallery, and of sound from picture and back."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from slowfast.config import CfgNode, UserError
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, Evidence, Result
from slowfast.utils.metrics import recall_at_k, retrieve

__all__ = ["class_retrieval", "cross_modal_retrieval"]

RANKS = (1, 5, 10)


@PROTOCOL_REGISTRY.register()
def class_retrieval(evidence: Evidence, cfg: CfgNode) -> dict[str, Result]:
    """Measure class retrieval: is a video of the query's class among the k nearest of the gallery?

    Queries are the test split, the gallery is the train split; pooled video features, cosine
    similarity.

    Args:
        evidence: Features with ``video``.
        cfg: Not used.

    Returns:
        ``class_retrieval_r1``, ``_r5``, ``_r10`` (k at most the gallery's size). Chance is that of
        drawing k videos of the gallery at random.

    Raises:
        UserError: If videos have no labels.
    """
    queries, gallery = evidence.features("test"), evidence.features("gallery")
    if (queries.label < 0).any() or (gallery.label < 0).any():
        raise UserError("TEST.PROTOCOLS: 'class_retrieval' needs a label for every video.")
    most = min(max(RANKS), len(gallery))
    nearest = retrieve(
        F.normalize(queries.features["video"], dim=1),
        F.normalize(gallery.features["video"], dim=1),
        most,
    )  # (N, most)
    hits = gallery.label[nearest] == queries.label.unsqueeze(1)
    share = (gallery.label.unsqueeze(0) == queries.label.unsqueeze(1)).double().mean(dim=1)
    return {
        f"class_retrieval_r{k}": Result(
            float(hits[:, :k].any(dim=1).double().mean()),
            float((1 - (1 - share) ** k).mean()),
        )
        for k in RANKS
        if k <= most
    }


@PROTOCOL_REGISTRY.register()
def cross_modal_retrieval(evidence: Evidence, cfg: CfgNode) -> dict[str, Result]:
    """Measure retrieval of the very clip across modalities, within the test split.

    Args:
        evidence: Features with ``video_embedding`` and ``audio_embedding``.
        cfg: Not used.

    Returns:
        ``video_to_audio_r1``, ``_r5``, ``_r10`` and the same for ``audio_to_video``, over the
        videos that have sound.

    Raises:
        UserError: If the model has no common space, or fewer than two videos have sound.
    """
    table = evidence.features("test")
    if "video_embedding" not in table.features or "audio_embedding" not in table.features:
        raise UserError(
            "TEST.PROTOCOLS: 'cross_modal_retrieval' needs a model with video and audio "
            "embeddings in one space, and AUDIO.ENABLE True."
        )
    keep = table.audio_valid
    count = int(keep.sum())
    if count < 2:
        raise UserError("TEST.PROTOCOLS: 'cross_modal_retrieval' needs two test videos with sound.")
    video = table.features["video_embedding"][keep]
    audio = table.features["audio_embedding"][keep]
    own = torch.arange(count)
    results = {}
    for name, query, key in (("video_to_audio", video, audio), ("audio_to_video", audio, video)):
        for k in RANKS:
            if k <= count:
                value = recall_at_k(query, key, own, k)
                results[f"{name}_r{k}"] = Result(value, k / count)
    return results
