"""The non-local block (Wang et al., CVPR 2018): every position attends to all others.

Submodules are named as in PySlowFast's checkpoints.

Legend: B batch, C channels, D inner channels, T H W map, P positions of the map, Q positions after
pooling.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config.problems import ConfigValueError
from slowfast.models.resnet.block import Norm, max_pool_inside

__all__ = ["INSTANTIATIONS", "NonLocal", "NonLocalSpec", "attend_dot_product", "attend_softmax"]


class NonLocalSpec(NamedTuple):
    """Non-local blocks of a stage.

    Attributes:
        after: Indices of the residual blocks, from 0, that are followed by one.
        groups: Number of groups that the frames are divided into; a position attends to its own
            group only.
        pool: Max pooling of keys and values, in frames, rows and columns.
        instantiation: A name in INSTANTIATIONS.
    """

    after: tuple[int, ...] = ()
    groups: int = 1
    pool: tuple[int, int, int] = (1, 2, 2)
    instantiation: str = "dot_product"


def attend_softmax(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Weight values by the softmax of scaled products: the embedded Gaussian of the paper.

    Args:
        query: float (B, P, D).
        key: float (B, Q, D).
        value: float (B, Q, D).

    Returns:
        float (B, P, D).
    """
    return F.scaled_dot_product_attention(query, key, value)


def attend_dot_product(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Weight values by the products, divided by their number.

    Without a softmax the sums can be reordered, so that P x Q weights are not computed.

    Args:
        query: float (B, P, D).
        key: float (B, Q, D).
        value: float (B, Q, D).

    Returns:
        float (B, P, D).
    """
    summary = torch.bmm(key.transpose(1, 2) / key.shape[1], value)  # (B, D, D)
    return torch.bmm(query, summary)


INSTANTIATIONS = {"softmax": attend_softmax, "dot_product": attend_dot_product}


class NonLocal(nn.Module):
    """A non-local block with a residual connection.

    Args:
        dim: C.
        spec: Its options; ``after`` is not used.
        norm: Channels -> batch norm.
    """

    def __init__(self, dim: int, spec: NonLocalSpec, *, norm: Norm) -> None:
        super().__init__()
        inner = dim // 2
        self.spec = spec
        self.attend = INSTANTIATIONS[spec.instantiation]
        self.conv_theta = nn.Conv3d(dim, inner, 1)
        self.conv_phi = nn.Conv3d(dim, inner, 1)
        self.conv_g = nn.Conv3d(dim, inner, 1)
        self.conv_out = nn.Conv3d(inner, dim, 1)
        self.bn = norm(dim)

    def final_layers(self) -> tuple[nn.Module, nn.Module]:
        """Return the last convolution and its batch norm."""
        return self.conv_out, self.bn

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: float (B, C, T, H, W) -> float (B, C, T, H, W).

        Raises:
            ValueError: If the frames cannot be divided into equal groups.
        """
        grouped = _fold_groups(x, self.spec.groups)
        seen = max_pool_inside(grouped, self.spec.pool)
        query = self.conv_theta(grouped).flatten(2).transpose(1, 2)  # (B, P, D)
        key = self.conv_phi(seen).flatten(2).transpose(1, 2)  # (B, Q, D)
        value = self.conv_g(seen).flatten(2).transpose(1, 2)  # (B, Q, D)
        gathered = self.attend(query, key, value).transpose(1, 2)  # (B, D, P)
        gathered = gathered.unflatten(2, grouped.shape[2:])
        return _unfold_groups(grouped + self.bn(self.conv_out(gathered)), self.spec.groups)


def _fold_groups(x: Tensor, groups: int) -> Tensor:
    """Reshape (B, C, T, H, W) to (B * groups, C, T / groups, H, W)."""
    if groups == 1:
        return x
    if x.shape[2] % groups:
        raise ConfigValueError(
            "NONLOCAL.GROUP",
            f"got {groups} for a map of {x.shape[2]} frames; expected a divisor. "
            "Set it to 1, or change DATA.NUM_FRAMES.",
        )
    return x.unflatten(2, (groups, -1)).transpose(1, 2).flatten(0, 1)


def _unfold_groups(x: Tensor, groups: int) -> Tensor:
    """Invert ``_fold_groups``."""
    if groups == 1:
        return x
    return x.unflatten(0, (-1, groups)).transpose(1, 2).flatten(2, 3)
