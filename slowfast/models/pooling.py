"""Pooling of tokens to one vector per row, per pathway, with few calls.

Legend: B batch, K crops, N rows, L token steps, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.models.build import POOLING_REGISTRY
from slowfast.models.contracts import CropGroup, Tokens, spatiotemporal_tokens, temporal_tokens

__all__ = [
    "AvgPooling",
    "HasChannels",
    "PathwayPooling",
    "avg",
    "build_pooling",
    "full_group",
    "native",
    "pool_groups",
]


class AvgPooling(nn.Module):
    """The mean over the valid time steps: average pooling in time, for any length."""

    def forward(self, tokens: Tokens) -> Tensor:
        """Pool each row.

        Args:
            tokens: N rows of at most L steps. Padding may have any values, even NaN.

        Returns:
            float (N, C).
        """
        padding = ~tokens.mask[..., None]  # (N, L, 1)
        total = tokens.values.masked_fill(padding, 0.0).sum(dim=1)  # (N, C)
        return total / tokens.mask.sum(dim=1, keepdim=True)


class PathwayPooling(nn.Module):
    """One pooling per pathway, side by side.

    Args:
        poolings: One per pathway: ``Tokens -> (N, C)``; all of one kind.
        dims: Channels that each of them returns.

    Attributes:
        reads_space: Whether tokens are spatial positions instead of averages over space, an
            attribute of the poolings.
    """

    def __init__(self, poolings: Sequence[nn.Module], dims: Sequence[int]) -> None:
        super().__init__()
        self.pathways = nn.ModuleList(poolings)
        self.dim_out = sum(dims)
        self.reads_space = any(getattr(p, "reads_space", False) for p in poolings)

    def forward(self, tokens: Sequence[Tokens]) -> Tensor:
        """Pool each pathway and concatenate.

        Args:
            tokens: One ``Tokens`` of N rows per pathway; lengths may differ.

        Returns:
            float (N, dim_out).
        """
        return torch.cat([p(t) for p, t in zip(self.pathways, tokens, strict=True)], dim=1)


class HasChannels(Protocol):
    """The interface of a backbone for pooling.

    A backbone whose head does more than average (with a linear layer or norm) also has
    ``native_pooling() -> nn.Module | None``: ``Tokens -> (N, dim_out)`` with the attribute
    ``dim_out``, or None to average. A backbone that has it has one pathway. If PySlowFast's head
    averages scores over windows of the map, ``window_side(crop_size)`` returns the side of these.

    Attributes:
        out_channels: C of each pathway's map.
    """

    out_channels: Any


def build_pooling(cfg: CfgNode, backbone: HasChannels) -> PathwayPooling:
    """Build the pooling of MODEL.POOLING, one for each pathway.

    Args:
        cfg: Read: MODEL.POOLING and the keys of the pooling.
        backbone: The backbone; ``native`` is its own pooling, or the average over time.

    Returns:
        The pooling of all pathways.
    """
    if cfg.MODEL.POOLING == "native":
        pooling = getattr(backbone, "native_pooling", lambda: None)()
        if pooling is not None:
            return PathwayPooling([pooling], [pooling.dim_out])
    build = POOLING_REGISTRY.get(cfg.MODEL.POOLING)
    channels = backbone.out_channels
    return PathwayPooling([build(dim, cfg) for dim in channels], channels)


def _concatenate(tokens: Sequence[Tokens]) -> Tokens:
    """Concatenate rows of equal length."""
    return Tokens(*(torch.cat(field) for field in zip(*tokens, strict=True)))


def pool_groups(pooling: nn.Module, groups: Sequence[CropGroup]) -> Tensor:
    """Pool all rows of all groups, with one call per distinct token length.

    This needs no padding and few calls (attention over padding is wasted, and 36 small calls take
    three times as long as 2 large ones).

    Args:
        pooling: One ``Tokens`` per pathway -> (N, C); rows must be independent.
        groups: Crop groups, at least one.

    Returns:
        float (sum of N, C), in the order of the groups.
    """
    if len(groups) == 1:  # in evaluation; torch.export keeps its number of rows dynamic
        alone: Tensor = pooling(groups[0].tokens)
        return alone
    by_length: dict[tuple[int, ...], list[int]] = {}
    for i, group in enumerate(groups):
        length = tuple(t.values.shape[1] for t in group.tokens)
        by_length.setdefault(length, []).append(i)
    pooled: dict[int, Tensor] = {}
    for members in by_length.values():
        pathways = zip(*(groups[i].tokens for i in members), strict=True)
        rows = pooling([_concatenate(tokens) for tokens in pathways])
        counts = [len(groups[i].sample) for i in members]
        pooled.update(zip(members, rows.split(counts), strict=True))
    return torch.cat([pooled[i] for i in range(len(groups))])


def full_group(maps: Sequence[Tensor], *, reads_space: bool = False) -> CropGroup:
    """Represent full feature maps as one more crop, pooled in the same call as the crops.

    Args:
        maps: One float (N, C, T', H', W') per pathway.
        reads_space: One token per spatial position, not per time step.

    Returns:
        A group of one crop, ``full``.
    """
    rows = torch.arange(maps[0].shape[0], device=maps[0].device)
    tokenize = spatiotemporal_tokens if reads_space else temporal_tokens
    return CropGroup(("full",), [tokenize(m) for m in maps], rows)


@POOLING_REGISTRY.register()
def avg(dim: int, cfg: CfgNode) -> AvgPooling:
    """Build average pooling over time; ``dim`` and ``cfg`` are not used."""
    return AvgPooling()


@POOLING_REGISTRY.register()
def native(dim: int, cfg: CfgNode) -> AvgPooling:
    """Build the default pooling of most model families: average over time.

    Other families override it by ``native_pooling``, or return a summary (a class token) as
    ``BackboneOutput.summary``.
    """
    return AvgPooling()
