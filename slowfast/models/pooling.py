"""From time steps to one vector per row, one pathway at a time and as few calls as possible.

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
            tokens: N rows of at most L steps. Padding may hold anything, even NaN.

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
        reads_space: Whether tokens are cells of the map instead of averages over space: a pooling
            says so by an attribute of the same name.
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
    """What a pooling needs to know of a backbone.

    A family whose own head does more than average (a linear layer after it, a norm) also has
    ``native_pooling() -> nn.Module | None``: ``Tokens -> (N, dim_out)`` with the attribute
    ``dim_out``, or None where the average will do. A backbone that has it has one pathway.

    Attributes:
        out_channels: C of each pathway's map.
    """

    out_channels: Any


def build_pooling(cfg: CfgNode, backbone: HasChannels) -> PathwayPooling:
    """Build the pooling that MODEL.POOLING names, one for each pathway.

    Args:
        cfg: Read: MODEL.POOLING and what the pooling reads.
        backbone: Whose maps are pooled; ``native`` is what it offers, or the average over time.

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
    """Put rows of equal length under each other."""
    return Tokens(*(torch.cat(field) for field in zip(*tokens, strict=True)))


def pool_groups(pooling: nn.Module, groups: Sequence[CropGroup]) -> Tensor:
    """Pool all rows of all groups, with one call per distinct token length.

    Rows of one length need no padding, and calls are few: both matter (attention over padding is
    wasted, and 36 small calls take three times as long as 2 large ones).

    Args:
        pooling: One ``Tokens`` per pathway -> (N, C); rows must not influence each other.
        groups: At least one.

    Returns:
        float (sum of N, C), in the order of the groups.
    """
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
    """Present whole maps as one more crop, to be pooled in the same call as the crops.

    Args:
        maps: One float (N, C, T', H', W') per pathway.
        reads_space: Make a token of every cell, not of every time step.

    Returns:
        A group of one slot, ``full``.
    """
    rows = torch.arange(maps[0].shape[0], device=maps[0].device)
    tokenize = spatiotemporal_tokens if reads_space else temporal_tokens
    return CropGroup(("full",), [tokenize(m) for m in maps], rows)


@POOLING_REGISTRY.register()
def avg(dim: int, cfg: CfgNode) -> AvgPooling:
    """Build average pooling over time; ``dim`` and ``cfg`` are not needed."""
    return AvgPooling()


@POOLING_REGISTRY.register()
def native(dim: int, cfg: CfgNode) -> AvgPooling:
    """Build what most families do by themselves: average over time.

    A family that does something else offers ``native_pooling``, which stands in for this, or
    returns a summary (a class token) as ``BackboneOutput.summary``.
    """
    return AvgPooling()
