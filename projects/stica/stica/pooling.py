"""Late temporal attention: a transformer over the time steps of a clip, or of a crop of it.

The paper replaces the average over time, Phi = P_t o P_s o Psi, by self-attention,
Phi = P_tsf o P_s o Psi, where Psi is the backbone and P_s the average over space.

Legend: N rows, L token steps, C channels, M attention heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config.problems import ConfigValueError, ParameterError, keys
from slowfast.models.build import POOLING_REGISTRY
from slowfast.models.contracts import Tokens

__all__ = [
    "POOLS",
    "EncoderLayer",
    "LearnedPositions",
    "SelfAttention",
    "SinusoidalPositions",
    "TemporalTransformer",
    "transformer",
]

# As in the released layers (and BERT). Variances of tokens are far larger, also in float16, where
# layer norm computes in float32.
LAYER_NORM_EPS = 1e-12
# Standard deviation of initial weights at the published width. At other widths it is scaled to keep
# the scale of a layer's output: 0.02 in a layer of 64 channels would almost disable attention.
INIT_STD, INIT_DIM = 0.02, 512


class SelfAttention(nn.Module):
    """Multi-head self-attention over the valid steps of each row.

    Args:
        dim: C.
        heads: M; must divide C.
        dropout: Probability of dropping an attention weight.
        value_projection: Project values before and the joined heads after attending, as usual.
            False: the values are the tokens themselves, and the heads are only joined.

    Raises:
        ValueError: If M does not divide C.
    """

    def __init__(
        self, dim: int, heads: int, *, dropout: float = 0.0, value_projection: bool = True
    ) -> None:
        super().__init__()
        if dim % heads != 0:
            raise ParameterError(
                "heads",
                f"got {heads} for {dim} channels; expected a divisor "
                f"of {dim}, such as {math.gcd(dim, 4)}.",
            )
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim) if value_projection else nn.Identity()
        self.output = nn.Linear(dim, dim) if value_projection else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attend.

        Args:
            x: float (N, L, C).
            mask: bool (N, L), True for valid steps.

        Returns:
            float (N, L, C); it does not depend on the values of invalid steps.
        """
        query, key, value = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, M, L, C / M)
            for project in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.output(attended.transpose(1, 2).flatten(2))  # (N, L, C)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """Compute the attention of each step to each other: float (N, M, L, L)."""
        query, key = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, M, L, C / M)
            for project in (self.query, self.key)
        )
        logits = query @ key.transpose(2, 3) * key.shape[-1] ** -0.5
        return logits.masked_fill(~mask[:, None, None, :], -torch.inf).softmax(-1)


class EncoderLayer(nn.Module):
    """Post-norm encoder layer: x = LN(x + Attn(x)); x = LN(x + W2 gelu(W1 x)).

    Args:
        dim: C.
        heads: Attention heads.
        ffn_ratio: Hidden width of the feed-forward network over C.
        dropout: Probability of dropout on attention weights and on both residual branches.
        value_projection: As in ``SelfAttention``.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        ffn_ratio: float = 4.0,
        dropout: float = 0.0,
        value_projection: bool = True,
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(
            dim, heads, dropout=dropout, value_projection=value_projection
        )
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.linear1 = nn.Linear(dim, round(dim * ffn_ratio))
        self.linear2 = nn.Linear(round(dim * ffn_ratio), dim)
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Encode.

        Args:
            x: float (N, L, C).
            mask: bool (N, L), True for valid steps.

        Returns:
            float (N, L, C).
        """
        x = self.norm1(x + self.dropout(self.attention(x, mask)))
        return self.norm2(x + self.dropout(self.linear2(F.gelu(self.linear1(x)))))


class LearnedPositions(nn.Module):
    """A learned vector for each time step of the full feature map.

    Args:
        max_steps: Rows of the table, in time steps.
        dim: C.
    """

    def __init__(self, max_steps: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(max_steps, dim)

    def forward(self, positions: Tensor) -> Tensor:
        """Look the steps up: int64 (N, L), steps of the full feature map -> float (N, L, C).

        Raises:
            ValueError: If there are more steps than rows.
        """
        if positions.shape[1] > self.table.num_embeddings:
            raise ConfigValueError(
                "TEMPORAL_TRANSFORMER.MAX_STEPS",
                f"got {positions.shape[1]} time steps, expected at "
                f"most {self.table.num_embeddings}. Raise it, or set "
                "TEMPORAL_TRANSFORMER.POSITIONS to sinusoidal or none, which have no limit.",
            )
        return self.table(positions)


class SinusoidalPositions(nn.Module):
    """Sines and cosines of geometrically spaced wavelengths (Vaswani et al., 2017); no limit."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, positions: Tensor) -> Tensor:
        """Compute the steps' vectors: sines in the first half of the channels, then cosines.

        positions: int64 (N, L), steps of the full feature map -> float32 (N, L, C).
        """
        half = (self.dim + 1) // 2
        exponent = torch.arange(half, device=positions.device) / half
        angles = positions[..., None] * torch.pow(10000.0, -exponent)  # (N, L, half)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)[..., : self.dim]


def _read_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Average the valid steps: (N, L, C) -> (N, C)."""
    weights = mask.to(x.dtype)[..., None]
    return (x * weights).sum(dim=1) / weights.sum(dim=1)


def _read_first(x: Tensor, mask: Tensor) -> Tensor:
    """Take the first valid step: (N, L, C) -> (N, C)."""
    first = mask.to(torch.uint8).argmax(dim=1)  # (N,)
    index = first[:, None, None].expand(-1, 1, x.shape[2])  # (N, 1, C)
    return x.gather(1, index).squeeze(1)


# Pooling of the time steps to one vector. The class token is prepended, so it is the first step.
POOLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": _read_first,
    "mean": _read_mean,
    "first": _read_first,
}


class TemporalTransformer(nn.Module):
    """Transformer over any number of time steps, pooled to one vector.

    Args:
        dim: C.
        layers: Encoder layers, in order.
        positions: Maps positions (N, L) to embeddings (N, L, C) that are added; None: none.
        pool: Pooling of the time steps: "cls", "mean" or "first".

    Raises:
        ValueError: If ``pool`` is unknown.
    """

    def __init__(
        self,
        dim: int,
        *,
        layers: Sequence[nn.Module],
        positions: nn.Module | None = None,
        pool: str = "cls",
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise ParameterError(
                "pool",
                f"got {pool!r}, expected one of {', '.join(POOLS)}.",
            )
        self.dim = dim
        self.read = POOLS[pool]
        self.cls = nn.Parameter(torch.empty(dim)) if pool == "cls" else None
        self.positions = positions
        self.layers = nn.ModuleList(layers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sample weights, class token and positions from N(0, 0.02 sqrt(512 / C)); zero biases."""
        std = INIT_STD * (INIT_DIM / self.dim) ** 0.5
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        if self.cls is not None:
            nn.init.normal_(self.cls, std=std)

    def forward(self, tokens: Tokens) -> Tensor:
        """Pool each row over its valid steps.

        Args:
            tokens: N rows of at most L steps. Padding may have any value, even NaN.

        Returns:
            float (N, C).
        """
        x, mask = self._embed(tokens)
        for layer in self.layers:
            x = layer(x, mask)
        return self.read(x, mask)

    def attention_weights(self, tokens: Tokens) -> Tensor:
        """Compute the attention of the last layer, from what is pooled to each time step.

        For the class token, the weight of the token itself is left out; for the mean, it is the
        mean over all steps.

        Args:
            tokens: As for ``forward``.

        Returns:
            float (N, M, L); rows sum to 1, padding has 0.
        """
        x, mask = self._embed(tokens)
        for layer in self.layers[:-1]:
            x = layer(x, mask)
        last: Any = self.layers[-1]
        weights: Tensor = last.attention.weights(x, mask)  # (N, M, steps, steps)
        rows = weights.permute(0, 2, 1, 3).flatten(2)  # (N, steps, M * steps)
        pooled = self.read(rows, mask).unflatten(1, (weights.shape[1], -1))  # (N, M, steps)
        pooled = pooled[..., pooled.shape[-1] - tokens.mask.shape[1] :]  # without the class token
        return pooled / pooled.sum(dim=-1, keepdim=True)

    def _embed(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Add positions and the class token: the steps (N, steps, C) and their mask."""
        # 0 * NaN is NaN: clear the padding first.
        x = tokens.values.masked_fill(~tokens.mask[..., None], 0.0)  # (N, L, C)
        mask = tokens.mask
        if self.positions is not None:
            x = x + self.positions(tokens.positions).to(x.dtype)
        if self.cls is not None:
            x = torch.cat([self.cls.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1)
            mask = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)  # (N, 1 + L)
        return x, mask


@POOLING_REGISTRY.register(section="TEMPORAL_TRANSFORMER")
def transformer(dim: int, cfg: CfgNode) -> TemporalTransformer:
    """Build the temporal transformer from TEMPORAL_TRANSFORMER."""
    section = cfg.TEMPORAL_TRANSFORMER
    positions: dict[str, Callable[[], nn.Module | None]] = {
        "learned": lambda: LearnedPositions(section.MAX_STEPS, dim),
        "sinusoidal": lambda: SinusoidalPositions(dim),
        "none": lambda: None,
    }
    with keys(heads="TEMPORAL_TRANSFORMER.HEADS", pool="TEMPORAL_TRANSFORMER.READOUT"):
        layers = [
            EncoderLayer(
                dim,
                section.HEADS,
                ffn_ratio=section.FFN_RATIO,
                dropout=section.DROPOUT,
                value_projection=section.VALUE_PROJECTION,
            )
            for _ in range(section.LAYERS)
        ]
        return TemporalTransformer(
            dim,
            layers=layers,
            positions=positions[section.POSITIONS](),
            pool=section.READOUT,
        )
