"""Batch norm in training as a function, with statistics and gradient of this rank or of all.

Legend: B rows, C channels, G groups, W world size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.utils import distributed

__all__ = ["normalize", "update_running"]


def normalize(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, *, sync: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalize by the statistics of the rows, of all ranks when ``sync``.

    The gradient of weight and bias is that of this rank's rows: data-parallel training reduces
    it, as for any other parameter.

    Args:
        x: float (B, C, ...); B may differ between ranks and may be 0.
        weight: float (C,).
        bias: float (C,).
        eps: Added to the variance.
        sync: Use the rows of all ranks.

    Returns:
        The same shape and dtype; mean (C,), biased variance (C,) and count, without gradient.
    """
    return _Normalize.apply(x, weight, bias, eps, sync)


def update_running(
    norm: nn.modules.batchnorm._BatchNorm, means: Tensor, variances: Tensor, count: Tensor
) -> None:
    """Update running statistics as G consecutive calls would.

    Args:
        norm: The layer.
        means: (G, C), in the order of the calls.
        variances: (G, C), biased.
        count: Scalar, elements of each block.
    """
    mean, var, tracked = norm.running_mean, norm.running_var, norm.num_batches_tracked
    if not norm.track_running_stats or mean is None or var is None or tracked is None:
        return
    calls = len(means)
    # r <- (1 - m) r + m s, G times, is one weighted sum: call g keeps m (1 - m)^(G - 1 - g).
    after = torch.arange(calls - 1, -1, -1, dtype=torch.float64, device=means.device)
    if norm.momentum is None:  # cumulative: all calls have equal weight
        share = torch.ones_like(after) / (tracked + calls)
    else:
        share = norm.momentum * (1 - norm.momentum) ** after
    kept = (1 - share.sum()).to(mean.dtype)
    unbiased = variances * (count / (count - 1).clamp(min=1))
    mean.mul_(kept).add_(share.to(means.dtype) @ means)
    var.mul_(kept).add_(share.to(means.dtype) @ unbiased)
    tracked.add_(calls)


def _reduced(x: Tensor) -> list[int]:
    """Return the dimensions of batch statistics: all but the channels."""
    return [0, *range(2, x.dim())]


def _moments(x: Tensor, sync: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, biased variance and count of each channel, over all ranks when ``sync``.

    Ranks exchange mean and sum of squared deviations, not sums of squares, which would cancel when
    the mean is large against the deviation (Chan, Golub and LeVeque, 1983).

    Args:
        x: float (B, C, ...); B may differ between ranks and may be 0.
        sync: Use the rows of all ranks.

    Returns:
        (C,), (C,) and a scalar; float32, or float64 for float64 input.
    """
    wide = x if x.dtype == torch.float64 else x.float()
    count = x.numel() // x.shape[1]
    dims = _reduced(x)
    if count:
        var, mean = torch.var_mean(wide, dim=dims, correction=0)
    else:
        var = mean = wide.sum(dim=dims)  # zeros: var_mean of an empty tensor is NaN
    total = torch.full((), count, dtype=mean.dtype, device=mean.device)
    if not sync or distributed.world_size() == 1:
        return mean, var, total
    packed = torch.cat([mean, var * count, total[None]])[None]  # (1, 2C + 1)
    ranks = distributed.gather_no_gradient(packed)  # (W, 2C + 1)
    means, squares, counts = ranks[:, : len(mean)], ranks[:, len(mean) : -1], ranks[:, -1:]
    total = counts.sum()
    mean = (means * counts).sum(dim=0) / total
    var = (squares + counts * (means - mean) ** 2).sum(dim=0) / total
    return mean, var, total


class _Normalize(torch.autograd.Function):
    """See ``normalize``."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, sync: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, var, count = _moments(x, sync)
        ctx.mark_non_differentiable(mean, var, count)
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.sync = eps, sync
        out = F.batch_norm(x, mean, var, weight, bias, eps=eps) if x.numel() else x.clone()
        return out, mean, var, count

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, count = ctx.saved_tensors
        inv_std = (var + ctx.eps).rsqrt()
        # With constant statistics: the gradient of x, and this rank's sums of g * x_hat and g,
        # which are the gradients of weight and bias.
        if x.numel():
            grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
                grads[0], x, weight, mean, var, mean, inv_std, False, ctx.eps, [True, True, True]
            )
        else:  # the kernel divides by the number of rows
            grad_x, grad_weight, grad_bias = grads[0], *torch.zeros_like(weight).expand(2, -1)
        if ctx.needs_input_grad[0]:
            # Gradient through the statistics: -scale * (mean(g) + x_hat * mean(g * x_hat)), with
            # the means over all ranks. It has the form of a batch norm.
            sums = torch.stack([grad_weight, grad_bias]).to(mean.dtype)  # (2, C)
            total = distributed.all_reduce_sum(sums) if ctx.sync else sums
            slope, offset = (-weight * inv_std * total / count).to(weight.dtype)
            if x.numel():
                grad_x = grad_x + F.batch_norm(x, mean, var, slope, offset, eps=ctx.eps)
        return grad_x, grad_weight, grad_bias, None, None
