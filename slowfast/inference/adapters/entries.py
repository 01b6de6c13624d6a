"""The adapters: ``model_type`` of config.json -> function."""

from __future__ import annotations

from slowfast.inference.adapters import audio_visual, video
from slowfast.inference.adapters.contract import ADAPTER_REGISTRY

__all__: list[str] = []

for _builder in (
    video.videomae,
    video.vjepa2,
    video.timesformer,
    video.vivit,
    audio_visual.pe_audio_video,
    audio_visual.pe_video,
    audio_visual.pe_audio,
    audio_visual.clap,
):
    ADAPTER_REGISTRY.register(_builder)
