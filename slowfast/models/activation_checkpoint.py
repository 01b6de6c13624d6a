"""Activation checkpointing, without updating running statistics twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["activation_checkpoint"]


def activation_checkpoint(block: nn.Module, x: Tensor) -> Tensor:
    """Run a block and store only its input; recompute activations in the backward pass.

    Args:
        block: A block, maybe with batch norms; their running statistics are updated once.
        x: Input of the block.

    Returns:
        Output of the block.
    """

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _on_copies_of_running_statistics(block)

    return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def _on_copies_of_running_statistics(block: nn.Module) -> Iterator[None]:
    """Let the recomputed forward pass update copies, since the first pass updated the originals."""
    norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    originals = [dict(norm.named_buffers(recurse=False)) for norm in norms]
    for norm, buffers in zip(norms, originals, strict=True):
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, buffers in zip(norms, originals, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)
