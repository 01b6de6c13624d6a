"""PySlowFast's contrastive pretraining: MODEL_NAME ContrastiveModel with its CONTRASTIVE keys.

Feichtenhofer et al., CVPR 2021: MoCo, BYOL, SimCLR and SwAV over several clips of a video, and a
memory bank. Gradients are those of PySlowFast, which sums over the clips (its learning rates go
with that), so a published YAML keeps its meaning; except that keys of all processes are queued
and that SwAV assigns the clips of all processes jointly.

Legend: B batch, V clips of a video, L length of the queue, D embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from contrastive import bank
from contrastive.base import ContrastiveMethod
from contrastive.encoder import VideoEncoder
from contrastive.moco import encode_keys
from contrastive.npid import NPID, NPIDOutputs
from contrastive.simclr import SimCLR, SimCLROutputs
from contrastive.swav import Assignment, SwAV, SwAVOutputs, swapped_prediction
from slowfast.models.batch_norm import get_norm
from slowfast.models.build import BACKBONE_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY
from slowfast.models.contrastive.ema import EmaEncoder
from slowfast.models.contrastive.feature_queue import FeatureQueue
from slowfast.models.contrastive.shuffle import shuffle_order
from slowfast.models.heads import MLPHead
from slowfast.models.losses.chance import LossWithChance
from slowfast.models.losses.info_nce import info_nce, nt_xent
from slowfast.models.method import DatasetInfo, Method, Progress
from slowfast.models.pooling import build_pooling
from slowfast.utils.distributed import global_mean, world_size

__all__ = ["ClipMoCo", "ClipOutputs", "build_contrastive_loss", "build_contrastive_model"]


class ClipOutputs(NamedTuple):
    """Input of the losses of MoCo and BYOL.

    Attributes:
        query: float (B, V, D), rows of length 1; of BYOL, the predictions.
        key: float (B, V, D), rows of length 1, without gradient.
        queue: float (L, D); None for BYOL.
    """

    query: Tensor
    key: Tensor
    queue: Tensor | None


class ClipMoCo(ContrastiveMethod):
    """MoCo or BYOL over clips: each clip is a query, the keys are the other clips of its video.

    Args:
        video: The encoder.
        key_encoder: The moving average of the encoder.
        queue: The queue; None: BYOL.
        predictor: ``(N, D) -> (N, D)`` on the queries (BYOL); None for none.
        queue_all: Queue the keys of all clips, not of one.
        shuffle: Encode keys in an order that is shuffled over all processes.
        warmup_steps: Steps without an update of the weights; -1: until the queue is filled.
    """

    output_batch_dims: ClassVar[Mapping[str, int | None]] = {"queue": None}

    def __init__(
        self,
        video: VideoEncoder,
        key_encoder: EmaEncoder,
        *,
        queue: FeatureQueue | None = None,
        predictor: nn.Module | None = None,
        queue_all: bool = False,
        shuffle: bool = False,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(video)
        self.key_encoder, self.queue, self.predictor = key_encoder, queue, predictor
        self.queue_all, self.shuffle, self.warmup_steps = queue_all, shuffle, warmup_steps

    @property
    def _plain(self) -> VideoEncoder:
        return VideoEncoder(self.backbone, self.pooling, self.head_video)

    def setup(self, data: DatasetInfo) -> None:
        """Count the steps that fill the queue, at most one epoch of them."""
        if self.warmup_steps < 0 and self.queue is not None:
            # As PySlowFast: by the number of samples, whatever the number of clips.
            steps = len(self.queue.rows) // (data.batch_size * data.world_size)
            self.warmup_steps = min(steps, data.steps_per_epoch)

    def before_step(self, progress: Progress) -> None:
        """Copy the encoder before the first step."""
        self.key_encoder.before_step(self._plain)

    def forward(self, batch: Mapping[str, Any]) -> ClipOutputs:
        """Embed all clips as queries and as keys, clip by clip.

        Args:
            batch: ``video`` (B, V, 3, T, H, W), ``aug_seed`` int64 (B,).

        Returns:
            The input of the loss.
        """
        video = batch["video"]
        clips = video.split(1, dim=1)
        query = self._cat([self.video_encoder(clip) for clip in clips])
        if self.predictor is not None:
            query = self.predictor(query.flatten(0, 1)).unflatten(0, query.shape[:2])
        order = shuffle_order(batch["aug_seed"]) if self.shuffle else None
        keys = [encode_keys(self.key_encoder, clip, order) for clip in clips]
        queue = None if self.queue is None else self.queue.content()
        return ClipOutputs(F.normalize(query, dim=-1), F.normalize(self._cat(keys), dim=-1), queue)

    @staticmethod
    def _cat(clips: list[Tensor]) -> Tensor:
        """Join V times (B, 1, 1, D) to (B, V, D)."""
        return torch.cat(clips, dim=1)[:, :, 0]

    def after_backward(self, progress: Progress) -> None:
        """Discard gradients while the queue is being filled."""
        if progress.step < self.warmup_steps:
            for parameter in self.parameters():
                parameter.grad = None

    def after_batch(
        self, outputs: ClipOutputs, batch: Mapping[str, Any], progress: Progress
    ) -> None:
        """Queue the keys of all processes, clip by clip."""
        if self.queue is not None:
            for key in outputs.key.unbind(dim=1)[: None if self.queue_all else 1]:
                self.queue.push(key, batch.get("valid"))

    def after_step(self, progress: Progress) -> None:
        """Update the moving average."""
        self.key_encoder.after_step(self._plain, progress)


def _head(cfg: CfgNode, dim_in: int, layers: int, *, normalize: bool = False) -> MLPHead:
    """Build the MLP of projection or prediction, with the layers of PySlowFast's."""
    contrastive = cfg.CONTRASTIVE
    norm = None
    if contrastive.BN_MLP:
        of_head = cfg.clone()
        of_head.defrost()
        of_head.BN.NORM_TYPE = "sync_batchnorm" if contrastive.BN_SYNC_MLP else "batchnorm"
        norm = get_norm(of_head, dims=1)
    return MLPHead(
        dim_in,
        contrastive.MLP_DIM,
        contrastive.DIM,
        num_layers=layers,
        norm=norm,
        dropout=cfg.MODEL.DROPOUT_RATE,
        normalize=normalize,
    )


@MODEL_REGISTRY.register_as("ContrastiveModel", protocols=("knn",))
def build_contrastive_model(cfg: CfgNode) -> Method:
    """Build the method of CONTRASTIVE.TYPE."""
    contrastive, kind = cfg.CONTRASTIVE, cfg.CONTRASTIVE.TYPE
    is_clip_wise = kind in ("moco", "byol")
    backbone: Any = BACKBONE_REGISTRY.get(cfg.MODEL.ARCH)(cfg)
    pooling = build_pooling(cfg, backbone)
    layers = contrastive.NUM_MLP_LAYERS
    head = _head(cfg, pooling.dim_out, layers, normalize=not is_clip_wise)
    video = VideoEncoder(backbone, pooling, head)
    dim, seed = contrastive.DIM, cfg.RNG_SEED
    if kind == "simclr":
        return SimCLR(video)
    if kind == "mem":
        # CONTRASTIVE.MOMENTUM is the weight of the new embedding here.
        options = bank.BankOptions(dim, contrastive.T, contrastive.QUEUE_LEN, True, seed)
        return NPID(video, options, momentum=1.0 - contrastive.MOMENTUM)
    if kind == "swav":
        assignment = Assignment(
            contrastive.SWAV_EPSILON,
            contrastive.SWAV_ITERATIONS,
            contrastive.SWAV_QEUE_LEN,
            contrastive.SWAV_QUEUE_EPOCH,
            contrastive.SWAV_FREEZE_EPOCHS,
        )
        prototypes = contrastive.SWAV_PROTOTYPES
        return SwAV(video, dim=dim, prototypes=prototypes, assignment=assignment, seed=seed)
    schedule = "cosine" if contrastive.MOMENTUM_ANNEALING else "constant"
    keys = EmaEncoder(video, momentum=contrastive.MOMENTUM, schedule=schedule)
    if kind == "byol":
        predictor = _head(cfg, dim, contrastive.PREDICTOR_DEPTHS[0])
        return ClipMoCo(video, keys, predictor=predictor)
    return ClipMoCo(
        video,
        keys,
        queue=FeatureQueue(contrastive.QUEUE_LEN, dim, seed=seed),
        queue_all=contrastive.MOCO_MULTI_VIEW_QUEUE,
        # With statistics over all processes, shuffling has no effect.
        shuffle=cfg.BN.NORM_TYPE != "sync_batchnorm",
        warmup_steps=contrastive.MOCO_WARMUP_ITERS,
    )


def clip_loss(
    outputs: ClipOutputs,
    temperature: float,
    *,
    sequential: bool = True,
    valid: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the loss of MoCo or BYOL over clips.

    Each clip's query is compared with the keys of the other clips of its video, and the mean over
    keys is summed over queries.

    Args:
        outputs: Embeddings; with a queue MoCo, else BYOL.
        temperature: Divides the similarities.
        sequential: All clips are queries; of MoCo otherwise only the first.
        valid: bool (B,), samples to average over; None: all.

    Returns:
        The sum that PySlowFast backpropagates, and the value that it logs: the sum / (2 V), or the
        sum itself if not sequential.
    """
    clips = outputs.query.shape[1]
    queries = range(clips if sequential or outputs.queue is None else 1)
    losses = []
    for v in queries:
        for u in range(clips):
            if u == v:
                continue
            query, key = outputs.query[:, v], outputs.key[:, u]
            if outputs.queue is None:
                value = -global_mean((query * key).sum(dim=1), valid) / temperature
            else:
                value = info_nce(query, key, temperature, valid=valid, negatives=outputs.queue)
            losses.append(value)
    total = torch.stack(losses).sum() / (clips - 1)
    return total, total / (2 * clips) if sequential else total


def pairs_loss(
    outputs: SimCLROutputs, temperature: float, *, gather: bool, valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute NT-Xent of consecutive clips, summed over the pairs; see ``clip_loss``."""
    clips = outputs.embedding.shape[1]
    values = [
        nt_xent(outputs.embedding[:, k : k + 2], temperature, gather=gather, valid=valid)
        for k in range(clips - 1)
    ]
    total = torch.stack(values).sum()
    return total, total / (2 * clips)


@LOSS_REGISTRY.register_as("contrastive_loss")
def build_contrastive_loss(cfg: CfgNode) -> LossWithChance:
    """Build the loss of CONTRASTIVE.TYPE; ``loss_logged`` is the value that PySlowFast logs."""
    contrastive = cfg.CONTRASTIVE
    temperature, sequential = contrastive.T, contrastive.SEQUENTIAL

    def loss(outputs: Any, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        valid = batch.get("valid")
        if isinstance(outputs, NPIDOutputs):
            value = logged = bank.bank_loss(outputs.scores, valid=valid)
        elif isinstance(outputs, SwAVOutputs):
            value = logged = swapped_prediction(outputs, temperature, valid)
        elif isinstance(outputs, SimCLROutputs):
            gather = contrastive.SIMCLR_DIST_ON
            value, logged = pairs_loss(outputs, temperature, gather=gather, valid=valid)
        else:
            value, logged = clip_loss(outputs, temperature, sequential=sequential, valid=valid)
        return {"loss": value, "loss_logged": logged.detach()}

    def chance_level(outputs: Any) -> float:
        if isinstance(outputs, NPIDOutputs):
            return math.log(1 + outputs.scores.negative.shape[2])
        if isinstance(outputs, SwAVOutputs):
            return math.log(outputs.scores.shape[2])
        if isinstance(outputs, SimCLROutputs):
            samples, clips = outputs.embedding.shape[:2]
            ranks = world_size() if contrastive.SIMCLR_DIST_ON else 1
            return (clips - 1) * math.log(2 * ranks * samples - 1)
        if outputs.queue is None:
            return math.nan
        queries = outputs.query.shape[1] if sequential else 1
        return queries * math.log(1 + len(outputs.queue))

    return LossWithChance(loss, chance_level)
