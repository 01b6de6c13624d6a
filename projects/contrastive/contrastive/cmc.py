"""CMC (Tian et al., ECCV 2020): two views of a clip, two encoders, a memory bank for each.

Each view's embedding is compared with the bank of the other view. The views are the luminance and
the color of the same frames (``CMC.VIEWS lab``), or video and audio (``audio``).

Legend: B batch, V views of the frames, K crops in Q = V * (1 + K) queries, D embedding.
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
from slowfast.models.build import LOSS_REGISTRY, MODEL_REGISTRY
from slowfast.models.contrastive.memory_bank import MemoryBank
from slowfast.models.contrastive.negatives import uniform_negatives
from slowfast.models.contrastive.partition import PartitionConstant
from slowfast.models.losses.chance import LossWithChance
from slowfast.models.method import DatasetInfo, Progress
from slowfast.utils.constants import vector_on
from slowfast.utils.env import full_precision

__all__ = ["CMC", "CMCOutputs", "build_cmc", "build_cmc_loss", "rgb_to_lab"]

_WHITE = (0.95047, 1.0, 1.08883)  # D65
_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)


class CMCOutputs(NamedTuple):
    """Input of the loss; "one" is the luminance or the video, "two" the color or the audio.

    Attributes:
        one: float (B, D), written into the first bank.
        two: float (B, D), written into the second bank.
        scores_one: Similarities of the first view with the second bank.
        scores_two: Similarities of the second view with the first bank.
        log_mean_exp: The constants of NCE, (2,); None for the softmax.
    """

    one: Tensor
    two: Tensor
    scores_one: bank.Scores
    scores_two: bank.Scores
    log_mean_exp: Tensor | None


class CMC(ContrastiveMethod):
    """Two encoders and two memory banks.

    Args:
        one: The encoder of the first view.
        two: The encoder of the second view: for color, or for audio.
        pixels: (mean, std) of the normalization of the frames, to undo it; read for color.
        options: Of the comparison; both banks have the same negatives.
        momentum: Share of a row that stays in an update.
        constants: The constants of NCE of the two banks; None: softmax.
    """

    output_batch_dims: ClassVar[Mapping[str, int | None]] = {"log_mean_exp": None}

    def __init__(
        self,
        one: VideoEncoder,
        two: VideoEncoder | AudioEncoder,
        options: bank.BankOptions,
        *,
        pixels: tuple[list[float], list[float]],
        momentum: float,
        constants: Sequence[PartitionConstant] | None = None,
    ) -> None:
        is_audio = isinstance(two, AudioEncoder)
        super().__init__(one, two if isinstance(two, AudioEncoder) else None)
        self.color = None if is_audio else two
        self.pixels, self.options = pixels, options
        self.momentum = momentum
        self.constants: Any = None if constants is None else nn.ModuleList(constants)

    def setup(self, data: DatasetInfo) -> None:
        """Create both banks, one row per training video."""
        self.bank_one, self.bank_two = (
            MemoryBank(
                data.num_rows,
                self.options.dim,
                momentum=self.momentum,
                seed=self.options.seed + i,
            )
            for i in range(2)
        )

    def forward(self, batch: Mapping[str, Any]) -> CMCOutputs:
        """Embed both views and compare each with the other's bank.

        Args:
            batch: ``video`` (B, V, 3, T, H, W), ``index`` and ``aug_seed`` int64 (B,); for audio
                ``audio`` (B, A, 1, F, S).

        Returns:
            The input of the loss.
        """
        video, seed, index = batch["video"], batch["aug_seed"], batch["index"]
        if self.color is None:
            one = self.video_encoder(video, seed)
            two = self.audio_encoder(batch["audio"])[:, :, None]  # (B, A, 1, D)
        else:
            luminance, color = self.split_color(video)
            one, two = self.video_encoder(luminance, seed), self.color(color, seed)
        negatives, options = None, self.options
        if options.negatives:
            negatives = uniform_negatives(
                seed,
                index,
                len(self.bank_one.rows),
                options.negatives,
                allow_positive=options.own_row,
            )
        scores_one, scores_two = (
            bank.compare_with_bank(
                view.flatten(1, 2), other.rows, index, negatives, options.temperature
            )
            for view, other in ((one, self.bank_two), (two, self.bank_one))
        )
        constant = None
        if self.constants is not None:
            of_views = zip(self.constants, (scores_one, scores_two), strict=True)
            valid = self.valid(batch)
            constant = torch.stack(
                [c(bank.all_scores(s), bank.per_query(valid, s)) for c, s in of_views]
            )
        return CMCOutputs(full_views(one), full_views(two), scores_one, scores_two, constant)

    def valid(self, batch: Mapping[str, Any]) -> Tensor | None:
        """Return which samples have both views: bool (B,), None for all."""
        return audio_valid(batch) if self.color is None else None

    def split_color(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """Split normalized RGB frames into luminance and color (CIE Lab).

        Args:
            video: float (..., 3, T, H, W), normalized by the mean and std of ``pixels``.

        Returns:
            float (..., 3, T, H, W) twice: L in three equal channels, and a, b and a zero channel;
            both about from -1 to 1.
        """
        with full_precision(video.device):
            mean, std = (
                vector_on(video.device, x, video.dtype).view(3, 1, 1, 1).float()
                for x in self.pixels
            )
            lab = rgb_to_lab((video.float() * std + mean).clamp(0.0, 1.0), dim=-4)
            luminance, color = lab.split([1, 2], dim=-4)
            zero = torch.zeros_like(luminance)
            first = ((luminance - 50.0) / 50.0).expand_as(video)
            return first, torch.cat([color / 110.0, zero], dim=-4)

    def embed(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute features; those of luminance and color are concatenated. See the base class."""
        if self.color is None:
            return super().embed(batch)
        luminance, color = self.split_color(batch["video"])
        of_views = zip(self.video_encoder.embed(luminance), self.color.embed(color), strict=True)
        features, embeddings = (torch.cat(pair, dim=-1) for pair in of_views)
        return {"video": features, "video_embedding": embeddings / 2**0.5}

    def after_batch(
        self, outputs: CMCOutputs, batch: Mapping[str, Any], progress: Progress
    ) -> None:
        """Move the rows of the batch towards its embeddings."""
        valid = self.valid(batch)
        self.bank_one.update(batch["index"], outputs.one, valid)
        self.bank_two.update(batch["index"], outputs.two, valid)
        if self.constants is not None:
            for constant, scores in zip(
                self.constants, (outputs.scores_one, outputs.scores_two), strict=True
            ):
                constant.update(bank.all_scores(scores), bank.per_query(valid, scores))


def rgb_to_lab(rgb: Tensor, dim: int = -3) -> Tensor:
    """Convert sRGB to CIE Lab under D65.

    Args:
        rgb: float, from 0 to 1, 3 channels in dimension ``dim``.
        dim: The dimension of the channels.

    Returns:
        The same shape: L from 0 to 100, a and b about from -110 to 110.
    """
    rgb = rgb.movedim(dim, -1)
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = vector_on(rgb.device, [x for row in _TO_XYZ for x in row], rgb.dtype).view(3, 3)
    xyz = linear @ to_xyz.T / vector_on(rgb.device, _WHITE, rgb.dtype)
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-8) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1).movedim(-1, dim)


@MODEL_REGISTRY.register_as("CMC", protocols=PROTOCOLS)
def build_cmc(cfg: CfgNode) -> CMC:
    """Build the method from cfg."""
    cmc = cfg.CMC
    is_released = cmc.COMPAT == RELEASED
    decay = 1.0 if is_released else cmc.PARTITION_DECAY
    is_nce = cmc.LOSS == "nce"
    is_audio = cmc.VIEWS == "audio"
    return CMC(
        build_video_encoder(cfg, projection(cfg, cmc)),
        build_audio_encoder(cfg, projection(cfg, cmc))
        if is_audio
        else build_video_encoder(cfg, projection(cfg, cmc)),
        bank.BankOptions(
            cmc.DIM, cmc.TEMPERATURE, cmc.NUM_NEGATIVES, own_row=is_released, seed=cfg.RNG_SEED
        ),
        pixels=(list(cfg.DATA.MEAN), list(cfg.DATA.STD)),
        momentum=cmc.BANK_MOMENTUM,
        constants=[PartitionConstant(decay) for _ in range(2)] if is_nce else None,
    )


@LOSS_REGISTRY.register_as("cmc")
def build_cmc_loss(cfg: CfgNode) -> LossWithChance:
    """Build the sum of both directions (equation 2 of the paper), by softmax or NCE."""

    def loss(outputs: CMCOutputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        valid = audio_valid(batch) if cfg.CMC.VIEWS == "audio" else batch.get("valid")
        constants = (None, None) if outputs.log_mean_exp is None else outputs.log_mean_exp
        one, two = (
            bank.bank_loss(scores, log_mean_exp=constant, valid=valid)
            for scores, constant in zip(
                (outputs.scores_one, outputs.scores_two), constants, strict=True
            )
        )
        return {"loss": one + two, "loss_one": one.detach(), "loss_two": two.detach()}

    def chance_level(outputs: CMCOutputs) -> float:
        negatives = outputs.scores_one.negative.shape[2]
        return 2 * bank.chance_level(negatives, nce=outputs.log_mean_exp is not None)

    return LossWithChance(loss, chance_level)
