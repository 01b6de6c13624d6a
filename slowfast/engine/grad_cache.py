"""Contrastive losses over batches whose activations do not fit: gradient caching.

Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP
2021. A contrastive loss needs the embeddings of the whole batch, but not all activations at once:

1. The batch is embedded chunk by chunk, without a graph.
2. One loss is computed on the joined outputs, and its gradient with respect to them.
3. Each chunk is embedded once more, now with a graph, and the gradient passed on through it.

The memory is that of one chunk, the time about a third more. (Accumulated gradients, in contrast,
leave each batch its own few negatives.) The result is that of an ordinary step where the samples of
a batch meet in the loss only. Elsewhere a chunk counts as a batch: batch norm normalizes by the
chunk, crops drawn per batch are drawn per chunk, dropout draws other numbers. The second pass
repeats the random numbers of the first, and leaves running statistics as the first made them.
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
from slowfast.engine.data_parallel import synchronized
from slowfast.engine.precision import Precision
from slowfast.utils.checkpoint import unwrap_model
from slowfast.utils.random import rng_state, set_rng_state

__all__ = ["backward_in_chunks"]

_KEY = "SOLVER.GRAD_CACHE_CHUNK"


class _Leaf(NamedTuple):
    """One tensor of the joined outputs; ``dim`` is that of the samples, None without."""

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
    """Do what ``criterion(model(batch), batch)`` and ``backward`` do, with a chunk in memory.

    Args:
        model: A method, maybe within DistributedDataParallel. ``output_batch_dims`` tells where its
            outputs have the samples.
        criterion: ``(outputs, batch) -> terms``; ``loss`` is the total.
        batch: A prepared batch; what has an entry per sample is cut.
        chunk: Samples of a chunk, fewer than the batch has. The last chunk may be smaller.
        precision: As of the ordinary step.
        scale: What the loss is multiplied by before ``backward``.
        is_last: Let processes exchange gradients, in the last pass.

    Returns:
        The joined outputs and the terms, both as of the whole batch.

    Raises:
        ConfigValueError: If an output does not have the samples where it should.
    """
    pieces, sizes = _cut(batch, chunk)
    last = len(pieces) - 1
    states, parts = [], []
    for i, piece in enumerate(pieces):
        states.append(rng_state())
        # The last chunk keeps its graph: it needs no second pass, and tells what has a gradient.
        with synchronized(model, False), torch.set_grad_enabled(i == last), precision.autocast():
            parts.append(model(piece))
    dims = getattr(unwrap_model(model), "output_batch_dims", {})
    outputs, leaves = _join(parts, sizes, dims)
    with precision.autocast():
        terms = criterion(outputs, batch)
    scale(terms["loss"]).backward()
    after_loss = rng_state()
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    _pass_on(parts[last], leaves, starts[last], sizes[last], with_shared=False)
    del parts
    with _kept_statistics(model):
        for i in range(last):
            set_rng_state(states[i])
            is_final = i == last - 1
            with synchronized(model, is_last and is_final):
                with precision.autocast():
                    again = model(pieces[i])
                # What all samples share gets its gradient once, where processes exchange it.
                _pass_on(again, leaves, starts[i], sizes[i], with_shared=is_final)
    set_rng_state(after_loss)
    return outputs, terms


def _cut(batch: Mapping[str, Any], chunk: int) -> tuple[list[dict[str, Any]], list[int]]:
    """Cut what has an entry per sample; ``index`` says how many there are."""
    samples = len(batch["index"])
    starts = range(0, samples, chunk)

    def part(value: Any, start: int) -> Any:
        is_list = (isinstance(value, Tensor) and value.dim() > 0) or isinstance(value, list)
        return value[start : start + chunk] if is_list and len(value) == samples else value

    pieces = [{name: part(value, start) for name, value in batch.items()} for start in starts]
    return pieces, [min(chunk, samples - start) for start in starts]


def _join(
    parts: list[Any], sizes: list[int], dims: Mapping[str, int | None]
) -> tuple[Any, list[_Leaf]]:
    """Join the outputs of all chunks to those of the batch, cut off from any graph."""
    kind = type(parts[0])
    if not hasattr(kind, "_fields"):
        raise ConfigValueError(
            _KEY,
            f"the model returns a {kind.__name__}, expected a NamedTuple of tensors. Set it to 0.",
        )
    fields, leaves = {}, []
    for name in kind._fields:
        flat = [pytree.tree_flatten(getattr(part, name)) for part in parts]
        joined = []
        for values in zip(*(found for found, _ in flat), strict=True):
            leaf = _Leaf(_join_one(name, values, sizes, dims.get(name, 0)), dims.get(name, 0))
            joined.append(leaf.joined)
            leaves.append(leaf)
        fields[name] = pytree.tree_unflatten(joined, flat[-1][1])
    return kind(**fields), leaves


def _join_one(name: str, values: tuple[Any, ...], sizes: list[int], dim: int | None) -> Any:
    """Join one tensor of all chunks; it gets a gradient if that of the last chunk has one."""
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


def _pass_on(part: Any, leaves: list[_Leaf], start: int, size: int, *, with_shared: bool) -> None:
    """Run the backward pass of one chunk from the gradients of the joined outputs."""
    own, _ = pytree.tree_flatten(tuple(part))
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
    """Put running statistics back at the end."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    before = [buffer.clone() for buffer in buffers]
    yield
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)
