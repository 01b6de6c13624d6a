"""Gradient caching: contrastive losses over batches whose activations do not fit in memory.

Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP
2021. A contrastive loss needs the embeddings of the full batch, but not all activations at once:

1. The batch is embedded chunk by chunk, without a graph.
2. One loss is computed on the joined outputs, and its gradient with respect to them.
3. Each chunk is embedded again with a graph, and the gradient is backpropagated through it.

Memory is that of one chunk; a step takes about a third longer. (With gradient accumulation, each
batch has only its own negatives.) The result equals an ordinary step if samples interact in the
loss only. Otherwise a chunk acts as a batch: batch norm normalizes each chunk, crops sampled per
batch are sampled per chunk, and dropout samples other numbers. The second pass repeats the random
numbers of the first, and keeps the running statistics of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from slowfast.config import ConfigValueError
from slowfast.engine.precision import Precision
from slowfast.models.data_parallel import synchronized
from slowfast.utils.checkpoint import unwrap_model
from slowfast.utils.random import rng_state, set_rng_state

__all__ = ["backward_in_chunks"]

_KEY = "SOLVER.GRAD_CACHE_CHUNK"


class _Leaf(NamedTuple):
    """One tensor of the joined outputs; ``dim`` is its sample dimension, or None."""

    joined: Any
    dim: int | None


def backward_in_chunks(
    model: nn.Module,
    criterion: Callable[[Any, Mapping[str, Any]], dict[str, Tensor]],
    batch: Mapping[str, Any],
    *,
    chunk: int,
    precision: Precision,
    scale: Callable[[Tensor], Tensor],
    is_last: bool = True,
) -> tuple[Any, dict[str, Tensor]]:
    """Compute ``criterion(model(batch), batch)`` and its gradient, with one chunk in memory.

    Args:
        model: A method, maybe wrapped in DistributedDataParallel. Its ``output_batch_dims`` are the
            sample dimensions of its outputs.
        criterion: ``(outputs, batch) -> losses``; ``loss`` is the total.
        batch: A preprocessed batch; entries with one row per sample are split.
        chunk: Samples per chunk, fewer than in the batch. The last chunk may be smaller.
        precision: As in an ordinary step.
        scale: Scales the loss before ``backward``.
        is_last: Synchronize gradients across processes, in the last pass.

    Returns:
        The joined outputs and the losses of the full batch.

    Raises:
        ConfigValueError: If the sample dimension of an output is wrong.
    """
    pieces, sizes = _cut(batch, chunk)
    last = len(pieces) - 1
    states, embedded = [], []
    for i, piece in enumerate(pieces):
        states.append(rng_state())
        # The last chunk keeps its graph: it needs no second pass, and shows what has a gradient.
        with synchronized(model, False), torch.set_grad_enabled(i == last), precision.autocast():
            embedded.append(model(piece))
    dims = getattr(unwrap_model(model), "output_batch_dims", {})
    outputs, leaves = _join(embedded, sizes, dims)
    with precision.autocast():
        losses = criterion(outputs, batch)
    scale(losses["loss"]).backward()
    after_loss = rng_state()
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    _pass_on(embedded[last], leaves, starts[last], sizes[last], with_shared=False)
    del embedded
    with _kept_statistics(model):
        for i in range(last):
            set_rng_state(states[i])
            is_final = i == last - 1
            with synchronized(model, is_last and is_final):
                with precision.autocast():
                    again = model(pieces[i])
                # Shared outputs get their gradient once, in the pass that synchronizes.
                _pass_on(again, leaves, starts[i], sizes[i], with_shared=is_final)
    set_rng_state(after_loss)
    return outputs, losses


def _cut(batch: Mapping[str, Any], chunk: int) -> tuple[list[dict[str, Any]], list[int]]:
    """Split entries with one row per sample; ``index`` gives the batch size."""
    samples = len(batch["index"])
    starts = range(0, samples, chunk)

    def split(value: Any, start: int) -> Any:
        is_list = (isinstance(value, Tensor) and value.dim() > 0) or isinstance(value, list)
        return value[start : start + chunk] if is_list and len(value) == samples else value

    pieces = [{name: split(value, start) for name, value in batch.items()} for start in starts]
    return pieces, [min(chunk, samples - start) for start in starts]


def _join(
    embedded: list[Any], sizes: list[int], dims: Mapping[str, int | None]
) -> tuple[Any, list[_Leaf]]:
    """Concatenate the outputs of all chunks, detached from any graph."""
    kind = type(embedded[0])
    if not hasattr(kind, "_fields"):
        raise ConfigValueError(
            _KEY,
            f"the model returns a {kind.__name__}, expected a NamedTuple of tensors. Set it to 0.",
        )
    fields, leaves = {}, []
    for name in kind._fields:
        flat = [pytree.tree_flatten(getattr(chunk, name)) for chunk in embedded]
        joined = []
        for values in zip(*(found for found, _ in flat), strict=True):
            leaf = _Leaf(_join_one(name, values, sizes, dims.get(name, 0)), dims.get(name, 0))
            joined.append(leaf.joined)
            leaves.append(leaf)
        fields[name] = pytree.tree_unflatten(joined, flat[-1][1])
    return kind(**fields), leaves


def _join_one(name: str, values: tuple[Any, ...], sizes: list[int], dim: int | None) -> Any:
    """Concatenate one tensor of all chunks; it needs a gradient if that of the last chunk does."""
    if not isinstance(values[0], Tensor):
        return values[0]
    joined = values[0].detach()
    if dim is not None:
        found = [value.shape[dim] if value.dim() > dim else None for value in values]
        if found != sizes:
            raise ConfigValueError(
                _KEY,
                f"output '{name}' of shape {tuple(values[0].shape)} does not have the {sizes[0]} "
                f"samples of a chunk in dimension {dim}. Name its dimension, or None if it has "
                "none, in the model's output_batch_dims; or set it to 0.",
            )
        joined = torch.cat([value.detach() for value in values], dim)
    return joined.requires_grad_(values[-1].requires_grad)


def _pass_on(chunk: Any, leaves: list[_Leaf], start: int, size: int, *, with_shared: bool) -> None:
    """Run the backward pass of one chunk from the gradients of the joined outputs."""
    own, _ = pytree.tree_flatten(tuple(chunk))
    roots, gradients = [], []
    for value, (joined, dim) in zip(own, leaves, strict=True):
        if not isinstance(joined, Tensor) or joined.grad is None or not value.requires_grad:
            continue
        if dim is not None:
            roots.append(value)
            gradients.append(joined.grad.narrow(dim, start, size))
        elif with_shared:
            roots.append(value)
            gradients.append(joined.grad)
    torch.autograd.backward(roots, gradients)


@contextmanager
def _kept_statistics(model: nn.Module) -> Iterator[None]:
    """Restore running statistics at the end."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    before = [buffer.clone() for buffer in buffers]
    yield
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)
