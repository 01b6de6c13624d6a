"""The StiCA model: one backbone for two views, crops of its feature maps, and one audio branch.

Legend: B batch, V views, A audio clips, K crops, C channels, D embedding, T frames, T' H' W'
feature map, F mel bins, S time frames of the spectrogram.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.models.build import (
    BACKBONE_REGISTRY,
    FEATURE_AUG_REGISTRY,
    HEAD_REGISTRY,
)
from slowfast.models.contracts import CropGroup
from slowfast.models.contrastive.feature_queue import FeatureQueue
from slowfast.models.method import Method, Progress
from slowfast.models.pooling import build_pooling, full_group, pool_groups
from stica.config import CROP_KINDS
from stica.input_crops import InputCrop

__all__ = [
    "STiCAOutputs",
    "SpaceTimeCropAttend",
    "build_model",
    "uses_audio",
    "uses_crops",
]


class STiCAOutputs(NamedTuple):
    """Embeddings that the loss reads, rows of length 1. The number of crops K may be 0.

    Attributes:
        video: float (V, B, D), full clips; None when nothing is compared with them.
        audio: float (B, D); None without an audio branch.
        space_large: float (V, K, B, D), large crops in space.
        space_small: float (V, K, B, D), small crops in space.
        time_large: float (V, K, B, D), large crops in time.
        time_small: float (V, K, B, D), small crops in time.
        queue_video: float (L, D), embeddings of past batches (STICA.QUEUE_LEN); None without.
        queue_audio: The same for audio.
    """

    video: Tensor | None
    audio: Tensor | None
    space_large: Tensor
    space_small: Tensor
    time_large: Tensor
    time_small: Tensor
    queue_video: Tensor | None = None
    queue_audio: Tensor | None = None


class SpaceTimeCropAttend(Method):
    """StiCA: contrasts crops of feature maps between views, and full clips with the audio.

    Args:
        backbone: ``(N, 3, T, H, W) -> BackboneOutput``.
        pooling: One ``Tokens`` per pathway -> (N, C); shared by full feature maps and crops.
        head_video: ``(x, groups) -> (N, D)``, rows of length 1.
        feature_aug: ``(maps, aug_seed) -> list[CropGroup]`` or an ``InputCrop``; None: no crops.
        audio_backbone: ``(N, 1, F, S) -> BackboneOutput``; None for no audio. Full clips are only
            compared with audio, so without it they are not embedded in training.
        head_audio: As ``head_video``, for the audio.
        head_crops: As ``head_video``, for the crops; None: crops use ``head_video``, too.
        crops_from_epoch: Epoch from which training uses crops, STICA.WITHIN_START_EPOCH.
    """

    output_batch_dims: ClassVar[Mapping[str, int | None]] = {
        "video": 1,
        "queue_video": None,
        "queue_audio": None,
        **dict.fromkeys(CROP_KINDS, 2),
    }

    def __init__(
        self,
        backbone: nn.Module,
        pooling: nn.Module,
        head_video: nn.Module,
        *,
        feature_aug: nn.Module | InputCrop | None = None,
        audio_backbone: nn.Module | None = None,
        head_audio: nn.Module | None = None,
        head_crops: nn.Module | None = None,
        crops_from_epoch: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.head_video = head_video
        self.feature_aug = feature_aug
        self.audio_backbone = audio_backbone
        self.head_audio = head_audio
        self.head_crops = head_crops
        self.crops_from_epoch = crops_from_epoch
        self.is_cropping = feature_aug is not None
        self.queue_video: FeatureQueue | None = None
        self.queue_audio: FeatureQueue | None = None

    def add_queues(self, length: int, dim: int, *, seed: int) -> None:
        """Keep past embeddings as further negatives of the cross-modal loss (STICA.QUEUE_LEN).

        Args:
            length: Embeddings of each modality.
            dim: D.
            seed: Seed of the initial rows.
        """
        self.queue_video = FeatureQueue(length, dim, seed=seed)
        self.queue_audio = FeatureQueue(length, dim, seed=seed + 1)

    def before_step(self, progress: Progress) -> None:
        """Enable crops from ``crops_from_epoch`` on; see ``Method``."""
        has_begun = progress.epoch_float >= self.crops_from_epoch
        self.is_cropping = self.feature_aug is not None and has_begun

    def forward(self, batch: Mapping[str, Any]) -> STiCAOutputs:
        """Compute the embeddings that the loss compares.

        All views pass the backbone in one call, and input crops in one more per kind. Full clips
        and crops pass the pooling in one call per token length, and the head in a single call.

        Args:
            batch: ``video`` float, normalized, (B, V, 3, T, H, W); with crops ``aug_seed`` int64
                (B,); with audio ``audio`` float (B, A, 1, F, S), of which the first clip is used.

        Returns:
            The embeddings.
        """
        batch_size, views = batch["video"].shape[:2]
        video = batch["video"].flatten(0, 1)  # rows: B * V
        maps = self.backbone(video).maps
        groups = [self.full_group(maps)] if self.audio_backbone is not None else []
        if self.feature_aug is not None and self.is_cropping:
            groups += self._crop(video, maps, batch["aug_seed"])
        names = [name for group in groups for name in group.names]
        if not names:
            raise ValueError(
                "StiCA: got no audio and no crops, so there is nothing to compare. Set "
                "AUDIO.ENABLE True, or MODEL.FEATURE_AUG feature_crop with FEATURE_CROP.*.NUM > 0."
            )
        pooled = pool_groups(self.pooling, groups)  # (crops * B * V, C)
        # Views before samples, so that batch norm has one group per view of each crop.
        blocks = pooled.unflatten(0, (len(names), batch_size, views)).transpose(1, 2)
        embedded = self._project(blocks, names).transpose(0, 1)  # (V, crops, B, D)
        crops = {kind: embedded[:, _places(names, kind)] for kind in CROP_KINDS}
        if self.audio_backbone is None:
            return STiCAOutputs(None, None, **crops)
        _, audio = self.embed_audio(batch["audio"][:, 0])  # (B, D)
        outputs = STiCAOutputs(embedded[:, 0], audio, **crops)
        if self.queue_video is None or self.queue_audio is None:
            return outputs
        return outputs._replace(
            queue_video=self.queue_video.content(), queue_audio=self.queue_audio.content()
        )

    def _crop(self, video: Tensor, maps: list[Tensor], aug_seed: Tensor) -> list[CropGroup]:
        """Crop the maps (N, C, T', H', W'), or the clips (N, 3, T, H, W) that they are of."""
        if not isinstance(self.feature_aug, InputCrop):
            groups: list[CropGroup] = self.feature_aug(maps, aug_seed)  # type: ignore[misc]
            return groups
        reads_space = getattr(self.pooling, "reads_space", False)
        return self.feature_aug.crop_clips(
            self.backbone, video, maps, aug_seed, reads_space=reads_space
        )

    def after_batch(
        self, outputs: STiCAOutputs, batch: Mapping[str, Any], progress: Progress
    ) -> None:
        """Queue the first view and the audio of the samples that have both; see ``Method``."""
        if self.queue_video is None or self.queue_audio is None:
            return
        valid = batch["audio_valid"][:, 0] if "audio_valid" in batch else None
        for queue, rows in ((self.queue_video, outputs.video), (self.queue_audio, outputs.audio)):
            if rows is not None:
                queue.push(rows[0] if rows.dim() > 2 else rows, valid)

    def _project(self, blocks: Tensor, names: list[str]) -> Tensor:
        """Embed crops: float (crops, V, B, C) -> (crops, V, B, D), each head in one call."""
        split = len(names) if self.head_crops is None else names.count("full")
        embedded = []
        for head, inputs in ((self.head_video, blocks[:split]), (self.head_crops, blocks[split:])):
            if head is not None and len(inputs):
                rows = head(inputs.flatten(0, 2), groups=inputs.shape[0] * inputs.shape[1])
                embedded.append(rows.unflatten(0, inputs.shape[:3]))
        return torch.cat(embedded)

    def embed(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute features and embeddings of full clips and their audio, for evaluation.

        Args:
            batch: ``video`` (B, V, 3, T, H, W), ``audio`` (B, A, 1, F, S), or both; without an
                audio branch ``audio`` is not read.

        Returns:
            For video, pooled features ``video`` (B, V, C) and ``video_embedding`` (B, V, D), rows
            of length 1; for audio, ``audio`` (B, A, C) and ``audio_embedding`` (B, A, D).
        """
        features: dict[str, Tensor] = {}
        if "video" in batch:
            views = batch["video"].shape[:2]
            maps = self.backbone(batch["video"].flatten(0, 1)).maps
            video = pool_groups(self.pooling, [self.full_group(maps)])  # (B * V, C)
            features["video"] = video.unflatten(0, views)
            features["video_embedding"] = self.head_video(video).unflatten(0, views)
        if self.audio_backbone is not None and "audio" in batch:
            clips = batch["audio"].shape[:2]
            audio, embedding = self.embed_audio(batch["audio"].flatten(0, 1))  # rows: B * A
            features["audio"] = audio.unflatten(0, clips)
            features["audio_embedding"] = embedding.unflatten(0, clips)
        return features

    def full_group(self, maps: list[Tensor]) -> CropGroup:
        """Return the uncropped feature maps as a group of one crop.

        Args:
            maps: One float (N, C, T', H', W') per pathway.

        Returns:
            The group.
        """
        return full_group(maps, reads_space=getattr(self.pooling, "reads_space", False))

    def embed_audio(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Compute audio features, averaged over mel bins and time frames, and their embeddings.

        audio: float log-mel, (N, 1, F, S) -> float (N, C) and float (N, D).

        Raises:
            ValueError: If there is no audio branch.
        """
        if self.audio_backbone is None or self.head_audio is None:
            raise ValueError(
                "StiCA: got audio, but the model has no audio branch. Set AUDIO.ENABLE True and "
                "STICA.WITHIN_WEIGHT below 1."
            )
        features = self.audio_backbone(audio).maps[0].mean(dim=(2, 3))
        return features, self.head_audio(features)

    def no_weight_decay(self) -> set[str]:
        """Return the names of the backbone's parameters that get no weight decay."""
        names: set[str] = getattr(self.backbone, "no_weight_decay", set)()
        return {f"backbone.{name}" for name in names}


def _places(names: list[str], kind: str) -> slice:
    """Find the crops of a kind; a list of indices would have to be copied to the device."""
    places = [i for i, name in enumerate(names) if name.startswith(kind)]
    found = slice(places[0], places[-1] + 1) if places else slice(0, 0)
    if len(places) != found.stop - found.start:
        raise ValueError(
            f"MODEL.FEATURE_AUG: got crops {', '.join(names)}; expected those of one kind, such as "
            f"{kind}, in a row."
        )
    return found


def uses_audio(cfg: CfgNode) -> bool:
    """Return whether there is a cross-modal loss; without it the audio branch gets no gradient."""
    return cfg.AUDIO.ENABLE and cfg.STICA.WITHIN_WEIGHT < 1


def uses_crops(cfg: CfgNode) -> bool:
    """Return whether there are within-modal losses."""
    return cfg.MODEL.FEATURE_AUG != "none" and cfg.STICA.WITHIN_WEIGHT > 0


def build_model(cfg: CfgNode) -> SpaceTimeCropAttend:
    """Build the model with this project's decisions.

    Args:
        cfg: Read: MODEL.ARCH, POOLING, FEATURE_AUG, HEAD, STICA, AUDIO, and the keys of these
            components.

    Returns:
        The model.
    """
    backbone = BACKBONE_REGISTRY.get(cfg.MODEL.ARCH)(cfg)
    pooling = build_pooling(cfg, backbone)
    build_head = HEAD_REGISTRY.get(cfg.MODEL.HEAD)
    dim = cfg.STICA.EMBED_DIM
    audio_backbone = head_audio = None
    if uses_audio(cfg):
        audio_backbone = BACKBONE_REGISTRY.get(cfg.AUDIO.ARCH)(cfg)
        head_audio = build_head(audio_backbone.out_channels[0], dim, cfg)
    head_video = build_head(pooling.dim_out, dim, cfg)
    crops = head_crops = None
    if uses_crops(cfg):
        crops = FEATURE_AUG_REGISTRY.get(cfg.MODEL.FEATURE_AUG)(cfg)
        if cfg.STICA.CROP_STAGE == "input":
            crops = InputCrop(crops)
        # Without audio only crops are embedded, and one head is enough.
        if cfg.STICA.WITHIN_HEAD == "own" and audio_backbone is not None:
            head_crops = build_head(pooling.dim_out, dim, cfg)
    model = SpaceTimeCropAttend(
        backbone,
        pooling,
        head_video,
        feature_aug=crops,
        audio_backbone=audio_backbone,
        head_audio=head_audio,
        head_crops=head_crops,
        crops_from_epoch=cfg.STICA.WITHIN_START_EPOCH,
    )
    if cfg.STICA.QUEUE_LEN and audio_backbone is not None:
        model.add_queues(cfg.STICA.QUEUE_LEN, dim, seed=cfg.RNG_SEED)
    return model
