"""Exports frozen models as programs of torch.export and ONNX, and compares them with the model.

A file is written next to its final place and compared with the model first, so that a file that
exists has passed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from slowfast.config import UserError
from slowfast.inference.exported import EncoderModule, describe, make_inputs, wrap_encoder
from slowfast.inference.frozen import FrozenModel
from slowfast.utils.io import write_json

__all__ = [
    "METADATA_KEY",
    "METADATA_NAME",
    "PROGRAM_FORMATS",
    "TOLERANCE",
    "Difference",
    "DifferentOutputError",
    "export_program",
]

TOLERANCE = 1e-4
"""Largest difference, relative to the largest value of an output."""
METADATA_NAME, METADATA_KEY = "description.json", "slowfast"
"""Name of the metadata in a .pt2 file, and their key in ONNX's ``metadata_props``."""

_BATCH_SIZES = (1, 3)
_EXAMPLE_ROWS = 2
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_Run = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]


class Difference(NamedTuple):
    """A comparison with the model.

    Attributes:
        inputs: "noise" or "pattern".
        batch_size: Rows.
        output: Name of the output.
        relative: Largest absolute difference over the largest absolute value.
    """

    inputs: str
    batch_size: int
    output: str
    relative: float


class DifferentOutputError(Exception):
    """The exported program differs from the model, so it was not kept.

    Attributes:
        differences: All comparisons.
    """

    def __init__(self, differences: list[Difference]) -> None:
        super().__init__("the exported program differs from the model")
        self.differences = differences


class _Format(NamedTuple):
    """A format of programs: suffix, ``write(program, outputs, metadata, path)``, ``open(path)``.

    ``for_onnx``: as for ``wrap_encoder``.
    """

    suffix: str
    for_onnx: bool
    write: Callable[[ExportedProgram, list[str], str, Path], None]
    open: Callable[[Path], _Run]


def export_program(
    model: FrozenModel, path: str | Path, *, format: str, inputs: str = "raw"
) -> tuple[list[Path], list[Difference]]:
    """Export a model, and compare what was written with it.

    Args:
        model: On the CPU. It is exported in float32.
        path: The file to write, with the suffix of the format. The metadata are also written next
            to it, with the suffix ``.json``.
        format: "torch_export" or "onnx".
        inputs: "raw": uint8 frames and waveforms; the preprocessing is part of the program.
            "normalized": float frames and log-mel spectrograms.

    Returns:
        The files, and the differences from the model, for two kinds of inputs and two batch sizes.

    Raises:
        DifferentOutputError: If a difference is more than ``TOLERANCE``; nothing was written.
        UserError: If packages are missing, the path has another suffix, or the model cannot be
            exported.
    """
    kind, path = PROGRAM_FORMATS[format], Path(path)
    if path.suffix != kind.suffix:
        raise UserError(f"{path}: the name of a file of {format} ends in {kind.suffix}.")
    if format == "onnx":
        _require_packages()
    if model.device.type != "cpu":
        raise UserError(f"{model.name} is on {model.device}: load it with device='cpu'.")
    module = wrap_encoder(model, inputs)
    example = make_inputs(model, inputs, _EXAMPLE_ROWS, seed=0, is_noise=True)
    with torch.no_grad(), _quiet():
        outputs = module(**example)
        metadata = {"format": format, **describe(model, inputs, example, outputs)}
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            written = Path(folder) / path.name
            exported = wrap_encoder(model, inputs, for_onnx=kind.for_onnx)
            program = _trace(exported, example, model.name)
            kind.write(program, list(outputs), json.dumps(metadata, indent=2), written)
            differences = _compare(model, inputs, module, kind.open(written))
            if not all(difference.relative <= TOLERANCE for difference in differences):
                raise DifferentOutputError(differences)
            files = [part.replace(path.parent / part.name) for part in Path(folder).iterdir()]
    largest = {d.output: 0.0 for d in differences}
    for difference in differences:
        largest[difference.output] = max(largest[difference.output], difference.relative)
    check = {"tolerance": TOLERANCE, "batch_sizes": _BATCH_SIZES, "largest_difference": largest}
    write_json(path.with_suffix(".json"), {**metadata, "check": check})
    return [*sorted(files), path.with_suffix(".json")], differences


def _require_packages() -> None:
    missing = [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format onnx needs {', '.join(missing)}: pip install 'slowfast-stica[onnx]'"
        )


def _trace(module: EncoderModule, example: dict[str, Tensor], name: str) -> ExportedProgram:
    """Export with any number of rows."""
    shapes = {key: {0: Dim("batch", min=1)} for key in example}
    try:
        return torch.export.export(module, (), example, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # torch.export raises many kinds
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"{name} cannot be exported: {first} Its forward pass must not depend on values, and "
            "take any number of rows."
        ) from error


def _compare(model: FrozenModel, inputs: str, module: EncoderModule, run: _Run) -> list[Difference]:
    found = []
    for source in ("noise", "pattern"):
        for rows in _BATCH_SIZES:
            batch = make_inputs(model, inputs, rows, seed=rows, is_noise=source == "noise")
            expected, got = module(**batch), run(batch)
            found += [
                Difference(source, rows, name, _relative(got[name], value))
                for name, value in expected.items()
            ]
    return found


def _relative(got: Tensor, expected: Tensor) -> float:
    """Return the largest difference over the largest value; infinity for another shape."""
    if got.shape != expected.shape:
        return float("inf")
    difference = (got.double() - expected.double()).abs().max().item()
    return difference / (expected.double().abs().max().item() or 1.0)


def _write_torch(program: ExportedProgram, outputs: list[str], metadata: str, path: Path) -> None:
    torch.export.save(program, path, extra_files={METADATA_NAME: metadata})


def _open_torch(path: Path) -> _Run:
    program = torch.export.load(path).module()
    return lambda inputs: program(**inputs)


def _write_onnx(program: ExportedProgram, outputs: list[str], metadata: str, path: Path) -> None:
    converted = torch.onnx.export(program, dynamo=True, output_names=outputs, verbose=False)
    if converted is None:
        raise UserError("torch.onnx.export returned no program.")
    converted.model.metadata_props[METADATA_KEY] = metadata
    _name_rows(converted.model.graph)
    converted.save(path)


def _name_rows(graph: Any) -> None:
    """Call the number of rows "batch", whatever torch.export called it."""
    name = str(graph.inputs[0].shape[0])
    inner = [value for node in graph for value in node.outputs]
    for value in [*graph.inputs, *graph.outputs, *inner]:
        for axis, size in enumerate(value.shape or ()):
            if not isinstance(size, int) and str(size) == name:
                value.shape[axis] = "batch"


def _open_onnx(path: Path) -> _Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        arrays: dict[str, Any] = {name: value.numpy() for name, value in inputs.items()}
        values = session.run(None, arrays)
        return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}

    return run


PROGRAM_FORMATS = {
    "torch_export": _Format(".pt2", False, _write_torch, _open_torch),
    "onnx": _Format(".onnx", True, _write_onnx, _open_onnx),
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings of the exporters about packages and operators that are not used."""
    source = logging.getLogger("torch.onnx")
    level = source.level
    source.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        source.setLevel(level)
