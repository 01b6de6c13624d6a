"""Does the model hear whether audio and video belong to the same moment?"""

from __future__ import annotations

import torch

from slowfast.config import CfgNode, ConfigValueError
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result

__all__ = ["av_sync"]


@PROTOCOL_REGISTRY.register()
def av_sync(evidence: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure how often the true audio is more similar to the picture than a later piece of it.

    Of each test video: the cosine of every view's embedding with that of the audio of its clip,
    averaged over the views, once with the true audio and once with the same track started
    PROBE.SYNC_OFFSET_SEC later.

    Args:
        evidence: Features with ``similarity``.
        cfg: PROBE.SYNC_OFFSET_SEC.

    Returns:
        ``av_sync``: the share of the videos with audio where the true audio wins; ties count
        half. Chance is one half.

    Raises:
        UserError: If the model has no common space, or no test video has audio.
    """
    true = evidence.features("test")
    if "similarity" not in true.features:
        raise ConfigValueError(
            "TEST.PROTOCOLS",
            "'av_sync' needs a model with video and audio embeddings in one "
            "space, and AUDIO.ENABLE True.",
        )
    later = evidence.features("test", sound_shift_sec=cfg.PROBE.SYNC_OFFSET_SEC)
    # A damaged file may have been usable at one time and not at the other.
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
