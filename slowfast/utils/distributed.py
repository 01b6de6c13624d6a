"""Distributed helpers: rank, world size, gathering and reducing across processes.

Everything also works without a process group: a single process has world size 1.

Legend: B rows of one process, W world size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from slowfast.pyslowfast_names import names_of

__all__ = [
    "all_gather",
    "all_gather_variable_length",
    "all_reduce",
    "all_reduce_sum",
    "barrier",
    "broadcast_from_main",
    "copy_from_main",
    "gather_no_gradient",
    "gather_objects",
    "gather_with_gradient",
    "global_mean",
    "is_initialized",
    "is_main_process",
    "is_master_proc",
    "local_rank",
    "rank",
    "world_size",
]


def is_initialized() -> bool:
    """Return whether this process belongs to a process group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return the rank of this process, 0 without a process group."""
    return dist.get_rank() if is_initialized() else 0


def world_size() -> int:
    """Return the number of processes, 1 without a process group."""
    return dist.get_world_size() if is_initialized() else 1


def local_rank() -> int:
    """Return the local rank, which is the index of this process's GPU; 0 without NCCL."""
    return torch.cuda.current_device() if is_initialized() and dist.get_backend() == "nccl" else 0


def is_main_process() -> bool:
    """Return whether this is rank 0, the only process that logs and writes files."""
    return rank() == 0


def is_master_proc(num_gpus: int = 0) -> bool:
    """Return whether this process writes files (PySlowFast's name).

    Args:
        num_gpus: Processes of a machine, so that each has a master; 0: one for the job.

    Returns:
        True for rank 0, or for every ``num_gpus``-th rank.
    """
    return rank() % num_gpus == 0 if num_gpus else is_main_process()


def barrier() -> None:
    """Wait until every process has reached this call."""
    if world_size() == 1:
        return
    if dist.get_backend() == "nccl":
        dist.barrier(device_ids=[torch.cuda.current_device()])
    else:
        dist.barrier()


def gather_objects(item: Any) -> list[Any]:
    """Gather an object from every process. Every process must call this function.

    Args:
        item: Any picklable object.

    Returns:
        The objects in rank order.
    """
    if world_size() == 1:
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item)
    return items


def copy_from_main(module: nn.Module) -> None:
    """Give a module of every process the weights and buffers of rank 0.

    Args:
        module: The same on every rank, on the device of the process.
    """
    broadcast_from_main((*module.parameters(), *module.buffers()))


def broadcast_from_main(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors of every process with those of rank 0.

    Args:
        tensors: Of the same shapes and in the same order on every rank.
    """
    for value in tensors if world_size() > 1 else ():
        wire = _on_backend_device(value.detach()).contiguous()
        dist.broadcast(wire, src=0)
        value.detach().copy_(wire)


def _on_backend_device(x: Tensor) -> Tensor:
    """Move a tensor to a device that the backend supports: NCCL needs GPU memory."""
    if dist.get_backend() == "nccl" and not x.is_cuda:
        return x.to(torch.device("cuda", torch.cuda.current_device()))
    return x


def _all_gather(x: Tensor) -> Tensor:
    """Concatenate equally shaped tensors of all ranks along their first dimension."""
    local = _on_backend_device(x).contiguous()
    wire = local.view(torch.uint8) if local.dtype == torch.bool else local
    out = wire.new_empty((world_size() * wire.shape[0], *wire.shape[1:]))
    # Name since torch 2.13, which warns about the old one.
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(out, wire)
    return out.view(local.dtype).to(x.device)


def all_reduce_sum(x: Tensor) -> Tensor:
    """Sum a tensor over all ranks.

    Args:
        x: Any shape, the same on every rank.

    Returns:
        The sum, a new detached tensor on the device of ``x``; ``x`` itself, detached, when there is
        one process.
    """
    x = x.detach()
    if world_size() == 1:
        return x
    # A contiguous copy: the collective works in place.
    wire = _on_backend_device(x).clone(memory_format=torch.contiguous_format)
    dist.all_reduce(wire)
    return wire.to(x.device)


def all_gather(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Concatenate the rows of all ranks, for several tensors (PySlowFast's name).

    Args:
        tensors: Each (B, ...), of the same shape on every rank.

    Returns:
        Each (W * B, ...), detached.
    """
    return [gather_no_gradient(x) for x in tensors]


def all_reduce(tensors: Sequence[Tensor], average: bool = True) -> list[Tensor]:
    """Average or sum tensors over all ranks (PySlowFast's name).

    Args:
        tensors: Any shapes, the same on every rank. Unlike in PySlowFast they are not changed.
        average: Average; False: sum.

    Returns:
        The results, detached.
    """
    totals = [all_reduce_sum(x) for x in tensors]
    return [x / world_size() for x in totals] if average and world_size() > 1 else totals


class _GatherWithGradient(torch.autograd.Function):
    """All-gather whose backward sums the gradients of all ranks for this rank's rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = x.shape[0]
        return _all_gather(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return all_reduce_sum(grads[0])[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def gather_with_gradient(x: Tensor) -> Tensor:
    """Concatenate the rows of all ranks; the gradient flows back to every rank.

    The backward pass gives the gradient of the SUM of all ranks' losses. Averaged over ranks, as
    data-parallel training does, it is that of their mean.

    Args:
        x: float (B, ...), the same shape on every rank.

    Returns:
        float (W * B, ...), rank 0's rows first; ``x`` itself when there is one process.
    """
    return x if world_size() == 1 else _GatherWithGradient.apply(x)


def gather_no_gradient(x: Tensor) -> Tensor:
    """Concatenate the rows of all ranks, without gradient.

    Args:
        x: (B, ...), any dtype, the same shape on every rank.

    Returns:
        (W * B, ...), rank 0's rows first, detached.
    """
    x = x.detach()
    return x if world_size() == 1 else _all_gather(x)


def all_gather_variable_length(x: Tensor) -> Tensor:
    """Concatenate tensors that differ in length between ranks, in rank order.

    Used in evaluation, where ranks may hold different numbers of samples. Only tensors are sent:
    nothing is unpickled.

    Args:
        x: (n, ...), any dtype; n may differ between ranks and may be 0, the rest may not differ.

    Returns:
        (sum of n, ...) on the device of ``x``, detached.
    """
    x = x.detach()
    if world_size() == 1:
        return x
    lengths = _all_gather(torch.tensor([x.shape[0]], device=x.device)).tolist()
    longest = max(lengths)
    padded = x.new_zeros((longest, *x.shape[1:]))
    padded[: x.shape[0]] = x
    gathered = _all_gather(padded)  # (W * longest, ...)
    starts = range(0, len(lengths) * longest, longest or 1)
    rows = [gathered[start : start + n] for start, n in zip(starts, lengths, strict=False)]
    return torch.cat(rows) if rows else gathered


def global_mean(values: Tensor, valid: Tensor | None = None, *, joint: bool = True) -> Tensor:
    """Average over valid rows such that the mean over ranks is the mean over all ranks' rows.

    With s_r the sum and n_r the count of rank r's valid rows, rank r returns
    ``s_r * W / sum(n)``: the mean over ranks of that is ``sum(s) / sum(n)``, whatever the counts.

    Args:
        values: float (B, ...).
        valid: bool (B,), rows to average over; None means all.
        joint: Count the valid rows of all ranks. Every rank must then call this function.

    Returns:
        Scalar; 0, still attached to the graph, when no row is valid.
    """
    per_row = values.flatten(1).mean(dim=1) if values.dim() > 1 else values  # (B,)
    if valid is None:
        return per_row.mean()
    count = valid.sum()
    ranks = world_size() if joint else 1
    if joint:
        count = all_reduce_sum(count)
    # where, not a product: an invalid row may hold inf or NaN.
    total = torch.where(valid, per_row, torch.zeros_like(per_row)).sum()
    return total * ranks / count.clamp(min=1)


if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
