"""GDT (Patrick et al., ICCV 2021): cross-modal learning with time reversal and time shift.

A transformation of a video is either a nuisance (``invariant``: transformed versions are positives)
or information (``variant``: transformed versions are negatives). With time reversal and time shift,
each ``none``, ``invariant`` or ``variant``, these are the paper's nine hypotheses.

Legend: B batch of one process, W processes, U transformations, K crops, D embedding. The
transformations are 0 plain, 1 reversed, 2 shifted, 3 shifted and reversed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import Tensor

from contrastive.base import ContrastiveMethod, audio_valid
from contrastive.config import PROTOCOLS, RELEASED
from contrastive.encoder import (
    AudioEncoder,
    VideoEncoder,
    build_audio_encoder,
    build_video_encoder,
    projection,
)
from slowfast.models.build import LOSS_REGISTRY, MODEL_REGISTRY
from slowfast.models.losses.chance import LossWithChance
from slowfast.utils.distributed import gather_no_gradient, global_mean, rank, world_size
from slowfast.utils.env import full_precision

__all__ = ["GDT", "GDTOutputs", "Pair", "build_gdt", "build_gdt_loss", "gdt_loss", "pairs"]


class Pair(NamedTuple):
    """A comparison between two transformations.

    Attributes:
        kind: ``base``, ``variant`` or ``invariant``.
        one: A transformation.
        other: Another one; the same for a comparison of one transformation with itself.
        far: How often each transformation's keys of other processes count as negatives, in the
            released code; None: once those of ``one`` and ``other``.
    """

    kind: str
    one: int
    other: int
    far: Mapping[int, int] | None = None


_BASE, _VARIANT, _INVARIANT = "base", "variant", "invariant"
_PAIRS: dict[tuple[str, str], tuple[Pair, ...]] = {
    ("none", "none"): (Pair(_BASE, 0, 0),),
    ("variant", "none"): (Pair(_VARIANT, 0, 1),),
    ("invariant", "none"): (
        Pair(_BASE, 0, 1),
        Pair(_INVARIANT, 0, 1, {0: 1, 1: 2}),
    ),
    ("none", "variant"): (Pair(_VARIANT, 0, 2),),
    ("none", "invariant"): (
        Pair(_BASE, 0, 2),
        Pair(_INVARIANT, 0, 2, {0: 1, 2: 2}),
    ),
    ("variant", "variant"): (
        Pair(_VARIANT, 0, 1),
        Pair(_VARIANT, 2, 3),
        Pair(_VARIANT, 0, 2, {0: 1, 1: 1, 2: 1, 3: 1}),
        Pair(_VARIANT, 1, 3),
    ),
    ("invariant", "variant"): (
        Pair(_BASE, 0, 1),
        Pair(_INVARIANT, 0, 1, {0: 1, 1: 2}),
        Pair(_INVARIANT, 2, 3),
        Pair(_VARIANT, 0, 2, {0: 1, 1: 1, 2: 1}),
        Pair(_VARIANT, 1, 3, {0: 1, 1: 2, 2: 1, 3: 1}),
    ),
    ("variant", "invariant"): (
        Pair(_BASE, 0, 2),
        Pair(_VARIANT, 0, 1, {0: 1, 1: 1, 2: 1}),
        Pair(_VARIANT, 2, 3),
        Pair(_INVARIANT, 0, 2, {0: 1, 1: 1, 2: 2, 3: 1}),
        Pair(_INVARIANT, 1, 3),
    ),
    ("invariant", "invariant"): (
        Pair(_BASE, 0, 1),
        Pair(_BASE, 0, 2, {0: 1, 1: 1, 2: 1}),
        Pair(_INVARIANT, 0, 1, {0: 1, 1: 2, 2: 1}),
        Pair(_INVARIANT, 2, 3),
        Pair(_INVARIANT, 0, 2, {0: 1, 1: 1, 2: 2}),
        Pair(_INVARIANT, 1, 3, {0: 1, 1: 2, 2: 2, 3: 1}),
    ),
}


def pairs(reversal: str, shift: str) -> tuple[Pair, ...]:
    """Return the comparisons of a hypothesis; their mean is the loss.

    Args:
        reversal: ``none``, ``variant`` or ``invariant`` to time reversal.
        shift: The same for time shift.

    Returns:
        The comparisons. ``far`` is that of the released code, whose lists of negatives grow while
        they are used; the definition counts each once.
    """
    return _PAIRS[reversal, shift]


class GDTOutputs(NamedTuple):
    """Input of the loss, rows of length 1.

    Attributes:
        video: float (B, U, 1 + K, D), full clips first.
        audio: float (B, U, D).
        transformations: The U transformations, such as (0, 1).
    """

    video: Tensor
    audio: Tensor
    transformations: tuple[int, ...]


class GDT(ContrastiveMethod):
    """A video and an audio encoder.

    Args:
        video: The video encoder.
        audio: The audio encoder.
        transformations: Those that the hypothesis compares.
    """

    def __init__(
        self, video: VideoEncoder, audio: AudioEncoder, *, transformations: tuple[int, ...]
    ) -> None:
        super().__init__(video, audio)
        self.transformations = transformations

    def forward(self, batch: Mapping[str, Any]) -> GDTOutputs:
        """Embed each clip forwards and backwards, as the hypothesis needs.

        Args:
            batch: ``video`` (B, V, 3, T, H, W) and ``audio`` (B, A, 1, F, S), of which clip 1 is
                the shifted one; with crops ``aug_seed`` int64 (B,).

        Returns:
            The input of the loss.
        """
        video, audio = (
            torch.stack(
                [x[:, u // 2].flip(time) if u % 2 else x[:, u // 2] for u in self.transformations],
                dim=1,
            )
            for x, time in ((batch["video"], -3), (batch["audio"], -1))
        )
        return GDTOutputs(
            self.video_encoder(video, batch["aug_seed"]),
            self.audio_encoder(audio),
            self.transformations,
        )


def gdt_loss(
    outputs: GDTOutputs,
    comparisons: tuple[Pair, ...],
    temperature: float,
    *,
    released: bool = False,
    valid: Tensor | None = None,
) -> Tensor:
    """Compare each modality with the other, under the transformations of a hypothesis.

    Args:
        outputs: Embeddings.
        comparisons: The pairs of the hypothesis; their mean is the loss.
        temperature: Divides the similarities.
        released: Count negatives of other processes as the released code does.
        valid: bool (B,); rows that are False are neither queries nor keys.

    Returns:
        Scalar. Keys have no gradient.
    """
    with full_precision(outputs.video.device):
        keys = _Keys(outputs, temperature, valid)
        return torch.stack([keys.compare(pair, released=released) for pair in comparisons]).mean()


class _Keys:
    """The keys of all processes under all transformations, and the queries of this one."""

    def __init__(self, outputs: GDTOutputs, temperature: float, valid: Tensor | None) -> None:
        wide = torch.promote_types(outputs.video.dtype, torch.float32)
        modalities = (outputs.video.to(wide), outputs.audio[:, :, None].to(wide))
        rows = len(outputs.video)
        device = outputs.video.device
        self.valid = torch.ones(rows, dtype=torch.bool, device=device) if valid is None else valid
        place = enumerate(outputs.transformations)
        # Set to zero, not only masked: NaN times a gradient of zero is NaN.
        self.queries = {
            u: [x[:, i].masked_fill(~self.valid[:, None, None], 0.0) for x in modalities]
            for i, u in place
        }
        self.keys = {
            u: [gather_no_gradient(x[:, 0].detach()) for x in of_u]
            for u, of_u in self.queries.items()
        }
        self.key_valid = gather_no_gradient(self.valid)  # (W * B,)
        column = torch.arange(len(self.key_valid), device=device)
        self.is_own_process = column // rows == rank()
        first = rank() * rows
        self.is_own_key = column == torch.arange(first, first + rows, device=device)[:, None]
        self.temperature = temperature

    def compare(self, pair: Pair, *, released: bool) -> Tensor:
        """Compute the loss of a pair: the mean over its transformations and both modalities."""
        positives = (pair.one, pair.other)
        if pair.kind == _INVARIANT:
            positives = (pair.other, pair.one)
        # Local keys of the other transformation are negatives if it is variant.
        extra = {pair.one, pair.other} if pair.kind == _VARIANT else set()
        far = (released and pair.far) or dict.fromkeys((pair.one, pair.other), 1)
        queries = dict(zip((pair.one, pair.other), positives, strict=True))
        losses = [
            self._direction(query, modality, positive, extra, far)
            for query, positive in queries.items()
            for modality in (0, 1)
        ]
        return torch.stack(losses).mean()

    def _direction(
        self, query: int, modality: int, positive: int, extra: set[int], far: Mapping[int, int]
    ) -> Tensor:
        """Classify the own key of the other modality, under the positive transformation."""
        logits = []
        for u in sorted({positive, *extra, *far}):
            similarity = self.queries[query][modality] @ self.keys[u][1 - modality].T
            similarity = similarity / self.temperature  # (B, 1 + K, W * B)
            local = float(u == positive or u in extra)
            count = torch.where(self.is_own_process, local, float(far.get(u, 0))) * self.key_valid
            count = count.expand(len(self.valid), -1)  # (B, W * B)
            if u == positive:  # the own key is never left out: rows stay finite
                count = torch.where(self.is_own_key, 1.0, count)
                target = (similarity * self.is_own_key[:, None]).sum(dim=2)  # (B, 1 + K)
            logits.append(similarity + count.to(similarity.dtype).log()[:, None])
        losses = torch.cat(logits, dim=2).logsumexp(dim=2) - target
        return global_mean(losses, self.valid)


@MODEL_REGISTRY.register_as("GDT", protocols=PROTOCOLS)
def build_gdt(cfg: CfgNode) -> GDT:
    """Build the method from cfg."""
    compared = pairs(cfg.GDT.REVERSAL, cfg.GDT.SHIFT)
    transformations = sorted({u for pair in compared for u in (pair.one, pair.other)})
    return GDT(
        build_video_encoder(cfg, projection(cfg, cfg.GDT)),
        build_audio_encoder(cfg, projection(cfg, cfg.GDT)),
        transformations=tuple(transformations),
    )


@LOSS_REGISTRY.register_as("gdt")
def build_gdt_loss(cfg: CfgNode) -> LossWithChance:
    """Build the loss of a hypothesis from GDT.REVERSAL, SHIFT, TEMPERATURE and COMPAT."""
    compared = pairs(cfg.GDT.REVERSAL, cfg.GDT.SHIFT)

    def loss(outputs: GDTOutputs, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        value = gdt_loss(
            outputs,
            compared,
            cfg.GDT.TEMPERATURE,
            released=cfg.GDT.COMPAT == RELEASED,
            valid=audio_valid(batch),
        )
        return {"loss": value}

    def chance_level(outputs: GDTOutputs) -> float:
        local, far = len(outputs.video), len(outputs.video) * (world_size() - 1)
        counts = [
            local * (2 if pair.kind == _VARIANT else 1) + far * len({pair.one, pair.other})
            for pair in compared
        ]
        return sum(map(math.log, counts)) / len(counts)

    return LossWithChance(loss, chance_level)
