"""Makes torch believe that it has a GPU, so that fake tensors of device ``cuda`` have gradients.

``FakeTensorMode`` runs operators of any device, but the autograd engine asks for the accelerator of
the process, its number of devices and their streams, and refuses without. Here it gets answers
that do nothing: a device guard written in Python, in the place of the one for CUDA, and a copy of
the table of virtual functions of torch's CUDA hooks, with those replaced that say whether there is
a device. Slots of the table are counted in the headers that come with torch.

The engine starts its threads once: call this in a process of its own, before any backward pass.
"""

from __future__ import annotations

import ctypes
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import fake_tensor

_LIBRARIES = Path(torch.__path__[0]) / "lib"
_HEADERS = Path(torch.__path__[0]) / "include/ATen/detail"
_POINTER = ctypes.sizeof(ctypes.c_void_p)
_BEFORE_TABLE = 2  # the offset to the top and the type come before the first function

_kept: list[Any] = []  # what C++ points to


class _CudaGuard(torch._C._acc.DeviceGuard):
    """Changes no device and waits for no stream."""

    def type_(self) -> Any:
        return torch._C._autograd.DeviceType.CUDA


def pretend_cuda() -> None:
    """Give this process one GPU that computes nothing; it cannot be taken back."""
    _install_guard()
    _patch_hooks()
    _describe_kernels()
    if torch.accelerator.current_accelerator() != torch.device("cuda"):
        raise RuntimeError(f"torch {torch.__version__} does not take the pretended GPU for real.")
    # In Python: nothing is allocated on the device, and autocast and optimizers act as on a GPU.
    fake_tensor.init_gpu_context = lambda device: None
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch.cuda.is_bf16_supported = lambda including_emulation=True: True
    for name in ("torch.utils._foreach_utils", "torch.optim.optimizer"):
        import_module(name)._foreach_supported_types.append(fake_tensor.FakeTensor)


def _install_guard() -> None:
    """Register the guard for the device type that Python may extend, then move it to CUDA's."""
    guard = _CudaGuard()
    _kept.append(guard)
    library = ctypes.CDLL(str(_LIBRARIES / "libc10.so"))
    kinds = len(torch._C._autograd.DeviceType.__members__)
    registry = (ctypes.c_void_p * kinds).in_dll(
        library, "_ZN3c104impl26device_guard_impl_registryE"
    )
    free, cuda = (
        int(getattr(torch._C._autograd.DeviceType, kind)) for kind in ("PrivateUse1", "CUDA")
    )
    torch._C._acc.register_python_privateuseone_device_guard(guard)
    registry[cuda], registry[free] = registry[free], None


def _patch_hooks() -> None:
    """Let the CUDA hooks tell of one device."""
    names = _virtual_functions("AcceleratorHooksInterface.h")
    names += _virtual_functions("CUDAHooksInterface.h")
    answers: dict[str, Any] = {
        "isBuilt": _answer(ctypes.c_bool, True),
        "isAvailable": _answer(ctypes.c_bool, True),
        "hasCUDA": _answer(ctypes.c_bool, True),
        "hasPrimaryContext": _answer(ctypes.c_bool, True, ctypes.c_int8),
        "deviceCount": _answer(ctypes.c_int8, 1),
        "getCurrentDevice": _answer(ctypes.c_int8, 0),
        "exchangeDevice": _answer(ctypes.c_int8, 0, ctypes.c_int8),
        "maybeExchangeDevice": _answer(ctypes.c_int8, 0, ctypes.c_int8),
    }
    library = ctypes.CDLL(str(_LIBRARIES / "libtorch_cpu.so"))
    get_hooks = library._ZN2at6detail12getCUDAHooksEv
    get_hooks.restype = ctypes.c_void_p
    table_of_hooks = ctypes.c_void_p.from_address(get_hooks())
    size = len(names) + _BEFORE_TABLE
    start = table_of_hooks.value - _BEFORE_TABLE * _POINTER
    copy = (ctypes.c_void_p * size).from_buffer_copy(ctypes.string_at(start, size * _POINTER))
    for name, answer in answers.items():
        copy[names.index(name) + _BEFORE_TABLE] = ctypes.cast(answer, ctypes.c_void_p).value
    _kept.extend([copy, answers])
    table_of_hooks.value = ctypes.addressof(copy) + _BEFORE_TABLE * _POINTER


def _answer(kind: Any, value: Any, *arguments: Any) -> Any:
    """Make a method of C++ that returns a constant."""
    return ctypes.CFUNCTYPE(kind, ctypes.c_void_p, *arguments)(lambda *_: value)


def _virtual_functions(header: str) -> list[str]:
    """List what a class adds to the table, in order; a destructor has two entries."""
    text = re.sub(r"//.*", "", (_HEADERS / header).read_text(encoding="utf-8"))
    found = re.findall(r"\bvirtual\b[^;{(]*?(~?\w+)\s*\(", text)
    return [name for word in found for name in ([word] * 2 if word.startswith("~") else [word])]


def _describe_kernels() -> None:
    """Give the shapes of results for kernels that torch has no description of."""
    library = torch.library.Library("aten", "IMPL", "Meta")
    _kept.append(library)

    def vector(x: Tensor) -> Tensor:
        return x.new_empty(x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))

    kernels: dict[str, Any] = {
        "batch_norm_stats": lambda x, eps: (vector(x), vector(x)),
        "batch_norm_gather_stats_with_counts": lambda x, *_: (vector(x), vector(x)),
        "batch_norm_elemt": lambda x, *_: torch.empty_like(x),
        "batch_norm_backward_reduce": lambda grad, x, *_: tuple(vector(x) for _ in range(4)),
        "batch_norm_backward_elemt": lambda grad, x, *_: torch.empty_like(x),
        "_fused_sgd_": lambda parameters, *_, **__: None,  # in place
    }
    for name, kernel in kernels.items():
        library.impl(name, kernel)
