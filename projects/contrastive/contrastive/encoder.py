"""Encoders that all methods share: backbone, pooling and projection head, with feature crops.

Legend: B batch, V views, A audio clips, K crops, C channels, D embedding, T frames, F mel bins, S
time frames of the spectrogram.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.models.batch_norm import get_norm
from slowfast.models.build import BACKBONE_REGISTRY, FEATURE_AUG_REGISTRY
from slowfast.models.heads import MLPHead
from slowfast.models.pooling import build_pooling, full_group, pool_groups

__all__ = [
    "AudioEncoder",
    "VideoEncoder",
    "build_audio_encoder",
    "build_video_encoder",
    "projection",
]


class VideoEncoder(nn.Module):
    """Embeds the views of a clip and, with a feature augmentation, crops of their feature maps.

    Args:
        backbone: ``(N, 3, T, H, W) -> BackboneOutput``.
        pooling: One ``Tokens`` per pathway -> (N, C).
        head: ``(N, C) -> (N, D)``, rows of length 1.
        feature_aug: ``(maps, aug_seed) -> list[CropGroup]``; None: no crops.
    """

    def __init__(
        self,
        backbone: nn.Module,
        pooling: nn.Module,
        head: nn.Module,
        *,
        feature_aug: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.pooling, self.head = backbone, pooling, head
        self.feature_aug = feature_aug

    def forward(self, video: Tensor, aug_seed: Tensor | None = None) -> Tensor:
        """Embed all views, in one call of each module.

        Args:
            video: float, normalized, (B, V, 3, T, H, W).
            aug_seed: int64 (B,), for the positions of crops; None: no crops.

        Returns:
            float (B, V, 1 + K, D), the full clip first, then its crops.
        """
        return self.project(self.pooled(video, aug_seed))

    def pooled(self, video: Tensor, aug_seed: Tensor | None = None) -> Tensor:
        """Compute pooled features, float (B, V, 1 + K, C); arguments are those of ``forward``."""
        maps = self.backbone(video.flatten(0, 1)).maps  # rows: B * V
        groups = [full_group(maps, reads_space=getattr(self.pooling, "reads_space", False))]
        if self.feature_aug is not None and aug_seed is not None:
            groups += self.feature_aug(maps, aug_seed)
        rows = pool_groups(self.pooling, groups)  # ((1 + K) * B * V, C)
        return rows.unflatten(0, (-1, *video.shape[:2])).permute(1, 2, 0, 3)

    def project(self, pooled: Tensor) -> Tensor:
        """Embed pooled features float (..., C) as float (..., D), in one call of the head."""
        return self.head(pooled.flatten(0, -2)).unflatten(0, pooled.shape[:-1])

    def embed(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features and embeddings of full clips, for evaluation.

        Args:
            video: float, normalized, (B, V, 3, T, H, W).

        Returns:
            float (B, V, C) and (B, V, D).
        """
        pooled = self.pooled(video)[:, :, 0]
        return pooled, self.project(pooled)


class AudioEncoder(nn.Module):
    """Embeds audio clips.

    Args:
        backbone: ``(N, 1, F, S) -> BackboneOutput``.
        head: ``(N, C) -> (N, D)``, rows of length 1.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, audio: Tensor) -> Tensor:
        """Embed audio clips.

        Args:
            audio: float log-mel, (B, A, 1, F, S).

        Returns:
            float (B, A, D).
        """
        return self.embed(audio)[1]

    def embed(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features, averaged over the feature map, and embeddings.

        Args:
            audio: float log-mel, (B, A, 1, F, S).

        Returns:
            float (B, A, C) and (B, A, D).
        """
        features = self.backbone(audio.flatten(0, 1)).maps[0].mean(dim=(2, 3))
        clips = audio.shape[:2]
        return features.unflatten(0, clips), self.head(features).unflatten(0, clips)


def projection(cfg: CfgNode, section: CfgNode) -> Callable[[int], MLPHead]:
    """Return a function that builds a projection head.

    Args:
        cfg: Read: BN.
        section: The method's section; read: HEAD_LAYERS, HEAD_DIM, HEAD_BN, DIM.

    Returns:
        C -> the head; its rows have length 1.
    """
    norm = get_norm(cfg, dims=1) if section.HEAD_BN else None

    def build(dim_in: int) -> MLPHead:
        return MLPHead(
            dim_in,
            section.HEAD_DIM or dim_in,
            section.DIM,
            num_layers=section.HEAD_LAYERS,
            norm=norm,
            normalize=True,
        )

    return build


def build_video_encoder(cfg: CfgNode, head: Callable[[int], nn.Module]) -> VideoEncoder:
    """Build MODEL.ARCH with MODEL.POOLING, a projection head and MODEL.FEATURE_AUG.

    Args:
        cfg: The configuration.
        head: Features -> head, such as ``projection(cfg, section)``.

    Returns:
        The encoder.
    """
    backbone: Any = BACKBONE_REGISTRY.get(cfg.MODEL.ARCH)(cfg)
    pooling = build_pooling(cfg, backbone)
    augment = None
    if cfg.MODEL.FEATURE_AUG != "none":
        augment = FEATURE_AUG_REGISTRY.get(cfg.MODEL.FEATURE_AUG)(cfg)
    return VideoEncoder(backbone, pooling, head(pooling.dim_out), feature_aug=augment)


def build_audio_encoder(cfg: CfgNode, head: Callable[[int], nn.Module]) -> AudioEncoder:
    """Build AUDIO.ARCH with a projection head.

    Args:
        cfg: The configuration.
        head: Features -> head.

    Returns:
        The encoder.
    """
    backbone: Any = BACKBONE_REGISTRY.get(cfg.AUDIO.ARCH)(cfg)
    return AudioEncoder(backbone, head(backbone.out_channels[0]))
