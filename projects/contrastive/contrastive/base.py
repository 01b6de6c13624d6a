"""The base of all methods: an encoder for the video, an optional one for the audio.

Legend: B batch, V views, A audio clips, K crops, C channels, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from contrastive.encoder import AudioEncoder, VideoEncoder
from slowfast.models.method import Method

__all__ = ["ContrastiveMethod", "audio_valid", "full_views"]


class ContrastiveMethod(Method):
    """Encoders and evaluation, which all methods share.

    The modules have the names that classifiers and other evaluation YAMLs look for in a checkpoint:
    ``backbone``, ``pooling`` and ``audio_backbone``.

    Args:
        video: The video encoder.
        audio: The audio encoder; None: the method does not use audio.
    """

    def __init__(self, video: VideoEncoder, audio: AudioEncoder | None = None) -> None:
        super().__init__()
        self.backbone, self.pooling, self.head_video = video.backbone, video.pooling, video.head
        self.feature_aug = video.feature_aug
        self.audio_backbone = audio.backbone if audio else None
        self.head_audio = audio.head if audio else None

    @property
    def video_encoder(self) -> VideoEncoder:
        """The modules of this method for video, as one encoder."""
        return VideoEncoder(
            self.backbone, self.pooling, self.head_video, feature_aug=self.feature_aug
        )

    @property
    def audio_encoder(self) -> AudioEncoder:
        """The modules of this method for audio, as one encoder."""
        if self.audio_backbone is None or self.head_audio is None:
            raise ValueError(f"{type(self).__name__} has no audio encoder. Set AUDIO.ENABLE True.")
        return AudioEncoder(self.audio_backbone, self.head_audio)

    def embed(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute features and embeddings of full clips and their audio, for evaluation.

        Args:
            batch: ``video`` (B, V, 3, T, H, W), ``audio`` (B, A, 1, F, S), or both; without an
                audio encoder ``audio`` is not read.

        Returns:
            ``video`` (B, V, C), ``video_embedding`` (B, V, D), rows of length 1; for audio
            ``audio`` (B, A, C) and ``audio_embedding`` (B, A, D).
        """
        features: dict[str, Tensor] = {}
        if "video" in batch:
            features["video"], features["video_embedding"] = self.video_encoder.embed(
                batch["video"]
            )
        if self.audio_backbone is not None and "audio" in batch:
            features["audio"], features["audio_embedding"] = self.audio_encoder.embed(
                batch["audio"]
            )
        return features

    def no_weight_decay(self) -> set[str]:
        """Return the names of the backbone's parameters that get no weight decay."""
        names: set[str] = getattr(self.backbone, "no_weight_decay", set)()
        return {f"backbone.{name}" for name in names}


def audio_valid(batch: Mapping[str, Any]) -> Tensor | None:
    """Return which samples have audio in all of their clips: bool (B,), or None for all."""
    valid = batch.get("audio_valid")
    return None if valid is None else valid.all(dim=1)


def full_views(embedding: Tensor) -> Tensor:
    """Average the embeddings of full clips over views; what memory banks store.

    Args:
        embedding: float (B, V, 1 + K, D), full clips first, as ``VideoEncoder`` returns them.

    Returns:
        float (B, D), rows of length 1.
    """
    return F.normalize(embedding[:, :, 0].mean(dim=1), dim=-1)
