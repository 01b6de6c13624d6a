"""Batch norm: synchronized, per split of the rows, or frozen; parameter names stay the same.

Legend: B rows, C channels, G groups, S splits, W world size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.config.problems import ConfigValueError
from slowfast.models.batch_norm_cuda import synchronized_batch_norm
from slowfast.models.batch_norm_function import normalize, update_running
from slowfast.utils import distributed

__all__ = [
    "GroupedBatchNorm1d",
    "SplitBatchNorm1d",
    "SplitBatchNorm2d",
    "SplitBatchNorm3d",
    "SyncBatchNorm1d",
    "SyncBatchNorm2d",
    "SyncBatchNorm3d",
    "frozen_bn",
    "get_norm",
    "share_statistics",
]

NormFactory = Callable[..., nn.Module]

# Base class of torch's batch norms of any dimension, and of those here.
_BatchNorm = nn.modules.batchnorm._BatchNorm


class _SyncBatchNorm(_BatchNorm):
    """Batch norm whose statistics in training are those of the rows of all ranks.

    Attributes:
        sync: False makes it the ordinary layer.
    """

    sync = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalize.

        Args:
            x: float (B, C, ...); B may differ between ranks.

        Returns:
            The same shape and dtype.
        """
        if not self.training or not self.sync or distributed.world_size() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        if x.is_cuda and self.momentum is not None:
            return self._by_kernels(x, self.momentum)
        out, mean, var, count = normalize(x, *_affine(self, x), self.eps, sync=True)
        with torch.no_grad():
            update_running(self, mean[None], var[None], count)
        return out

    def _by_kernels(self, x: Tensor, momentum: float) -> Tensor:
        tracked = self.num_batches_tracked if self.track_running_stats else None
        running = (self.running_mean, self.running_var) if tracked is not None else (None, None)
        if tracked is not None:
            tracked.add_(1)
        return synchronized_batch_norm(
            x, self.weight, self.bias, running, momentum=momentum, eps=self.eps
        )


def _affine(norm: _BatchNorm, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias, ones and zeros for a layer without."""
    if norm.affine:
        return norm.weight, norm.bias
    ones = torch.ones(norm.num_features, dtype=x.dtype, device=x.device)
    return ones, torch.zeros_like(ones)


class SyncBatchNorm1d(_SyncBatchNorm, nn.BatchNorm1d):
    """``nn.BatchNorm1d`` over the rows of all ranks, on CPU (gloo) and GPU.

    The state dict is that of the ordinary layer. With one process it is the ordinary layer.
    """


class SyncBatchNorm2d(_SyncBatchNorm, nn.BatchNorm2d):
    """``nn.BatchNorm2d`` over the rows of all ranks; see :class:`SyncBatchNorm1d`."""


class SyncBatchNorm3d(_SyncBatchNorm, nn.BatchNorm3d):
    """``nn.BatchNorm3d`` over the rows of all ranks; see :class:`SyncBatchNorm1d`."""


class GroupedBatchNorm1d(nn.BatchNorm1d):
    """Batch norm per block of rows, as if each block were a separate call.

    One call for many crops then gives exactly what one call per crop would: outputs, gradients and
    running statistics.

    Args:
        num_features: C.
        eps: Added to the variance.
        momentum: Weight of a new batch in the running statistics; None for their plain average.
        affine: Use a weight and a bias.
        track_running_stats: Track running statistics.
        sync: Compute the statistics of block g over the blocks g of all ranks.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        *,
        affine: bool = True,
        track_running_stats: bool = True,
        sync: bool = False,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.sync = sync

    def extra_repr(self) -> str:
        """Describe the layer in a printed model."""
        return f"{super().extra_repr()}, sync={self.sync}"

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """Normalize each block of rows by its own statistics.

        Args:
            x: float (G * B, C), block after block.
            groups: G.

        Returns:
            (G * B, C).

        Raises:
            ValueError: If the rows cannot be divided into that many blocks, or, in training, if a
                block has a single row.
        """
        sync = self.sync and distributed.world_size() > 1
        uses_running = not self.training and self.running_mean is not None
        if uses_running or (groups == 1 and not sync):
            return super().forward(x)
        blocks = self._blocks(x, groups, sync)  # (B, G * C)
        weight, bias = (p.repeat(groups) for p in _affine(self, x))
        out, mean, var, count = normalize(blocks, weight, bias, self.eps, sync=sync)
        if self.training:
            with torch.no_grad():
                update_running(self, mean.view(groups, -1), var.view(groups, -1), count)
        return out.view(-1, groups, x.shape[1]).transpose(0, 1).reshape(x.shape)

    def _blocks(self, x: Tensor, groups: int, sync: bool) -> Tensor:
        """Concatenate the blocks along channels: (G * B, C) to (B, G * C)."""
        if x.dim() != 2 or groups < 1 or x.shape[0] % groups:
            raise ValueError(
                f"GroupedBatchNorm1d: got shape {tuple(x.shape)} and groups {groups}; expected "
                "(rows, channels) with rows divisible by groups."
            )
        rows = x.shape[0] // groups
        if rows == 1 and not sync:
            raise ConfigValueError(
                "TRAIN.BATCH_SIZE",
                "got 1 row for batch statistics in training, expected "
                "at least 2. Raise it, or set BN.NORM_TYPE sync_batchnorm (several processes).",
            )
        return x.view(groups, rows, -1).transpose(0, 1).reshape(rows, -1)


class _SplitBatchNorm(_BatchNorm):
    """Batch norm whose statistics in training are those of one split of the rows.

    Args:
        num_features: C.
        args: As in torch's layer.
        num_splits: S.
        kwargs: As in torch's layer.

    Attributes:
        sync: Compute the statistics of a split over the splits of all ranks.
    """

    def __init__(self, num_features: int, *args: Any, num_splits: int, **kwargs: Any) -> None:
        super().__init__(num_features, *args, **kwargs)
        self.num_splits, self.sync = num_splits, False

    def extra_repr(self) -> str:
        """Describe the layer in a printed model."""
        return f"{super().extra_repr()}, num_splits={self.num_splits}"

    def forward(self, x: Tensor, groups: int = 1) -> Tensor:
        """Normalize each split of each group by its own statistics.

        Args:
            x: float (G * S * B, C, ...), split after split.
            groups: G, as in :class:`GroupedBatchNorm1d`.

        Returns:
            The same shape and dtype.

        Raises:
            ConfigValueError: In training, if the rows cannot be divided into that many splits.
        """
        if not self.training and self.running_mean is not None:
            return super().forward(x)
        splits = groups * self.num_splits
        if splits == 1:
            return super().forward(x)
        if splits < 1 or len(x) % splits:
            raise ConfigValueError(
                "BN.NUM_SPLITS",
                f"got {self.num_splits} for {len(x) // max(groups, 1)} rows, expected a divisor "
                "of the samples of a step in one process times their views.",
            )
        return torch.cat([super(_SplitBatchNorm, self).forward(split) for split in x.chunk(splits)])


class SplitBatchNorm1d(_SplitBatchNorm, GroupedBatchNorm1d):
    """:class:`GroupedBatchNorm1d` per split of each group; see :class:`SplitBatchNorm3d`."""


class SplitBatchNorm2d(_SplitBatchNorm, SyncBatchNorm2d):
    """``nn.BatchNorm2d`` per split of the rows; see :class:`SplitBatchNorm3d`."""


class SplitBatchNorm3d(_SplitBatchNorm, SyncBatchNorm3d):
    """``nn.BatchNorm3d`` per split of the rows, as on that many processes without synchronization.

    For methods whose queries and keys must not share statistics (He et al., CVPR 2020, section
    3.3), on one process. The state dict is that of the ordinary layer; running statistics are those
    of one call per split. Splits are consecutive rows: the views of a sample stay together.
    (PySlowFast's SubBatchNorm takes every S-th row, and keeps the statistics of the splits apart.)
    """


_NORMS: dict[str, dict[int, NormFactory]] = {
    "batchnorm": {1: GroupedBatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d},
    "sync_batchnorm": {
        1: partial(GroupedBatchNorm1d, sync=True),
        2: SyncBatchNorm2d,
        3: SyncBatchNorm3d,
    },
    "sub_batchnorm": {1: SplitBatchNorm1d, 2: SplitBatchNorm2d, 3: SplitBatchNorm3d},
}


def get_norm(cfg: CfgNode, dims: int = 3) -> NormFactory:
    """Return the batch norm class of BN.NORM_TYPE.

    ``sync_batchnorm`` always spans all processes. MULTIGRID.LONG_CYCLE needs a layer that changes
    in training, see ``share_statistics``.

    Args:
        cfg: Read: BN.NORM_TYPE, BN.NUM_SPLITS, MULTIGRID.LONG_CYCLE.
        dims: 3 for video maps, 2 for spectrogram maps, 1 for embeddings (a
            :class:`GroupedBatchNorm1d`).

    Returns:
        ``(num_features, eps=..., momentum=...) -> nn.Module``.

    Raises:
        ConfigValueError: If the name is unknown.
    """
    name = cfg.BN.NORM_TYPE
    if name not in _NORMS:
        raise ConfigValueError(
            "BN.NORM_TYPE",
            f"got '{name}', expected one of {', '.join(_NORMS)}. For sync_batchnorm_apex use "
            "sync_batchnorm.",
        )
    if cfg.MULTIGRID.LONG_CYCLE:
        return partial(_NORMS["sub_batchnorm"][dims], num_splits=1)
    norm = _NORMS[name][dims]
    return partial(norm, num_splits=cfg.BN.NUM_SPLITS) if name == "sub_batchnorm" else norm


def share_statistics(model: nn.Module, *, sync: bool, num_splits: int) -> None:
    """Set which rows share the statistics of the ``sub_batchnorm`` layers of a model.

    Args:
        model: Modified in place.
        sync: All ranks.
        num_splits: Splits of the rows of a rank.
    """
    for module in model.modules():
        if isinstance(module, _SplitBatchNorm):
            module.sync, module.num_splits = sync, num_splits


def frozen_bn(model: nn.Module) -> None:
    """Freeze the running statistics of every batch norm, and normalize by them (MODEL.FROZEN_BN).

    Their weights and biases stay trainable, as in PySlowFast. ``model.train()`` undoes it: call
    this afterward.

    Args:
        model: Modified in place.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
