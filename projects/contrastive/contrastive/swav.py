"""SwAV (Caron et al., NeurIPS 2020): views of a clip predict each other's assignment to prototypes.

Two full-size views are assigned to prototypes such that all prototypes get equal shares of a batch
(Sinkhorn). All other views, small crops of the frames and feature crops predict the assignments.

Legend: B batch, V full-size views, S small views, K feature crops, Q = V * (1 + K) + S views in
all, A assigned views, P prototypes, D embedding.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from contrastive.base import ContrastiveMethod
from contrastive.config import PROTOCOLS
from contrastive.encoder import VideoEncoder, build_video_encoder, projection
from slowfast.datasets.views.sample_views import VIEW_REGISTRY, SampleViews, ViewSpec, clips
from slowfast.datasets.views.transform import build_train_transform
from slowfast.models.build import LOSS_REGISTRY, MODEL_REGISTRY
from slowfast.models.contrastive.feature_queue import FeatureQueue
from slowfast.models.contrastive.sinkhorn import sinkhorn
from slowfast.models.losses.chance import LossWithChance
from slowfast.models.method import DatasetInfo, Progress
from slowfast.utils.constants import vector_on
from slowfast.utils.distributed import global_mean, rank, world_size
from slowfast.utils.env import full_precision

__all__ = [
    "Assignment",
    "SwAV",
    "SwAVOutputs",
    "build_swav",
    "build_swav_loss",
    "multi_crop",
    "swapped_prediction",
]

logger = logging.getLogger(__name__)

ASSIGNED = 2  # views whose assignment is predicted


class SwAVOutputs(NamedTuple):
    """Input of the loss.

    Attributes:
        scores: float (B, Q, P), similarities with the prototypes; full-size views and their feature
            crops first.
        codes: float (B, A, P), assignments; rows sum to 1, without gradient.
        assigned: The positions of the assigned views among the Q.
        embedding: float (B, A, D) of the assigned views, for the queues.
    """

    scores: Tensor
    codes: Tensor
    assigned: tuple[int, ...]
    embedding: Tensor


class Assignment(NamedTuple):
    """How views are assigned to prototypes.

    Attributes:
        epsilon: Of the Sinkhorn algorithm.
        iterations: Of the Sinkhorn algorithm.
        queue: Length of each queue over all processes; 0: none.
        queue_from_epoch: Epoch from which the queues are filled, and used as soon as they are full.
        freeze_epochs: Epochs in which prototypes do not change.
    """

    epsilon: float
    iterations: int
    queue: int
    queue_from_epoch: float
    freeze_epochs: float


class SwAV(ContrastiveMethod):
    """A video encoder, prototypes, and a queue for each assigned view.

    Args:
        video: The encoder.
        dim: D.
        prototypes: P.
        assignment: See ``Assignment``.
        seed: Seed of the queues.
    """

    def __init__(
        self,
        video: VideoEncoder,
        *,
        dim: int,
        prototypes: int,
        assignment: Assignment,
        seed: int,
    ) -> None:
        super().__init__(video)
        self.prototypes = nn.Linear(dim, prototypes, bias=False)
        self.assignment = assignment
        self.queues: Sequence[FeatureQueue] = nn.ModuleList(  # type: ignore[assignment]
            FeatureQueue(assignment.queue, dim, seed=seed + i)
            for i in range(ASSIGNED if assignment.queue else 0)
        )
        self.is_queueing = False

    def setup(self, data: DatasetInfo) -> None:
        """Remember how many rows are assigned at once."""
        self.rows_at_once = data.batch_size * data.world_size + self.assignment.queue

    def before_epoch(self, progress: Progress) -> None:
        """Warn at the start if there are more prototypes than rows to assign to them."""
        prototypes = self.prototypes.out_features
        if progress.epoch == 0 and prototypes > self.rows_at_once:
            logger.warning(
                "SWAV.NUM_PROTOTYPES: %d prototypes share %d rows (the batch of all processes and "
                "SWAV.QUEUE_LEN), so that most get none: use fewer, or a longer queue.",
                prototypes,
                self.rows_at_once,
            )

    def before_step(self, progress: Progress) -> None:
        """Normalize the prototypes in place, and start the queues."""
        weight = self.prototypes.weight
        weight.copy_(F.normalize(weight, dim=1))
        self.is_queueing = (
            bool(self.queues) and progress.epoch_float >= self.assignment.queue_from_epoch
        )

    def forward(self, batch: Mapping[str, Any]) -> SwAVOutputs:
        """Compare all views with the prototypes, and assign the first two.

        Args:
            batch: ``video`` (B, V, 3, T, H, W), V at least 2; optionally ``video_small``
                (B, S, 3, T, h, w); with feature crops ``aug_seed`` int64 (B,).

        Returns:
            The input of the loss.
        """
        encoder = self.video_encoder
        pooled = encoder.pooled(batch["video"], batch["aug_seed"])  # (B, V, 1 + K, C)
        step = pooled.shape[2]
        pooled = pooled.flatten(1, 2)
        if "video_small" in batch:
            small = encoder.pooled(batch["video_small"])[:, :, 0]  # (B, S, C)
            pooled = torch.cat([pooled, small], dim=1)
        embedding = encoder.project(pooled)  # (B, Q, D), one call of the head
        with full_precision(embedding.device):
            wide = torch.promote_types(embedding.dtype, torch.float32)
            embedding = embedding.to(wide)
            scores = self.prototypes(embedding)
        assigned = tuple(i * step for i in range(ASSIGNED))
        codes = [self.assign(scores[:, place], i) for i, place in enumerate(assigned)]
        queued = torch.stack([embedding[:, place] for place in assigned], dim=1)
        return SwAVOutputs(scores, torch.stack(codes, dim=1), assigned, queued.detach())

    @torch.no_grad()
    def assign(self, scores: Tensor, view: int) -> Tensor:
        """Assign the rows of all processes to prototypes, together with the rows of the queue.

        Args:
            scores: float (B, P).
            view: Which queue.

        Returns:
            Codes (B, P).
        """
        of = self.assignment
        balance: dict[str, Any] = {"epsilon": of.epsilon, "iterations": of.iterations}
        if not self.is_queueing:
            return sinkhorn(scores, **balance)
        queue = self.queues[view]
        rows = queue.rows[rank() :: world_size()]  # each process contributes its part
        is_full = (queue.filled == len(queue.rows)).expand(len(rows))
        valid = torch.cat([is_full, torch.ones_like(scores[:, 0], dtype=torch.bool)])
        joined = torch.cat([self.prototypes(rows.to(scores.dtype)), scores])
        codes = sinkhorn(joined, **balance, valid=valid)
        return codes[len(rows) :]

    def after_backward(self, progress: Progress) -> None:
        """Keep the prototypes in the first epochs."""
        if progress.epoch_float < self.assignment.freeze_epochs:
            self.prototypes.weight.grad = None

    def after_batch(
        self, outputs: SwAVOutputs, batch: Mapping[str, Any], progress: Progress
    ) -> None:
        """Queue the embeddings of the assigned views of all processes."""
        if self.is_queueing:
            for i, queue in enumerate(self.queues):
                queue.push(outputs.embedding[:, i], batch.get("valid"))

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters without weight decay; prototypes are normalized."""
        return {*super().no_weight_decay(), "prototypes.weight"}


@VIEW_REGISTRY.register()
def multi_crop(cfg: CfgNode) -> SampleViews:
    """Build the views of ``clips``, and small crops of the first clip's frames.

    Args:
        cfg: Read: SWAV.NUM_SMALL, SWAV.SMALL_SIZE, SWAV.SMALL_SCALES, and the keys of ``clips``.

    Returns:
        The views; small ones are the field ``video_small``.
    """
    large, swav = clips(cfg), cfg.SWAV
    small = cfg.clone()
    small.defrost()
    small.DATA.TRAIN_CROP_SIZE = swav.SMALL_SIZE
    small.DATA.TRAIN_JITTER_SCALES_RELATIVE = list(swav.SMALL_SCALES)
    transform = build_train_transform(small)
    views = [ViewSpec(field="video_small", transform=transform) for _ in range(swav.NUM_SMALL)]
    return SampleViews([*large.views, *views], large.distance_sec)


@MODEL_REGISTRY.register_as("SwAV", protocols=PROTOCOLS)
def build_swav(cfg: CfgNode) -> SwAV:
    """Build the method from cfg."""
    swav = cfg.SWAV
    return SwAV(
        build_video_encoder(cfg, projection(cfg, swav)),
        dim=swav.DIM,
        prototypes=swav.NUM_PROTOTYPES,
        assignment=Assignment(
            swav.EPSILON,
            swav.ITERATIONS,
            swav.QUEUE_LEN,
            swav.QUEUE_START_EPOCH,
            swav.FREEZE_EPOCHS,
        ),
        seed=cfg.RNG_SEED,
    )


def swapped_prediction(
    outputs: SwAVOutputs, temperature: float, valid: Tensor | None = None
) -> Tensor:
    """Predict the assignment of each assigned view from all others (equation 2 of the paper).

    Args:
        outputs: Scores and codes.
        temperature: Divides the scores.
        valid: bool (B,), samples to average over; None: all.

    Returns:
        Scalar, the mean over assigned views and over the views that predict each.
    """
    log_prob = (outputs.scores / temperature).log_softmax(dim=2)  # (B, Q, P)
    losses = -torch.einsum("bap,bqp->baq", outputs.codes, log_prob)
    views = losses.shape[2]
    places = vector_on(losses.device, outputs.assigned)
    own = places[:, None] == torch.arange(views, device=losses.device)  # (A, Q)
    of_samples = losses.masked_fill(own, 0.0).sum(dim=(1, 2)) / (len(own) * (views - 1))
    return global_mean(of_samples, valid)


@LOSS_REGISTRY.register_as("swav")
def build_swav_loss(cfg: CfgNode) -> LossWithChance:
    """Build the swapped prediction loss from SWAV.TEMPERATURE."""

    def loss(outputs: SwAVOutputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"loss": swapped_prediction(outputs, cfg.SWAV.TEMPERATURE, batch.get("valid"))}

    def chance_level(outputs: SwAVOutputs) -> float:
        return math.log(outputs.scores.shape[2])

    return LossWithChance(loss, chance_level)
