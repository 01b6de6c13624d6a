"""Encoders of audio, and of audio and video in one space: Perception Encoder (PE-AV), CLAP.

Their text encoders are not loaded into the result: the vectors of texts are not needed here.

Legend: B batch, V views, A audio clips, N samples, C channels, D embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.inference.adapters.contract import AdaptedModel, ModelFolder
from slowfast.inference.adapters.processor import read_transform
from slowfast.inference.adapters.video import frame_settings, pixels_of, video_settings
from slowfast.inference.adapters.weights import load_model, transformers_class

__all__ = ["ClapAudio", "PerceptionEncoder", "clap", "pe_audio", "pe_audio_video", "pe_video"]

_CLIP_SEC = 10.0
_FRAMES, _FPS = 16, 24
_SQUARE = {"size": {"height": 336, "width": 336}, "do_center_crop": False}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


class PerceptionEncoder(nn.Module):
    """PE-AV, or its video or audio alone. The embeddings are in the space of its contrastive heads.

    Args:
        video: Video encoder and its head.
        audio: Audio encoder and its head.
        extractor: The feature extractor of the audio.
    """

    def __init__(
        self,
        video: tuple[nn.Module, nn.Module] | None = None,
        audio: tuple[nn.Module, nn.Module] | None = None,
        extractor: Any = None,
    ) -> None:
        super().__init__()
        self.video: nn.Module | None
        self.audio: nn.Module | None
        self.video_head: nn.Module
        self.audio_head: nn.Module
        self.video, self.video_head = video or (None, nn.Identity())
        self.audio, self.audio_head = audio or (None, nn.Identity())
        self._extractor = extractor

    def embed(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embed a batch: ``video``, ``audio`` (B, V or A, C) and both ``*_embedding`` (..., D)."""
        embedded: dict[str, Tensor] = {}
        if self.video is not None:
            pixels = pixels_of(batch["video"])
            features = self.video(pixel_values_videos=pixels).pooler_output
            embedded |= _named("video", features, self.video_head, batch["video"])
        if self.audio is not None:
            waves = _extract(self._extractor, batch["audio"], "input_values")
            features = self.audio(input_values=waves).pooler_output
            embedded |= _named("audio", features, self.audio_head, batch["audio"])
        return embedded


class ClapAudio(nn.Module):
    """The audio encoder of CLAP.

    Args:
        model: A ``ClapModel``, of which the audio encoder is used.
        extractor: Its feature extractor.
    """

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__()
        self.audio, self.audio_head = model.audio_model, model.audio_projection
        self._extractor = extractor

    def embed(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embed a batch: ``audio`` (B, A, C) and ``audio_embedding`` (B, A, D)."""
        spectrograms = _extract(self._extractor, batch["audio"], "input_features")
        # The extractor marks a random clip as a long one; none is, as clips have its length.
        is_longer = torch.zeros(len(spectrograms), 1, dtype=torch.bool, device=spectrograms.device)
        features = self.audio(input_features=spectrograms, is_longer=is_longer).pooler_output
        return _named("audio", features, self.audio_head, batch["audio"])


def _named(name: str, features: Tensor, head: nn.Module, source: Tensor) -> dict[str, Tensor]:
    """Name pooled features (B * V, C) and their embedding."""
    views = source.shape[:2]
    embedding = F.normalize(head(features), dim=-1)
    return {
        name: features.unflatten(0, views),
        f"{name}_embedding": embedding.unflatten(0, views),
    }


def _extract(extractor: Any, audio: Tensor, name: str) -> Tensor:
    """Run a feature extractor on waveforms (B, A, N)."""
    waves = list(audio.flatten(0, 1).cpu().numpy())
    found = extractor(waves, sampling_rate=extractor.sampling_rate, return_tensors="np")
    return torch.from_numpy(np.asarray(found[name], np.float32)).to(audio.device)


def _audio_settings(extractor: Any, clip_sec: float) -> dict[str, Any]:
    return {
        "AUDIO.ENABLE": True,
        "AUDIO.SAMPLE_RATE": int(extractor.sampling_rate),
        "AUDIO.CLIP_SEC": float(clip_sec),
    }


def _audio_only(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "TEST.DATASET": "audio_folder", "TEST.NUM_ENSEMBLE_VIEWS": 3}


def _extractor(folder: ModelFolder, class_name: str, **defaults: Any) -> Any:
    settings = {**defaults, **folder.processor("feature_extractor")}
    return transformers_class(class_name, folder).from_dict(settings)


def _pe_video(folder: ModelFolder) -> tuple[dict[str, Any], Any]:
    """Return settings and transform of the video: 16 frames over ten seconds, as squares."""
    found = folder.processor("video_processor")
    transform, normalization = read_transform(found, {**_HALF, **_SQUARE}, folder.name)
    frames = int(found.get("num_frames") or _FRAMES)
    rate = max(1, round(_CLIP_SEC * _FPS / frames))
    clips = frame_settings(frames, rate, _FPS, 3)
    return {**clips, **video_settings(transform, normalization)}, transform


def pe_audio_video(folder: ModelFolder) -> AdaptedModel:
    """PE-AV: video and audio in one space, clips of ten seconds."""
    video, transform = _pe_video(folder)
    extractor = _extractor(folder, "PeAudioFeatureExtractor")
    model: Any = load_model("PeAudioVideoModel", folder)
    encoder = PerceptionEncoder(
        (model.video_model.video_encoder, model.video_model.video_head),
        (model.audio_model.audio_encoder, model.audio_model.audio_head),
        extractor,
    )
    settings = {**video, **_audio_settings(extractor, _CLIP_SEC)}
    return AdaptedModel(encoder, settings, transform, has_joint_space=True)


def pe_video(folder: ModelFolder) -> AdaptedModel:
    """The video of PE-AV alone."""
    settings, transform = _pe_video(folder)
    model: Any = load_model("PeVideoModel", folder)
    encoder = PerceptionEncoder(video=(model.video_encoder, model.video_head))
    return AdaptedModel(encoder, settings, transform)


def pe_audio(folder: ModelFolder) -> AdaptedModel:
    """The audio of PE-AV alone."""
    extractor = _extractor(folder, "PeAudioFeatureExtractor")
    model: Any = load_model("PeAudioModel", folder)
    encoder = PerceptionEncoder(audio=(model.audio_encoder, model.audio_head), extractor=extractor)
    return AdaptedModel(encoder, _audio_only(_audio_settings(extractor, _CLIP_SEC)))


def clap(folder: ModelFolder) -> AdaptedModel:
    """CLAP: audio in a space with text."""
    has_fusion = folder.config.get("audio_config", {}).get("enable_fusion", False)
    truncation = "fusion" if has_fusion else "rand_trunc"
    extractor = _extractor(folder, "ClapFeatureExtractor", truncation=truncation)
    model: Any = load_model("ClapModel", folder)
    settings = _audio_only(_audio_settings(extractor, extractor.max_length_s))
    return AdaptedModel(ClapAudio(model, extractor), settings, fixed=("AUDIO.CLIP_SEC",))
