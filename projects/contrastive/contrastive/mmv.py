"""MMV (Alayrac et al., NeurIPS 2020): video and audio in a fine space, text in a coarse one (FAC).

The fine space compares video and audio. A projection of the fine space of the video is compared
with text, where a video has several candidate texts. Without text, only the fine space exists.

Legend: B batch, W processes, K crops, Q queries of a video, n texts of a video, L tokens, C
channels, D embedding, E fine and G coarse dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from contrastive.base import ContrastiveMethod, audio_valid
from contrastive.config import PROTOCOLS, RELEASED
from contrastive.encoder import (
    AudioEncoder,
    VideoEncoder,
    build_audio_encoder,
    build_video_encoder,
)
from slowfast.models.batch_norm import get_norm
from slowfast.models.build import LOSS_REGISTRY, MODEL_REGISTRY
from slowfast.models.losses.chance import LossWithChance
from slowfast.utils.distributed import (
    gather_no_gradient,
    gather_with_gradient,
    global_mean,
    rank,
    world_size,
)
from slowfast.utils.env import full_precision

__all__ = ["MMV", "MMVOutputs", "TextEncoder", "build_mmv", "build_mmv_loss", "mil_nce"]


class MMVOutputs(NamedTuple):
    """Input of the loss, rows of length 1.

    Attributes:
        video: float (B, 1 + K, E), full clip first.
        audio: float (B, E).
        coarse: float (B, 1 + K, G) of the video; None without text.
        text: float (B, n, G); None without text.
        text_valid: bool (B,), whether a video has text; None without text.
    """

    video: Tensor
    audio: Tensor
    coarse: Tensor | None = None
    text: Tensor | None = None
    text_valid: Tensor | None = None


class FineHead(nn.Module):
    """Projects video features into the fine space: linear, BN, ReLU, linear, BN.

    Args:
        dim_in: C.
        dim: E.
        norm: Features -> batch norm.
    """

    def __init__(self, dim_in: int, dim: int, *, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim_in, dim), norm(dim), nn.ReLU(), nn.Linear(dim, dim, bias=False), norm(dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute float (N, E) of length 1 from float (N, C)."""
        return F.normalize(self.layers(x), dim=-1)


class LinearSpace(nn.Linear):
    """A linear projection to rows of length 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute float (N, E) from float (N, C)."""
        return F.normalize(super().forward(x), dim=-1)


class TextEncoder(nn.Module):
    """Token embeddings, a linear layer and ReLU per token, and the maximum over tokens.

    Args:
        vocabulary: Number of tokens; token 0 is padding.
        dim_hidden: Width of the linear layer.
        dim: G.
    """

    def __init__(self, vocabulary: int, dim_hidden: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim_hidden, padding_idx=0)
        self.hidden = nn.Linear(dim_hidden, dim_hidden)
        self.head = nn.Linear(dim_hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed texts.

        Args:
            tokens: int64 (..., L), 0 for padding.

        Returns:
            float (..., G), rows of length 1.
        """
        words = F.relu(self.hidden(self.embedding(tokens)))  # (..., L, hidden), not negative
        words = words.masked_fill((tokens == 0)[..., None], 0.0)
        return F.normalize(self.head(words.amax(dim=-2)), dim=-1)


class MMV(ContrastiveMethod):
    """A video and an audio encoder, and optionally text.

    Args:
        video: The video encoder; its head is a ``FineHead``.
        audio: The audio encoder.
        coarse: Fine to coarse space, ``(N, E) -> (N, G)``; None without text.
        text: The text encoder; None without text.
        bag: n.
    """

    def __init__(
        self,
        video: VideoEncoder,
        audio: AudioEncoder,
        *,
        coarse: nn.Module | None = None,
        text: nn.Module | None = None,
        bag: int = 1,
    ) -> None:
        super().__init__(video, audio)
        self.coarse, self.text, self.bag = coarse, text, bag

    def forward(self, batch: Mapping[str, Any]) -> MMVOutputs:
        """Embed all modalities.

        Args:
            batch: ``video`` (B, V, 3, T, H, W) and ``audio`` (B, A, 1, F, S), of which the first
                are used; with crops ``aug_seed`` int64 (B,); with text ``text`` int64 (B, n * L),
                the tokens of n texts, 0 for padding.

        Returns:
            The input of the loss.
        """
        pooled = self.video_encoder.pooled(batch["video"][:, :1], batch["aug_seed"])[:, 0]
        rows = pooled.flatten(0, 1)  # (B * (1 + K), C)
        audio = self.audio_encoder(batch["audio"][:, :1])[:, 0]
        if self.coarse is None or self.text is None:
            return MMVOutputs(self.head_video(rows).unflatten(0, pooled.shape[:2]), audio)
        fine = cast(FineHead, self.head_video).layers(rows)
        coarse = F.normalize(self.coarse(F.relu(fine)), dim=-1)
        tokens = batch["text"].unflatten(1, (self.bag, -1))  # (B, n, L)
        return MMVOutputs(
            F.normalize(fine, dim=-1).unflatten(0, pooled.shape[:2]),
            audio,
            coarse.unflatten(0, pooled.shape[:2]),
            self.text(tokens),
            (tokens != 0).any(dim=2).all(dim=1),
        )


def mil_nce(
    video: Tensor,
    other: Tensor,
    temperature: float,
    *,
    valid: Tensor | None = None,
    positives_twice: bool = False,
) -> Tensor:
    """Find the candidates of a video among all pairs with other videos or other candidates.

    MIL-NCE (Miech et al., CVPR 2020, equation 1). With one candidate it is MMV's loss of
    video and audio. Each of several queries of a video is compared on its own, with the query of
    the same number of other videos; the result is the mean.

    Args:
        video: float (B, Q, D), the queries of each video: the full clip and its crops.
        other: float (B, n, D), n candidates of each video.
        temperature: Divides the similarities.
        valid: bool (B,); rows that are False are in no pair. None: all valid.
        positives_twice: Count the positives twice in the denominator, as the released code does.

    Returns:
        Scalar; both arguments get gradients, from all processes.
    """
    rows = len(other)
    if valid is None:
        valid = torch.ones(rows, dtype=torch.bool, device=video.device)
    with full_precision(video.device):
        wide = torch.promote_types(video.dtype, torch.float32)
        absent = ~valid[:, None, None]
        video, other = (x.to(wide).masked_fill(absent, 0.0) for x in (video, other))
        videos, others = gather_with_gradient(video), gather_with_gradient(other)
        all_valid = gather_no_gradient(valid)  # (W * B,)
        column = torch.arange(len(all_valid), device=video.device)
        first = rank() * rows
        own = column == torch.arange(first, first + rows, device=video.device)[:, None]
        # Video i with all candidates, and the candidates of video i with all videos.
        row = torch.einsum("bqd,wnd->bqwn", video, others) / temperature
        transposed = torch.einsum("bnd,wqd->bqwn", other, videos) / temperature
        own = own[:, None, :, None]  # (B, 1, W * B, 1)
        absent = ~all_valid[:, None] & ~own
        row = row.masked_fill(absent, -math.inf)
        positive = row.masked_fill(~own, -math.inf).flatten(2).logsumexp(dim=2)  # (B, Q)
        hidden = absent if positives_twice else absent | own
        transposed = transposed.masked_fill(hidden, -math.inf)
        every = torch.cat([row.flatten(2), transposed.flatten(2)], dim=2).logsumexp(dim=2)
        return global_mean(every - positive, valid)


@MODEL_REGISTRY.register_as("MMV", protocols=PROTOCOLS)
def build_mmv(cfg: CfgNode) -> MMV:
    """Build the method from cfg."""
    mmv = cfg.MMV
    norm = get_norm(cfg, dims=1)
    video = build_video_encoder(cfg, lambda dim: FineHead(dim, mmv.DIM, norm=norm))
    audio = build_audio_encoder(cfg, lambda dim: LinearSpace(dim, mmv.DIM))
    if not mmv.TEXT_WEIGHT:
        return MMV(video, audio)
    coarse = nn.Sequential(nn.Linear(mmv.DIM, mmv.COARSE_DIM), norm(mmv.COARSE_DIM))
    text = TextEncoder(mmv.VOCABULARY, mmv.TEXT_DIM, mmv.COARSE_DIM)
    return MMV(video, audio, coarse=coarse, text=text, bag=mmv.NUM_TEXTS)


@LOSS_REGISTRY.register_as("mmv")
def build_mmv_loss(cfg: CfgNode) -> LossWithChance:
    """Build the loss of video and audio, plus MMV.TEXT_WEIGHT times that of video and text."""
    mmv = cfg.MMV
    twice = mmv.COMPAT == RELEASED

    def compare(queries: Tensor, keys: Tensor, valid: Tensor | None) -> Tensor:
        return mil_nce(queries, keys, mmv.TEMPERATURE, valid=valid, positives_twice=twice)

    def loss(outputs: MMVOutputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        audio = compare(outputs.video, outputs.audio[:, None], audio_valid(batch))
        losses = {"loss": audio, "loss_audio": audio.detach()}
        if outputs.coarse is not None and outputs.text is not None:
            text = compare(outputs.coarse, outputs.text, outputs.text_valid)
            losses["loss"] = audio + mmv.TEXT_WEIGHT * text
            losses["loss_text"] = text.detach()
        return losses

    def chance_level(outputs: MMVOutputs) -> float:
        rows = world_size() * len(outputs.video)
        level = math.log(2 * rows - (0 if twice else 1))
        return level * (1 + (mmv.TEXT_WEIGHT if outputs.text is not None else 0))

    return LossWithChance(loss, chance_level)
