"""Watches every operator for what makes the host wait for the device, or copy to it or from it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).parents[2]
_OTHERS = (str(Path(os.__file__).parent), str(Path(__file__).parent), "<")
_OPTIMIZER = "/torch/optim/"

COPY = "blocking copy"
WAIT = "synchronization"
ON_CPU = "CPU tensor in the model or the loss"

_WAITS = {
    "aten._local_scalar_dense.default",
    "aten.is_nonzero.default",
    "aten.equal.default",
    "aten.nonzero.default",
    "aten.masked_select.default",
    "aten._unique2.default",
    "aten.unique_dim.default",
    "aten.unique_consecutive.default",
    "aten.bincount.default",
    "aten.repeat_interleave.Tensor",
    "aten.repeat_interleave.self_Tensor",
}
"""Operators whose result or its shape depends on values: the host waits for them."""
_COPIES = {"aten._to_copy.default": None, "aten.copy_.default": 1, "aten.copy.default": 1}
"""Operators that copy between devices, with the position of the source if it is not the first."""


class Event(NamedTuple):
    """Something that a training step on a GPU should not do.

    Attributes:
        kind: ``COPY``, ``WAIT`` or ``ON_CPU``.
        operator: Its name.
        place: ``file:line`` of the innermost code that is not of a library.
    """

    kind: str
    operator: str
    place: str


class Watch(TorchDispatchMode):
    """Counts events.

    Attributes:
        events: How often each happened.
        launched: How often each operator ran on the GPU.
        inside: Whether the model or the loss is running.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: Counter[Event] = Counter()
        self.launched: Counter[str] = Counter()
        self.inside = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator and look at the devices of what it reads and writes."""
        kwargs = kwargs or {}
        name = str(func)
        read = _devices((args, kwargs))
        if name in _WAITS and "cuda" in read:
            self._note(WAIT, name)
        if name == "aten._local_scalar_dense.default":
            return _a_value_of(args[0])
        if name.startswith("aten.index") and len(args) > 1 and isinstance(args[1], list | tuple):
            self._look_at_index(name, args)
        out = func(*args, **kwargs)
        written = _devices(out)
        if name.startswith("prim.") or name == "aten.lift_fresh.default":
            return out
        if "cuda" in read | written:
            self.launched[name] += 1
        self._look(name, args, kwargs, read, written)
        return out

    def _look(
        self, name: str, args: Any, kwargs: Mapping[str, Any], read: set[str], written: set[str]
    ) -> None:
        if name in _COPIES:
            source = args[_COPIES[name] or 0].device.type
            target = next(iter(written)) if _COPIES[name] is None else args[0].device.type
            is_blocking = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2] is True))
            if (source, target) == ("cuda", "cpu"):
                self._note(WAIT, name)
            elif (source, target) == ("cpu", "cuda") and is_blocking:
                self._note(COPY, name)
            return
        if self.inside and "cpu" in read | written and not _is_scalar_constant(name, args):
            self._note(ON_CPU, name)

    def _look_at_index(self, name: str, args: Any) -> None:
        index = [t for t in args[1] if isinstance(t, Tensor)]
        if args[0].device.type == "cuda":
            if any(t.device.type == "cuda" and t.dtype in (torch.bool, torch.uint8) for t in index):
                self._note(WAIT, f"{name} with a mask")
            if any(t.device.type == "cpu" for t in index):
                self._note(COPY, f"{name} with a list")

    def _note(self, kind: str, operator: str) -> None:
        place = _place()
        if place is not None:
            self.events[Event(kind, operator.removesuffix(".default"), place)] += 1


def watched(watch: Watch, function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark that the model or the loss is running while a function does."""

    def call(*args: Any, **kwargs: Any) -> Any:
        before, watch.inside = watch.inside, True
        try:
            return function(*args, **kwargs)
        finally:
            watch.inside = before

    return call


def _devices(tree: Any) -> set[str]:
    return {t.device.type for t in tree_leaves(tree) if isinstance(t, Tensor)}


def _is_scalar_constant(name: str, args: Any) -> bool:
    """Return whether a number was wrapped, which a kernel gets as an argument."""
    tensors = [t for t in tree_leaves(args) if isinstance(t, Tensor) and t.device.type == "cpu"]
    return name == "aten.scalar_tensor.default" or (
        bool(tensors) and all(t.dim() == 0 for t in tensors) and "cuda" in _devices(args)
    )


def _a_value_of(tensor: Tensor) -> bool | int | float:
    if tensor.dtype == torch.bool:
        return True
    return 1.0 if tensor.is_floating_point() else 1


def _place() -> str | None:
    """Find the innermost line that is not of a library; None in an optimizer.

    Optimizers count their steps on the CPU.
    """
    frame = sys._getframe(1)
    outermost = "torch"
    while frame is not None:
        file = frame.f_code.co_filename
        if _OPTIMIZER in file:
            return None
        if "/site-packages/" not in file and not file.startswith(_OTHERS):
            path = Path(file)
            is_here = path.is_relative_to(ROOT)
            return f"{path.relative_to(ROOT) if is_here else path.name}:{frame.f_lineno}"
        if "/torch/" in file and "_python_dispatch" not in file:
            outermost = f"torch/{file.rpartition('/torch/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return outermost
