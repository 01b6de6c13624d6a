"""Audio-visual synchronization: whether embeddings distinguish aligned from shifted audio."""

from __future__ import annotations

import torch

from slowfast.config import CfgNode, ConfigValueError
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result

__all__ = ["av_sync"]


@PROTOCOL_REGISTRY.register()
def av_sync(provider: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure how often aligned audio is more similar to the video than audio with an offset.

    For each test video: the cosine similarity of each view with the audio of its clip, averaged
    over the views, once with aligned audio and once with the track started PROBE.SYNC_OFFSET_SEC
    later.

    Args:
        provider: Features with ``similarity``.
        cfg: PROBE.SYNC_OFFSET_SEC.

    Returns:
        ``av_sync``: fraction of the videos with audio whose aligned audio is more similar; ties
        count 0.5. The chance level is 0.5.

    Raises:
        UserError: If the model has no joint embedding space, or no test video has audio.
    """
    true = provider.features("test")
    if "similarity" not in true.features:
        raise ConfigValueError(
            "TEST.PROTOCOLS",
            "'av_sync' needs a model with a joint embedding space of video and audio, "
            "and AUDIO.ENABLE True.",
        )
    later = provider.features("test", audio_offset_sec=cfg.PROBE.SYNC_OFFSET_SEC)
    # A damaged file may be readable at one offset and not at the other.
    in_both = [
        table.audio_valid & torch.isin(table.index, other.index[other.audio_valid])
        for table, other in ((true, later), (later, true))
    ]
    first, second = (
        table.features["similarity"][keep, 0]
        for table, keep in zip((true, later), in_both, strict=True)
    )
    if not len(first):
        raise ConfigValueError("TEST.PROTOCOLS", "'av_sync' needs a test video with audio.")
    wins = (first > second).double() + 0.5 * (first == second).double()
    return {"av_sync": Result(float(wins.mean()), 0.5, count=len(wins))}
