"""Activation checkpointing: memory for time, without moving batch statistics twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["activation_checkpoint"]


def activation_checkpoint(block: nn.Module, x: Tensor) -> Tensor:
    """Run a block and keep only its input; recompute the rest in the backward pass.

    Args:
        block: With batch norms whose running statistics must move once, not twice.
        x: Its input.

    Returns:
        Its output.
    """

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _on_copies_of_running_statistics(block)

    return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def _on_copies_of_running_statistics(block: nn.Module) -> Iterator[None]:
    """Let a recomputed forward pass update copies: the first pass has updated the originals."""
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
