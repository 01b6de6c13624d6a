"""MoCo (He et al., CVPR 2020; v2: Chen et al., 2020): a momentum encoder and a queue of keys.

View 1 is the query; its key is view 2 of the clip, encoded by a moving average of the encoder. The
negatives are the keys of past batches. Feature crops of the query's view are further queries.

Legend: B batch, V views, K crops, L length of the queue, D embedding.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from fvcore.common.config import CfgNode
from torch import Tensor

from contrastive.base import ContrastiveMethod
from contrastive.config import PROTOCOLS
from contrastive.encoder import VideoEncoder, build_video_encoder, projection
from slowfast.models.build import LOSS_REGISTRY, MODEL_REGISTRY
from slowfast.models.contrastive.ema import EmaEncoder
from slowfast.models.contrastive.feature_queue import FeatureQueue
from slowfast.models.contrastive.shuffle import shuffle_order, shuffle_rows, unshuffle_rows
from slowfast.models.losses.chance import LossWithChance
from slowfast.models.losses.info_nce import info_nce
from slowfast.models.method import DatasetInfo, Progress

__all__ = ["MoCo", "MoCoOutputs", "build_moco", "build_moco_loss", "encode_keys"]

logger = logging.getLogger(__name__)


class MoCoOutputs(NamedTuple):
    """Input of the loss.

    Attributes:
        query: float (B, 1 + K, D), rows of length 1.
        key: float (B, D), without gradient.
        queue: float (L, D), the negatives.
    """

    query: Tensor
    key: Tensor
    queue: Tensor


class MoCo(ContrastiveMethod):
    """A video encoder, its moving average and a queue.

    Args:
        video: The encoder of queries.
        dim: D.
        queue: L.
        momentum: Of the moving average.
        schedule: ``constant`` or ``cosine``, see ``EmaEncoder``.
        shuffle: Encode keys in an order that is shuffled over all processes.
        seed: Seed of the queue.
    """

    output_batch_dims: ClassVar[Mapping[str, int | None]] = {"queue": None}

    def __init__(
        self,
        video: VideoEncoder,
        *,
        dim: int,
        queue: int,
        momentum: float,
        schedule: str,
        shuffle: bool,
        seed: int,
    ) -> None:
        super().__init__(video)
        plain = VideoEncoder(video.backbone, video.pooling, video.head)  # keys are full clips
        self.key_encoder = EmaEncoder(plain, momentum=momentum, schedule=schedule)
        self.queue = FeatureQueue(queue, dim, seed=seed)
        self.shuffle = shuffle

    def setup(self, data: DatasetInfo) -> None:
        """Remember the size of the data."""
        self.num_rows = data.num_rows

    def before_epoch(self, progress: Progress) -> None:
        """Warn at the start if the queue holds older embeddings of the queries themselves."""
        length = len(self.queue.rows)
        if progress.epoch == 0 and length > self.num_rows / 2:
            logger.warning(
                "MOCO.QUEUE_LEN: %d keys of %d training videos: the queue holds older keys of the "
                "queries as negatives. Set it to %d or less.",
                length,
                self.num_rows,
                self.num_rows // 2,
            )

    def before_step(self, progress: Progress) -> None:
        """Copy the encoder before the first step."""
        self.key_encoder.before_step(self._plain)

    def forward(self, batch: Mapping[str, Any]) -> MoCoOutputs:
        """Embed queries and keys.

        Args:
            batch: ``video`` (B, V, 3, T, H, W), of which view 0 is the query and view 1 the key;
                ``aug_seed`` int64 (B,).

        Returns:
            The input of the loss.
        """
        video, seed = batch["video"], batch["aug_seed"]
        query = self.video_encoder(video[:, :1], seed)[:, 0]  # (B, 1 + K, D)
        keys = video[:, 1:2]
        key = encode_keys(self.key_encoder, keys, shuffle_order(seed) if self.shuffle else None)
        return MoCoOutputs(query, key[:, 0, 0], self.queue.content())

    def after_batch(
        self, outputs: MoCoOutputs, batch: Mapping[str, Any], progress: Progress
    ) -> None:
        """Queue the keys of all processes."""
        self.queue.push(outputs.key, batch.get("valid"))

    def after_step(self, progress: Progress) -> None:
        """Update the moving average."""
        self.key_encoder.after_step(self._plain, progress)

    @property
    def _plain(self) -> VideoEncoder:
        return VideoEncoder(self.backbone, self.pooling, self.head_video)


def encode_keys(encoder: EmaEncoder, clips: Tensor, order: Tensor | None) -> Tensor:
    """Encode keys, in an order that is shuffled over all processes.

    Args:
        encoder: The momentum encoder.
        clips: float (B, V, 3, T, H, W).
        order: From ``shuffle_order``; None: as they are.

    Returns:
        float (B, V, 1, D), in the order of the clips.
    """
    if order is None:
        return encoder(clips)
    return unshuffle_rows(encoder(shuffle_rows(clips, order)), order)


@MODEL_REGISTRY.register_as("MoCo", protocols=PROTOCOLS)
def build_moco(cfg: CfgNode) -> MoCo:
    """Build the method from cfg."""
    moco = cfg.MOCO
    return MoCo(
        build_video_encoder(cfg, projection(cfg, moco)),
        dim=moco.DIM,
        queue=moco.QUEUE_LEN,
        momentum=moco.MOMENTUM,
        schedule=moco.MOMENTUM_SCHEDULE,
        # With statistics over all processes, shuffling has no effect.
        shuffle=moco.SHUFFLE_BN and cfg.BN.NORM_TYPE != "sync_batchnorm",
        seed=cfg.RNG_SEED,
    )


@LOSS_REGISTRY.register_as("moco")
def build_moco_loss(cfg: CfgNode) -> LossWithChance:
    """Build InfoNCE against the queue (equation 1 of the paper), averaged over queries."""

    def loss(outputs: MoCoOutputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        queries = outputs.query.shape[1]
        valid = batch.get("valid")
        value = info_nce(
            outputs.query.flatten(0, 1),
            outputs.key.repeat_interleave(queries, dim=0),
            cfg.MOCO.TEMPERATURE,
            valid=None if valid is None else valid.repeat_interleave(queries),
            negatives=outputs.queue,
        )
        return {"loss": value}

    def chance_level(outputs: MoCoOutputs) -> float:
        return math.log(1 + len(outputs.queue))

    return LossWithChance(loss, chance_level)
