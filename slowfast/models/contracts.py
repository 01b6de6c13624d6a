"""Types of the outputs of backbones and feature augmentations, and inputs of poolings.

Legend: B batch, K crops, C channels, T' H' W' feature map, L token steps, N = K * B token rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class BackboneOutput(NamedTuple):
    """Output of a video or audio backbone.

    Attributes:
        maps: Feature maps before pooling, one per pathway. Video: float (B, C, T', H', W');
            audio: float (B, C, F', S').
        summary: float (B, C), the backbone's own summary (a class token), or None; C is that of the
            native pooling.
    """

    maps: list[Tensor]
    summary: Tensor | None = None


class Tokens(NamedTuple):
    """A sequence of tokens per row, the input of a pooling.

    Attributes:
        values: float (N, L, C). One spatial average per time step, or, for a pooling with
            ``reads_space``, one spatial position; padding where mask is False.
        mask: bool (N, L). True where the token belongs to the row; at least one True per row.
        positions: int64 (N, L). Index of the token's step on the full map's time axis.
    """

    values: Tensor
    mask: Tensor
    positions: Tensor


class CropGroup(NamedTuple):
    """K crops of every sample that share one token length.

    Attributes:
        names: K crop names such as ``space_large_0``; the same for every batch.
        tokens: One ``Tokens`` per pathway, each with N = K * B rows in crop-major order: row
            ``k * B + b`` is crop k of sample b.
        sample: int64 (N,). Row of the batch that each crop came from.
    """

    names: tuple[str, ...]
    tokens: list[Tokens]
    sample: Tensor


class CropRegions(NamedTuple):
    """Where feature crops are, to show them on the input.

    Attributes:
        names: K crop names, as in ``CropGroup``.
        extent: float (N, K, 3, 2): first and last position along time, height and width, as
            fractions of the axis of the map, 0 to 1. A map covers its input evenly, so these are
            also fractions of the clip and its frames; what a position sees is larger.
    """

    names: tuple[str, ...]
    extent: Tensor


def temporal_tokens(feature_map: Tensor) -> Tokens:
    """Average a full feature map over space: one token per time step.

    Args:
        feature_map: float (B, C, T', H', W').

    Returns:
        Tokens with L = T', every step valid.
    """
    batch, steps = feature_map.shape[0], feature_map.shape[2]
    values = feature_map.mean(dim=(3, 4)).transpose(1, 2)  # (B, T', C)
    positions = torch.arange(steps, device=feature_map.device).expand(batch, steps)
    mask = torch.ones(batch, steps, dtype=torch.bool, device=feature_map.device)
    return Tokens(values, mask, positions)


def spatiotemporal_tokens(feature_map: Tensor) -> Tokens:
    """Take every spatial position as a token, for a pooling with ``reads_space``.

    Args:
        feature_map: float (B, C, T', H', W').

    Returns:
        Tokens with L = T' H' W', time outermost, every one valid.
    """
    batch, _, steps, height, width = feature_map.shape
    values = feature_map.flatten(2).transpose(1, 2)  # (B, T' H' W', C)
    positions = torch.arange(steps, device=feature_map.device).repeat_interleave(height * width)
    mask = torch.ones(values.shape[:2], dtype=torch.bool, device=feature_map.device)
    return Tokens(values, mask, positions.expand(batch, -1))
