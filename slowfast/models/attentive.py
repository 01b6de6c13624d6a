"""Attentive pooling: one learned query attends over all spatiotemporal positions of the map.

The usual pooling of an attentive probe (V-JEPA, arXiv 2404.08471, section 4): on a frozen backbone
it weights the relevant positions, unlike average pooling.

Legend: N rows, L positions (T' H' W'), C channels.
"""

from __future__ import annotations

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config.problems import ParameterError, keys
from slowfast.models.build import POOLING_REGISTRY
from slowfast.models.contracts import Tokens

__all__ = ["AttentivePooling", "attentive"]

_MLP_RATIO = 4
_INIT_STD = 0.02


class AttentivePooling(nn.Module):
    """A cross-attention block with one learned query, followed by an MLP.

    Args:
        dim: C.
        num_heads: Attention heads; must divide C.

    Raises:
        ValueError: If the heads do not divide the channels.
    """

    reads_space = True

    def __init__(self, dim: int, *, num_heads: int = 8) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ParameterError(
                "num_heads",
                f"got {num_heads}, expected a divisor of the {dim} channels of the backbone's map.",
            )
        self.num_heads = num_heads
        self.query = nn.Parameter(torch.empty(dim))
        self.norm_tokens = nn.LayerNorm(dim)
        self.to_query = nn.Linear(dim, dim)
        self.to_key = nn.Linear(dim, dim)
        self.to_value = nn.Linear(dim, dim)
        self.projection = nn.Linear(dim, dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, _MLP_RATIO * dim), nn.GELU(), nn.Linear(_MLP_RATIO * dim, dim)
        )
        self.norm_out = nn.LayerNorm(dim)
        nn.init.normal_(self.query, std=_INIT_STD)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=_INIT_STD)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tokens) -> Tensor:
        """Pool each row.

        Args:
            tokens: N rows of L positions. Padding may have any values, even NaN.

        Returns:
            float (N, C).
        """
        values = tokens.values.masked_fill(~tokens.mask[..., None], 0.0)  # (N, L, C)
        normed = self.norm_tokens(values)
        query = self.query.expand(values.shape[0], 1, -1)  # (N, 1, C)
        attended = F.scaled_dot_product_attention(
            self._split(self.to_query(query)),
            self._split(self.to_key(normed)),
            self._split(self.to_value(normed)),
            attn_mask=tokens.mask[:, None, None],  # (N, 1, 1, L), for all heads and the query
        )  # (N, heads, 1, C / heads)
        x = self.query + self.projection(attended.flatten(1))  # (N, C)
        return self.norm_out(x + self.mlp(self.norm_mlp(x)))

    def attention_weights(self, tokens: Tokens) -> Tensor:
        """Compute the attention of the query to each position.

        Args:
            tokens: As for ``forward``.

        Returns:
            float (N, heads, L); rows sum to 1, padding has 0.
        """
        values = tokens.values.masked_fill(~tokens.mask[..., None], 0.0)
        query = self._split(self.to_query(self.query.expand(len(values), 1, -1)))
        key = self._split(self.to_key(self.norm_tokens(values)))
        logits = query @ key.transpose(2, 3) * key.shape[-1] ** -0.5  # (N, heads, 1, L)
        return logits.masked_fill(~tokens.mask[:, None, None], -torch.inf).softmax(-1).squeeze(2)

    def _split(self, x: Tensor) -> Tensor:
        """Split channels into heads: (N, L, C) to (N, heads, L, C / heads)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


@POOLING_REGISTRY.register(reads_space=AttentivePooling.reads_space)
def attentive(dim: int, cfg: CfgNode) -> AttentivePooling:
    """Build attentive pooling over space and time. Read: MODEL.ATTENTIVE_HEADS."""
    with keys(num_heads="MODEL.ATTENTIVE_HEADS"):
        return AttentivePooling(dim, num_heads=cfg.MODEL.ATTENTIVE_HEADS)
