"""AVID and CMA (Morgado et al., CVPR 2021): audio-visual instance discrimination with memory banks.

AVID compares a video with its own row of the audio bank, and its audio with its row of the video
bank; optionally also within each modality. CMA adds positives: the videos that are similar in both
modalities, mined from the banks, are compared within each modality.

Legend: B batch, V views, A audio clips, K crops, N rows of a bank, E mined positives, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from contrastive import bank
from contrastive.base import ContrastiveMethod, audio_valid, full_views
from contrastive.config import PROTOCOLS, RELEASED
from contrastive.encoder import (
    AudioEncoder,
    VideoEncoder,
    build_audio_encoder,
    build_video_encoder,
    projection,
)
from contrastive.mining import mine_positives
from slowfast.models.build import LOSS_REGISTRY, MODEL_REGISTRY
from slowfast.models.contrastive.memory_bank import MemoryBank
from slowfast.models.contrastive.negatives import uniform_negatives
from slowfast.models.contrastive.partition import PartitionConstant
from slowfast.models.losses.chance import LossWithChance
from slowfast.models.method import DatasetInfo, Progress

__all__ = ["AVID", "AVIDOutputs", "Mining", "build_avid", "build_avid_loss"]


class AVIDOutputs(NamedTuple):
    """Input of the loss; ``v2a`` are video queries and rows of the audio bank.

    Attributes:
        video: float (B, D), written into the video bank.
        audio: float (B, D), written into the audio bank.
        v2a: Own row against others. None if only modalities themselves are compared.
        a2v: The same, the other way.
        v2v: Own row, or the mined positives, against others. None: not compared.
        a2a: The same for audio.
        weights: Of the comparisons across and within modalities.
        log_mean_exp: The constants of NCE: (1,) of all comparisons, or (3,) of those across
            modalities, of v2v and of a2a. None for the softmax.
    """

    video: Tensor
    audio: Tensor
    v2a: bank.Scores | None
    a2v: bank.Scores | None
    v2v: bank.Scores | None
    a2a: bank.Scores | None
    weights: tuple[float, float]
    log_mean_exp: Tensor | None = None


class Mining(NamedTuple):
    """When and how CMA mines positives.

    Attributes:
        start: First epoch with mined positives.
        every: Epochs between two minings.
        positives: E.
        negatives: Negatives of the comparison within a modality, at most those of AVID.
        agreement: See ``mine_positives``.
    """

    start: int
    every: int
    positives: int
    negatives: int
    agreement: str


class AVID(ContrastiveMethod):
    """A video and an audio encoder, and a memory bank of each modality.

    Args:
        video: The video encoder.
        audio: The audio encoder.
        options: Of the comparison; both banks have the same negatives. ``own_row`` concerns CMA.
        momentum: Share of a row that stays in an update, of video and audio.
        weights: Of the comparisons across and within modalities.
        constants: Of NCE: one for all comparisons, as in the published code; or three, for those
            across modalities, of video with video and of audio with audio, because embeddings of
            one modality are more similar than those of two. None: softmax.
        mining: CMA; None: AVID alone.

    Attributes:
        positive_set: int64 (N, E) buffer, the mined rows of each video.
    """

    output_batch_dims: ClassVar[Mapping[str, int | None]] = {"log_mean_exp": None}
    replicated_buffers = frozenset({"positive_set"})
    positive_set: Tensor

    def __init__(
        self,
        video: VideoEncoder,
        audio: AudioEncoder,
        options: bank.BankOptions,
        *,
        momentum: tuple[float, float],
        weights: tuple[float, float],
        constants: Sequence[PartitionConstant] | None = None,
        mining: Mining | None = None,
    ) -> None:
        super().__init__(video, audio)
        self.options, self.momentum, self.weights = options, momentum, weights
        self.constants: Any = None if constants is None else nn.ModuleList(constants)
        self.mining = mining
        self.is_mined = False

    def setup(self, data: DatasetInfo) -> None:
        """Create both banks, one row per training video."""
        self.bank_video, self.bank_audio = (
            MemoryBank(
                data.num_rows, self.options.dim, momentum=momentum, seed=self.options.seed + i
            )
            for i, momentum in enumerate(self.momentum)
        )
        positives = self.mining.positives if self.mining else 0
        self.register_buffer(
            "positive_set", torch.zeros(data.num_rows, positives, dtype=torch.int64)
        )

    def before_epoch(self, progress: Progress) -> None:
        """Mine positives, at the first epoch of CMA and then at regular intervals."""
        mining, banks = self.mining, (self.bank_video.rows, self.bank_audio.rows)
        if mining is None or progress.epoch < mining.start:
            return
        if (progress.epoch - mining.start) % mining.every == 0:
            found = mine_positives(*banks, mining.positives, agreement=mining.agreement)
            self.positive_set.copy_(found)

    def before_step(self, progress: Progress) -> None:
        """Use mined positives from the first epoch of CMA on."""
        self.is_mined = self.mining is not None and progress.epoch >= self.mining.start

    def forward(self, batch: Mapping[str, Any]) -> AVIDOutputs:
        """Embed a batch and compare it with both banks.

        Args:
            batch: ``video`` (B, V, 3, T, H, W), ``audio`` (B, A, 1, F, S), ``index`` and
                ``aug_seed`` int64 (B,).

        Returns:
            The input of the loss.
        """
        video = self.video_encoder(batch["video"], batch["aug_seed"])  # (B, V, 1 + K, D)
        audio = self.audio_encoder(batch["audio"])[:, :, None]  # (B, A, 1, D)
        options = self.options
        own, mined = batch["index"][:, None], self.positive_set[batch["index"]]
        excluded = own
        if self.is_mined:
            excluded = mined if options.own_row else torch.cat([mined, own], dim=1)
        negatives = uniform_negatives(
            batch["aug_seed"], excluded, len(self.positive_set), options.negatives
        )

        def scores(query: Tensor, rows: Tensor, positive: Tensor, count: int) -> bank.Scores:
            index = torch.cat([positive, negatives[:, :count]], dim=1)
            return bank.compare(
                query.flatten(1, 2), rows[index], options.temperature, positives=positive.shape[1]
            )

        of_video, of_audio, count = self.bank_video.rows, self.bank_audio.rows, options.negatives
        weights, positive = self.weights, own
        v2a = a2v = v2v = a2a = None
        if self.is_mined and self.mining:  # as in the paper, whatever the weights before
            weights, positive = (1.0, 1.0), mined
        if weights[0]:
            v2a = scores(video, of_audio, own, count)
            a2v = scores(audio, of_video, own, count)
        if weights[1]:
            if self.is_mined and self.mining:
                count = self.mining.negatives
            v2v = scores(video, of_video, positive, count)
            a2a = scores(audio, of_audio, positive, count)
        outputs = AVIDOutputs(full_views(video), full_views(audio), v2a, a2v, v2v, a2a, weights)
        if self.constants is not None:
            found = [c(*_noise(scores, batch)) for c, scores in self._estimates(outputs)]
            outputs = outputs._replace(log_mean_exp=torch.stack(found))
        return outputs

    def _estimates(self, outputs: AVIDOutputs) -> list[tuple[PartitionConstant, bank.Scores]]:
        """Pair each constant with the comparison that it is estimated from, if there is one."""
        first = outputs.v2v if outputs.v2a is None else outputs.v2a
        found = zip(self.constants or (), (first, outputs.v2v, outputs.a2a), strict=False)
        return [(constant, scores) for constant, scores in found if scores is not None]

    def after_batch(
        self, outputs: AVIDOutputs, batch: Mapping[str, Any], progress: Progress
    ) -> None:
        """Move the rows of the batch towards its embeddings; not without audio."""
        valid = audio_valid(batch)
        self.bank_video.update(batch["index"], outputs.video, valid)
        self.bank_audio.update(batch["index"], outputs.audio, valid)
        for constant, scores in self._estimates(outputs):
            constant.update(*_noise(scores, batch))


def _noise(scores: bank.Scores, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
    """Similarities that a constant of NCE is estimated from, and which of them are valid."""
    return scores.negative.detach().flatten(0, 1), bank.per_query(audio_valid(batch), scores)


@MODEL_REGISTRY.register_as("AVID", protocols=PROTOCOLS)
def build_avid(cfg: CfgNode) -> AVID:
    """Build the method from cfg."""
    avid, cma = cfg.AVID, cfg.CMA
    is_released = avid.COMPAT == RELEASED
    decay, constants = (1.0, 1) if is_released else (avid.PARTITION_DECAY, 3)
    mining = Mining(
        cma.START_EPOCH, cma.EVERY_EPOCHS, cma.NUM_POSITIVES, cma.NUM_NEGATIVES, cma.AGREEMENT
    )
    return AVID(
        build_video_encoder(cfg, projection(cfg, avid)),
        build_audio_encoder(cfg, projection(cfg, avid)),
        bank.BankOptions(
            avid.DIM, avid.TEMPERATURE, avid.NUM_NEGATIVES, own_row=is_released, seed=cfg.RNG_SEED
        ),
        momentum=tuple(avid.BANK_MOMENTUM),
        weights=(avid.CROSS_WEIGHT, avid.WITHIN_WEIGHT),
        constants=[PartitionConstant(decay) for _ in range(constants)]
        if avid.LOSS == "nce"
        else None,
        mining=mining if cma.ENABLE else None,
    )


@LOSS_REGISTRY.register_as("avid")
def build_avid_loss(cfg: CfgNode) -> LossWithChance:
    """Build the weighted mean of both directions across and within modalities.

    Args:
        cfg: Not read: the outputs hold the weights.

    Returns:
        The loss.
    """

    def weighted(outputs: AVIDOutputs) -> list[tuple[str, float, list[bank.Scores]]]:
        """Name, weight and comparisons of both kinds; the weights sum to 1."""
        cross = [s for s in (outputs.v2a, outputs.a2v) if s is not None]
        within = [s for s in (outputs.v2v, outputs.a2a) if s is not None]
        kinds = zip(("cross", "within"), outputs.weights, (cross, within), strict=True)
        total = sum(outputs.weights)
        return [(name, weight / total, scores) for name, weight, scores in kinds if scores]

    def constants(outputs: AVIDOutputs, name: str) -> tuple[Tensor | None, ...]:
        """The constants of both comparisons of a kind."""
        found = outputs.log_mean_exp
        if found is None:
            return None, None
        if name == "within" and len(found) > 1:
            return found[1], found[2]
        return found[0], found[0]

    def loss(outputs: AVIDOutputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        total = outputs.video.new_zeros(())
        for name, weight, comparisons in weighted(outputs):
            values = [
                bank.bank_loss(scores, log_mean_exp=constant, valid=audio_valid(batch))
                for scores, constant in zip(comparisons, constants(outputs, name), strict=True)
            ]
            losses[f"loss_{name}"] = torch.stack(values).mean()
            total = total + weight * losses[f"loss_{name}"]
        return {"loss": total, **{name: value.detach() for name, value in losses.items()}}

    def chance_level(outputs: AVIDOutputs) -> float:
        nce = outputs.log_mean_exp is not None
        return sum(
            weight * bank.chance_level(comparisons[0].negative.shape[2], nce=nce)
            for _, weight, comparisons in weighted(outputs)
        )

    return LossWithChance(loss, chance_level)
