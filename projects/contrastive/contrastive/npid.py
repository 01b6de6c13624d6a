"""NPID (Wu et al., CVPR 2018): each video is told from all others by a memory bank.

The bank holds a moving average of each training video's embedding. Views and feature crops of a
clip are queries; the video's own row is the positive.

Legend: B batch, V views, K crops in Q = V * (1 + K) queries, N rows of the bank, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from fvcore.common.config import CfgNode
from torch import Tensor

from contrastive import bank
from contrastive.base import ContrastiveMethod, full_views
from contrastive.config import PROTOCOLS, RELEASED
from contrastive.encoder import VideoEncoder, build_video_encoder, projection
from slowfast.models.build import LOSS_REGISTRY, MODEL_REGISTRY
from slowfast.models.contrastive.memory_bank import MemoryBank
from slowfast.models.contrastive.negatives import uniform_negatives
from slowfast.models.contrastive.partition import PartitionConstant
from slowfast.models.losses.chance import LossWithChance
from slowfast.models.method import DatasetInfo, Progress

__all__ = ["NPID", "NPIDOutputs", "build_npid", "build_npid_loss"]


class NPIDOutputs(NamedTuple):
    """Input of the loss.

    Attributes:
        embedding: float (B, D) of full views, written into the bank.
        scores: Similarities of all queries with the bank.
        log_mean_exp: The constant of NCE, a scalar; None for the softmax.
    """

    embedding: Tensor
    scores: bank.Scores
    log_mean_exp: Tensor | None


class NPID(ContrastiveMethod):
    """A video encoder and a memory bank.

    Args:
        video: The encoder.
        options: Of the comparison with the bank.
        momentum: Share of a row that stays in an update.
        constant: The constant of NCE; None: softmax.
    """

    output_batch_dims: ClassVar[Mapping[str, int | None]] = {"log_mean_exp": None}

    def __init__(
        self,
        video: VideoEncoder,
        options: bank.BankOptions,
        *,
        momentum: float,
        constant: PartitionConstant | None = None,
    ) -> None:
        super().__init__(video)
        self.options, self.momentum, self.constant = options, momentum, constant

    def setup(self, data: DatasetInfo) -> None:
        """Create the bank, one row per training video."""
        dim, seed = self.options.dim, self.options.seed
        self.bank = MemoryBank(data.num_rows, dim, momentum=self.momentum, seed=seed)

    def forward(self, batch: Mapping[str, Any]) -> NPIDOutputs:
        """Embed a batch and compare it with the bank.

        Args:
            batch: ``video`` (B, V, 3, T, H, W), ``index`` and ``aug_seed`` int64 (B,).

        Returns:
            The input of the loss.
        """
        embedding = self.video_encoder(batch["video"], batch["aug_seed"])  # (B, V, 1 + K, D)
        index, negatives, options = batch["index"], None, self.options
        if options.negatives:
            negatives = uniform_negatives(
                batch["aug_seed"],
                index,
                len(self.bank.rows),
                options.negatives,
                allow_positive=options.own_row,
            )
        scores = bank.compare_with_bank(
            embedding.flatten(1, 2), self.bank.rows, index, negatives, options.temperature
        )
        log_mean_exp = None if self.constant is None else self.constant(bank.all_scores(scores))
        return NPIDOutputs(full_views(embedding), scores, log_mean_exp)

    def after_batch(
        self, outputs: NPIDOutputs, batch: Mapping[str, Any], progress: Progress
    ) -> None:
        """Move the rows of the batch towards its embeddings."""
        self.bank.update(batch["index"], outputs.embedding, batch.get("valid"))
        if self.constant is not None:
            self.constant.update(bank.all_scores(outputs.scores))


@MODEL_REGISTRY.register_as("NPID", protocols=PROTOCOLS)
def build_npid(cfg: CfgNode) -> NPID:
    """Build the method from cfg."""
    npid = cfg.NPID
    is_released = npid.COMPAT == RELEASED
    constant = PartitionConstant(1.0 if is_released else npid.PARTITION_DECAY)
    options = bank.BankOptions(
        npid.DIM, npid.TEMPERATURE, npid.NUM_NEGATIVES, own_row=is_released, seed=cfg.RNG_SEED
    )
    return NPID(
        build_video_encoder(cfg, projection(cfg, npid)),
        options,
        momentum=npid.BANK_MOMENTUM,
        constant=constant if npid.LOSS == "nce" else None,
    )


@LOSS_REGISTRY.register_as("npid")
def build_npid_loss(cfg: CfgNode) -> LossWithChance:
    """Build the comparison with the bank: softmax (equation 2 of the paper) or NCE (equation 7)."""

    def loss(outputs: NPIDOutputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        value = bank.bank_loss(
            outputs.scores, log_mean_exp=outputs.log_mean_exp, valid=batch.get("valid")
        )
        return {"loss": value}

    def chance_level(outputs: NPIDOutputs) -> float:
        negatives = outputs.scores.negative.shape[2]
        return bank.chance_level(negatives, nce=outputs.log_mean_exp is not None)

    return LossWithChance(loss, chance_level)
