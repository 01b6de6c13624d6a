"""Data-parallel training: DistributedDataParallel and gradient synchronization."""

from __future__ import annotations

import contextlib

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from slowfast.models.method import replicated_buffers
from slowfast.utils import distributed

__all__ = ["distribute", "share_buffers", "synchronized"]


def distribute(model: nn.Module, device: torch.device) -> nn.Module:
    """Wrap a model so that processes average its gradients.

    Returns:
        The model, wrapped if there are several processes. Its ``replicated_buffers`` are not
        broadcast.
    """
    if distributed.world_size() == 1:
        return model
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(
        model, replicated_buffers(model)
    )
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def share_buffers(model: nn.Module) -> None:
    """Give every process the buffers of rank 0, as the next forward pass in training does.

    A checkpoint has the running statistics of rank 0. What is measured on other ranks right after a
    step has to be measured with these, too, or it changes when a run resumes.

    Args:
        model: The result of ``distribute``. Its ``replicated_buffers`` are left as they are.
    """
    if isinstance(model, DistributedDataParallel):
        own = set(replicated_buffers(model.module))
        named = model.module.named_buffers()
        distributed.broadcast_from_main(buffer for name, buffer in named if name not in own)


def synchronized(model: nn.Module, is_last: bool) -> contextlib.AbstractContextManager[None]:
    """Synchronize gradients only in the last pass of a step.

    Args:
        model: The result of ``distribute``.
        is_last: Whether this pass is the last one.

    Returns:
        The context for a forward and a backward pass.
    """
    if is_last or not isinstance(model, DistributedDataParallel):
        return contextlib.nullcontext()
    return model.no_sync()
