"""Loads checkpoints, also untrusted ones, without running code from the file.

Torch files are loaded by ``torch.load(weights_only=True)``. It would refuse a file that holds more
than weights (training arguments, a scheduler). Such objects are loaded as empty placeholders, and
their class is never imported. A file that names a function of Python's standard library is refused,
as it may run code.

Caffe2 files are pickles of numpy arrays, written by Python 2. An unpickler that accepts only the
few names of such files loads them, with classes of this module in their place.

Files of safetensors hold tensors only.
"""

from __future__ import annotations

import logging
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slowfast.config import UserError
from slowfast.utils.file_kinds import describe_other_file
from slowfast.utils.safetensors_file import is_safetensors, read_safetensors

__all__ = ["safe_load"]

logger = logging.getLogger(__name__)

# Torch's legacy format is a sequence of pickles; the first one is this number.
_TORCH_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
_PICKLE_MAGIC = b"\x80"
_REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_REFUSED_OTHER = re.compile(r"WeightsUnpickler error:\s*([^\n]+)")
_MOST_RECORDS = 50
# The only names of Python's standard library that become placeholders instead of an error.
_PLAIN_RECORDS = {"argparse.Namespace", "pathlib.PosixPath", "pathlib.PurePosixPath"}


class _Shell:
    """Placeholder for an object whose class is not imported; stores nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def safe_load(path: Path) -> Any:
    """Load a checkpoint on the CPU, without running code from the file.

    Returns:
        What was saved; Caffe2's blobs as tensors under ``blobs``.

    Raises:
        UserError: If the file is damaged, or would run code.
    """
    other = describe_other_file(path)
    if other:
        raise UserError(f"{path} is {other}.")
    with path.open("rb") as file:
        start = file.read(64)
    if is_safetensors(path, start):
        return read_safetensors(path)
    is_pickle = start.startswith(_PICKLE_MAGIC) and _TORCH_MAGIC not in start
    return _load_caffe2(path) if is_pickle else _load_torch(path)


def _load_torch(path: Path) -> Any:
    """Load with ``weights_only``, with a placeholder for each foreign class."""
    shells: dict[str, type] = {}
    while True:
        try:
            with torch.serialization.safe_globals(list(shells.values())):
                content = torch.load(path, map_location="cpu", weights_only=True)
            break
        except pickle.UnpicklingError as error:
            shells |= _shell_for(str(error), path, shells)
        except Exception as error:  # an unpickler may raise anything on garbage
            raise UserError(
                f"{path} is damaged or not a checkpoint: {_reason(error)}. Download it again, or "
                "save it again with torch.save."
            ) from error
    if shells:
        logger.info("%s also holds objects that are ignored: %s", path, ", ".join(sorted(shells)))
    return content


def _reason(error: Exception) -> str:
    """Return the first sentence of torch's message, without its advice to load unsafely."""
    words = str(error).strip().splitlines() or [type(error).__name__]
    first = words[0].split(". ")[0].rstrip(".")
    return type(error).__name__ if "weights_only" in first else first


def _shell_for(message: str, path: Path, known: dict[str, type]) -> dict[str, type]:
    """Create a placeholder for the class that the loader has just refused."""
    match = _REFUSED_GLOBAL.search(message)
    name = match[1] if match else ""
    module, _, qualname = name.rpartition(".")
    is_stdlib = module.partition(".")[0] in sys.stdlib_module_names or module in ("", "__builtin__")
    if name in _PLAIN_RECORDS:
        is_stdlib = False
    if not name:
        with path.open("rb") as file:
            start = file.read(16)
        detail = _REFUSED_OTHER.search(message)
        is_torch = start.startswith(b"PK") or _TORCH_MAGIC in start
        reason = f"it begins with the bytes {start!r}"
        if detail and is_torch:
            reason = detail[1].partition(". ")[0]
        raise UserError(
            f"{path} is damaged or not a checkpoint: {reason}. Download it again, or save its "
            "state dict with torch.save."
        )
    if name in known or is_stdlib or len(known) >= _MOST_RECORDS:
        raise UserError(
            f"{path} cannot be loaded safely: {name} is not a tensor or a plain value, and loading "
            "it would run code. Save its state dict alone."
        )
    return {name: type(qualname, (_Shell,), {"__module__": module})}


def _raw(value: Any) -> bytes:
    """Return the bytes of a Python 2 string."""
    if isinstance(value, str):
        return value.encode("latin1")
    if not isinstance(value, bytes | bytearray):  # of a number, bytes() would make so many zeros
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__} in the place of bytes")
    return bytes(value)


class _Dtype:
    """Replaces ``numpy.dtype``; only numeric types are allowed."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.dtype, self.is_big_endian = np.dtype(_raw(code).decode()), False
        if self.dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"it holds an array of '{self.dtype}', not of numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.is_big_endian = _raw(state[1]) == b">"

    def read(self, raw: Any) -> np.ndarray[Any, Any]:
        """Convert raw bytes to numbers in native byte order."""
        stored = self.dtype.newbyteorder(">" if self.is_big_endian else "<")
        return np.frombuffer(_raw(raw), stored).astype(self.dtype)


class _Array:
    """Replaces ``numpy.ndarray``."""

    value = np.zeros(0, np.float32)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, shape, dtype, is_fortran, raw = state
        self.value = dtype.read(raw).reshape(shape, order="F" if is_fortran else "C")


_CAFFE2_NAMES: dict[str, Any] = {
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy.core.multiarray.scalar": lambda dtype, raw: dtype.read(raw)[0].item(),
    "_codecs.encode": lambda text, _: _raw(text),  # how Python 3 writes bytes in old protocols
    "collections.OrderedDict": dict,
}


class _Caffe2Unpickler(pickle.Unpickler):
    """Accepts only the names above."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a name."""
        full = f"{module}.{name}".replace("numpy._core.", "numpy.core.")
        if full not in _CAFFE2_NAMES:
            raise pickle.UnpicklingError(f"it names {full}, which is not a numpy array")
        return _CAFFE2_NAMES[full]


def _load_caffe2(path: Path) -> dict[str, dict[str, Tensor]]:
    """Read ``{"blobs": {name: array}}`` or ``{name: array}``; numbers become scalars."""
    try:
        with path.open("rb") as file:
            content = _Caffe2Unpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} cannot be loaded safely as a Caffe2 checkpoint: {error}."
        ) from error
    except Exception as error:  # an unpickler may raise anything on garbage
        raise UserError(f"{path} is damaged or not a Caffe2 checkpoint: {error}") from error
    blobs = content.get("blobs", content) if isinstance(content, dict) else None
    if not isinstance(blobs, dict):
        raise UserError(f"{path} is a pickle, but not of Caffe2's blobs: it has no dict of arrays.")
    arrays = {
        str(name): blob.value if isinstance(blob, _Array) else blob
        for name, blob in blobs.items()
        if isinstance(blob, (_Array, int, float))
    }
    return {"blobs": {name: torch.tensor(array) for name, array in arrays.items()}}
