"""Synchronized batch norm by torch's CUDA kernels.

They read the maps once for statistics and once to normalize, in the dtype of the maps.
``torch.nn.SyncBatchNorm`` has the same kernels, but leaves out ranks without rows by a mask, for
which the host waits for the device in every layer.

Legend: B rows, C channels, W world size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slowfast.utils import distributed

__all__ = ["synchronized_batch_norm"]

_NO_ROWS = 1e-12
"""In the place of a count of 0, which the kernel would divide by; other ranks have at least 1."""


def synchronized_batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running: tuple[Tensor | None, Tensor | None],
    *,
    momentum: float,
    eps: float,
) -> Tensor:
    """Normalize by the statistics of all ranks, and update the running ones.

    Args:
        x: float (B, C, ...) on a GPU; B may differ between ranks.
        weight: float (C,); None: ones.
        bias: float (C,); None: zeros.
        running: Running mean and variance, each float32 (C,) or None; changed in place.
        momentum: Weight of this batch in the running statistics.
        eps: Added to the variance.

    Returns:
        The same shape and dtype.
    """
    return _Normalize.apply(x, weight, bias, *running, momentum, eps)


class _Normalize(torch.autograd.Function):
    """The gradient of weight and bias is that of this rank's rows, as for other parameters."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        x = _dense(x)
        channels, count = x.shape[1], x.numel() // x.shape[1]
        if count:
            mean, inv_std = torch.batch_norm_stats(x, eps)
        else:
            mean = torch.zeros(channels, dtype=torch.float32, device=x.device)
            inv_std = torch.full_like(mean, eps**-0.5)
        packed = torch.cat([mean, inv_std, mean.new_full((1,), count)])[None]  # (1, 2C + 1)
        ranks = distributed.gather_no_gradient(packed)  # (W, 2C + 1)
        means, inv_stds, counts = ranks.split([channels, channels, 1], dim=1)
        counts = counts.flatten()  # (W,)
        mean, inv_std = torch.batch_norm_gather_stats_with_counts(
            x,
            means,
            inv_stds,
            running_mean,
            running_var,
            momentum,
            eps,
            counts.clamp(min=_NO_ROWS),
        )
        ctx.save_for_backward(x, weight, mean, inv_std, counts.to(torch.int32))
        if not count:
            return x.clone()
        return torch.batch_norm_elemt(x, weight, bias, mean, inv_std, eps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inv_std, counts = ctx.saved_tensors
        grad, needed = _dense(grads[0]), ctx.needs_input_grad
        grad_x = grad_weight = grad_bias = None
        if x.numel():
            sums, products, grad_weight, grad_bias = torch.batch_norm_backward_reduce(
                grad, x, mean, inv_std, weight, *needed[:3]
            )
        else:
            sums, products = torch.zeros_like(mean), torch.zeros_like(mean)
            if weight is not None:
                grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        if needed[0]:
            total = distributed.all_reduce_sum(torch.cat([sums, products]))
            sums, products = total.split(len(mean))
            grad_x = grad
            if x.numel():
                grad_x = torch.batch_norm_backward_elemt(
                    grad, x, mean, inv_std, weight, sums, products, counts
                )
        return grad_x, grad_weight, grad_bias, None, None, None, None


def _dense(x: Tensor) -> Tensor:
    """Keep a channels-last map as it is; the kernels take no other strides."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    if x.dim() in formats and x.is_contiguous(memory_format=formats[x.dim()]):
        return x
    return x.contiguous()
