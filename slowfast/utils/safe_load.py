"""Checkpoints, also of others, read without running any code in them.

Torch's own files go through ``torch.load(weights_only=True)``. What else a file holds beside its
weights (the arguments of the training, a scheduler) would make that refuse the whole file; such
records are read as empty shells, whose class is never imported. A file that names a function of
Python's own library is refused: it was made to run something.

Caffe2's files are pickles of numpy arrays, written by Python 2. They go through an unpickler that
knows these few names alone, and puts classes of this module for them.
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

__all__ = ["safe_load"]

logger = logging.getLogger(__name__)

# Torch's older format is a row of pickles; the first is this number.
_TORCH_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
_PICKLE_MAGIC = b"\x80"
_REFUSED_GLOBAL = re.compile(r"GLOBAL ([\w.]+\.\w+)")
_MOST_RECORDS = 50
# The only names of Python's own library that become shells instead of being refused.
_PLAIN_RECORDS = {"argparse.Namespace", "pathlib.PosixPath", "pathlib.PurePosixPath"}


class _Shell:
    """Stands for an object of a class that is not imported; keeps nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def safe_load(path: Path) -> Any:
    """Read a checkpoint on the CPU, without running anything in it.

    Args:
        path: A file of torch (zip or older), or a pickle of Caffe2's blobs.

    Returns:
        What was saved; Caffe2's blobs as tensors under ``blobs``.

    Raises:
        UserError: If the file is damaged, or would run code.
    """
    with path.open("rb") as file:
        start = file.read(64)
    is_pickle = start.startswith(_PICKLE_MAGIC) and _TORCH_MAGIC not in start
    return _load_caffe2(path) if is_pickle else _load_torch(path)


def _load_torch(path: Path) -> Any:
    """Load with ``weights_only``, giving a shell for each foreign class that it meets."""
    shells: dict[str, type] = {}
    while True:
        try:
            with torch.serialization.safe_globals(list(shells.values())):
                content = torch.load(path, map_location="cpu", weights_only=True)
            break
        except pickle.UnpicklingError as error:
            shells |= _shell_for(str(error), path, shells)
        except Exception as error:  # What an unpickler raises on garbage is anything at all.
            raise UserError(f"{path} is damaged or not a checkpoint: {error}") from error
    if shells:
        logger.info("%s also holds records that are left out: %s", path, ", ".join(sorted(shells)))
    return content


def _shell_for(message: str, path: Path, known: dict[str, type]) -> dict[str, type]:
    """Make a shell for the class that the loader has just refused."""
    match = _REFUSED_GLOBAL.search(message)
    name = match[1] if match else ""
    module, _, qualname = name.rpartition(".")
    is_stdlib = module.partition(".")[0] in sys.stdlib_module_names or module == "__builtin__"
    if name in _PLAIN_RECORDS:
        is_stdlib = False
    if not name or name in known or is_stdlib or len(known) >= _MOST_RECORDS:
        reason = name or message.strip().splitlines()[0]
        raise UserError(
            f"{path} cannot be loaded safely (weights_only): {reason} is not a tensor or a plain "
            "value, and loading it would run code. Save its state dict alone."
        )
    return {name: type(qualname, (_Shell,), {"__module__": module})}


def _raw(value: Any) -> bytes:
    """Give a string of Python 2 its bytes back."""
    return value.encode("latin1") if isinstance(value, str) else bytes(value)


class _Dtype:
    """Stands for ``numpy.dtype``; only numbers are allowed."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.dtype, self.is_big_endian = np.dtype(_raw(code).decode()), False
        if self.dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"it holds an array of '{self.dtype}', not of numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.is_big_endian = _raw(state[1]) == b">"

    def read(self, raw: Any) -> np.ndarray[Any, Any]:
        """Read numbers, in this machine's order of bytes."""
        stored = self.dtype.newbyteorder(">" if self.is_big_endian else "<")
        return np.frombuffer(_raw(raw), stored).astype(self.dtype)


class _Array:
    """Stands for ``numpy.ndarray``."""

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
    """Knows the names above and no other."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name."""
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
    except Exception as error:  # What an unpickler raises on garbage is anything at all.
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
