"""Reads and writes files of tensors in the safetensors format, without a dependency.

A file is the length of the header (8 bytes, little-endian), the header (JSON: name -> dtype, shape
and data_offsets; ``__metadata__``: text -> text) and the data of the tensors, without gaps. Source:
github.com/huggingface/safetensors, README.md. Nothing in such a file is code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from slowfast.config.problems import UserError
from slowfast.utils.io import atomic_path

__all__ = ["is_safetensors", "read_safetensors", "write_safetensors"]

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_METADATA = "__metadata__"
_MAX_HEADER = 100_000_000
_ALIGNMENT = 8


class _Entry(NamedTuple):
    """A tensor of the header: dtype, shape and where its data is, in bytes."""

    name: str
    dtype: torch.dtype
    shape: list[int]
    begin: int
    end: int


def is_safetensors(path: Path, start: bytes) -> bool:
    """Return whether a file is of safetensors, by its name or its first bytes."""
    return path.suffix == ".safetensors" or start[8:10] in (b'{"', b"{}")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file, to the CPU.

    Returns:
        Name -> tensor, in the order of the header.

    Raises:
        UserError: If the file is damaged, or has a dtype that is not supported.
    """
    try:
        with path.open("rb") as file:
            return _read_all(file, path.stat().st_size)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged or not a safetensors file: it has {error}. Download or export it "
            "again."
        ) from error


def _read_all(file: BinaryIO, size: int) -> dict[str, Tensor]:
    """Read a file of ``size`` bytes; a ValueError says what is wrong with it."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _MAX_HEADER):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    header = json.loads(file.read(length), object_pairs_hook=_without_duplicates)
    if not isinstance(header, dict):
        raise ValueError("a header that is not an object")
    entries = [_entry(*item) for item in header.items() if item[0] != _METADATA]
    _check_coverage(entries, size - 8 - length)
    return {entry.name: _read(file, 8 + length, entry) for entry in entries}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found


def _entry(name: str, fields: Any) -> _Entry:
    """Check the header's fields of a tensor."""
    if not isinstance(fields, dict) or {"dtype", "shape", "data_offsets"} - set(fields):
        raise ValueError(f"no dtype, shape and data_offsets for '{name}'")
    if fields["dtype"] not in _DTYPES:
        raise ValueError(f"the dtype {fields['dtype']} for '{name}', which is not supported")
    dtype, shape, offsets = _DTYPES[fields["dtype"]], fields["shape"], fields["data_offsets"]
    if not (_are_counts(shape) and _are_counts(offsets) and len(offsets) == 2):
        raise ValueError(f"an invalid shape or data_offsets for '{name}'")
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{end - begin} bytes for '{name}' of {fields['dtype']} {shape}")
    return _Entry(name, dtype, shape, begin, end)


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_coverage(entries: list[_Entry], size: int) -> None:
    """Check that the tensors cover the data once, without gaps."""
    spans = sorted((entry.begin, entry.end) for entry in entries)
    edges = [(0, 0), *spans, (size, size)]
    if any(before[1] != after[0] for before, after in pairwise(edges)):
        raise ValueError(f"{size} bytes of data, which are not those of its tensors")


def _read(file: BinaryIO, start: int, entry: _Entry) -> Tensor:
    flat = torch.empty(math.prod(entry.shape), dtype=entry.dtype)
    if len(flat):
        file.seek(start + entry.begin)
        file.readinto(flat.view(torch.uint8).numpy())  # type: ignore[attr-defined]
    return flat.reshape(entry.shape)


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors atomically; the bytes depend on the arguments only.

    Args:
        path: The file.
        tensors: Name -> tensor, on any device. Tensors that share memory are written twice.
        metadata: Text to store with them.

    Raises:
        UserError: If a dtype is not supported.
    """
    header: dict[str, Any] = {_METADATA: {"format": "pt", **(metadata or {})}}
    # Large elements first, as other writers do, so that all data is aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    end = 0
    for name in names:
        value = tensors[name]
        if value.dtype not in _NAMES:
            raise UserError(f"{name}: {value.dtype} cannot be stored in {path}.")
        begin, end = end, end + value.numel() * value.element_size()
        fields = {"dtype": _NAMES[value.dtype], "shape": list(value.shape)}
        header[name] = {**fields, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data if len(flat) else b"")
