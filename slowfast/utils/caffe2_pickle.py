"""Caffe2's checkpoints: pickles of numpy arrays, written by Python 2, read without numpy's hooks.

Unpickling normally calls whatever the file names. Here nothing of the file is imported or called:
the few names that such a file needs stand for functions of this module.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slowfast.config import UserError

__all__ = ["load_caffe2_pickle"]

_NUMERIC_KINDS = "biuf"


class _Dtype:
    """A numpy data type, as the pickle describes it."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code, self.order = _text(code), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = _text(state[1])

    def resolve(self) -> np.dtype[Any]:
        """Return the data type; only numbers are allowed."""
        dtype = np.dtype(self.code).newbyteorder(">" if self.order == ">" else "<")
        if dtype.kind not in _NUMERIC_KINDS:
            raise pickle.UnpicklingError(f"it holds an array of '{self.code}', not of numbers")
        return dtype


class _Array:
    """A numpy array, as the pickle describes it."""

    def __init__(self, *_: Any) -> None:
        self.value = np.zeros(0, np.float32)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, shape, dtype, is_fortran, raw = state
        flat = np.frombuffer(_raw(raw), dtype.resolve())
        self.value = flat.reshape(shape, order="F" if is_fortran else "C")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _raw(value: Any) -> bytes:
    """Give a Python 2 string its bytes back."""
    return value.encode("latin1") if isinstance(value, str) else bytes(value)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, raw: Any) -> float:
    return np.frombuffer(_raw(raw), dtype.resolve())[0].item()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stand for ``_codecs.encode``, which Python 3 writes for bytes in old protocols."""
    return text.encode("latin1" if encoding == "latin1" else "utf-8")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
    **{
        (f"numpy.{core}.multiarray", name): stand_in
        for core in ("core", "_core")
        for name, stand_in in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
}


class _Unpickler(pickle.Unpickler):
    """Knows the names above and no other."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not a numpy array")
        return _ALLOWED[module, name]


def load_caffe2_pickle(path: Path) -> dict[str, Any]:
    """Read a pickle of numpy arrays; nothing in it is run.

    Args:
        path: A ``.pkl`` file of Caffe2's zoo: ``{"blobs": {name: array}}``, or ``{name: array}``.

    Returns:
        ``{"blobs": {name: tensor}}``; numbers among the blobs become scalars.

    Raises:
        UserError: If the file is damaged or holds anything but arrays, numbers and strings.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} cannot be loaded safely as a Caffe2 checkpoint: {error}."
        ) from error
    except Exception as error:  # What an unpickler raises on garbage is anything at all.
        raise UserError(f"{path} is damaged or not a Caffe2 checkpoint: {error}") from error
    blobs = content.get("blobs", content) if isinstance(content, dict) else None
    if not isinstance(blobs, dict):
        raise UserError(f"{path} is a pickle, but not of Caffe2's blobs: it has no dict of arrays.")
    tensors = {}
    for name, blob in blobs.items():
        if isinstance(blob, _Array):
            native = blob.value.astype(blob.value.dtype.newbyteorder("="))
            tensors[str(name)] = torch.from_numpy(np.ascontiguousarray(native))
        elif isinstance(blob, (int, float)):
            tensors[str(name)] = torch.tensor(blob)
    return {"blobs": tensors}
