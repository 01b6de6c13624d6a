"""Cross-modal retrieval of the same clip: audio from video and video from audio."""

from __future__ import annotations

import torch

from slowfast.config import CfgNode, ConfigValueError
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result
from slowfast.utils.knn import recall_at_ranks

__all__ = ["cross_modal_retrieval"]


@PROTOCOL_REGISTRY.register()
def cross_modal_retrieval(provider: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure retrieval of the same clip across modalities, within the test split.

    Args:
        provider: Features with ``video_embedding`` and ``audio_embedding``.
        cfg: PROBE.RANKS.

    Returns:
        ``video_to_audio_r<k>`` and ``audio_to_video_r<k>`` for each rank up to the number of test
        videos with audio; only these are queries and keys.

    Raises:
        UserError: If the model has no joint embedding space, or fewer than two videos have audio.
    """
    table = provider.features("test")
    if "video_embedding" not in table.features or "audio_embedding" not in table.features:
        raise ConfigValueError(
            "TEST.PROTOCOLS",
            "'cross_modal_retrieval' needs a model with a joint "
            "embedding space of video and audio, and AUDIO.ENABLE True.",
        )
    keep = table.audio_valid
    count = int(keep.sum())
    if count < 2:
        raise ConfigValueError(
            "TEST.PROTOCOLS", "'cross_modal_retrieval' needs two test videos with audio."
        )
    video = table.features["video_embedding"][keep]
    audio = table.features["audio_embedding"][keep]
    ranks = [k for k in cfg.PROBE.RANKS if k <= count]
    results = {}
    for name, query, key in (("video_to_audio", video, audio), ("audio_to_video", audio, video)):
        for k, value in recall_at_ranks(query, key, torch.arange(count), ranks).items():
            results[f"{name}_r{k}"] = Result(value, k / count, count=count)
    return results
