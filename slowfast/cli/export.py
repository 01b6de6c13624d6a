"""``slowfast export``: a frozen model as a program for other runtimes, or in Hugging Face's layout.

The work is in ``slowfast.inference``, which is imported after parsing to keep --help fast.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast.utils.exit_codes import EXIT_FAILED, exit_with

if TYPE_CHECKING:
    from slowfast.inference.export import Difference

__all__ = ["main", "parse_arguments"]

_FORMATS = {"torch_export": ".pt2", "onnx": ".onnx", "hf": ""}
_CARD = ("license", "data", "attribution", "note", "limits")
_EPILOG = """examples:
  %(prog)s output/mine --format torch_export -o model.pt2
  %(prog)s output/run --format onnx -o model.onnx --inputs normalized
  %(prog)s output/run --format hf -o my-model --license Apache-2.0 --data "Kinetics-400"
  %(prog)s zoo://torchvision_r2plus1d_18 --format hf -o r2plus1d --half

torch_export and onnx write a program that maps a batch of clips of any size to the features of
slowfast.load(...).embed; it is compared with the model on two kinds of inputs and two batch sizes,
and kept if no value differs by more than 1e-4 of the largest. A .json next to it has names,
shapes, normalization and classes. hf writes config.json, model.safetensors and a model card.
More: docs/export.md.
"""


def parse_arguments(words: list[str], program: str = "slowfast export") -> argparse.Namespace:
    """Parse a command line.

    Returns:
        ``source``, ``format``, ``out`` (a path), ``cfg``, ``inputs``, ``half``, the texts of the
        card ``license``, ``data``, ``attribution``, ``note`` and ``limits`` (None where not given),
        and ``overrides``.
    """
    parser = argparse.ArgumentParser(
        program,
        description="Export a frozen model: torch.export, ONNX, or Hugging Face's layout.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="zoo://NAME, hf://ORG/NAME, the OUTPUT_DIR of a run, a checkpoint, or a folder of "
        "--format hf",
    )
    parser.add_argument("--format", required=True, choices=_FORMATS, help="what to write")
    parser.add_argument(
        "-o", "--out", required=True, type=Path, metavar="PATH", help="the file, or folder for hf"
    )
    parser.add_argument(
        "--cfg", metavar="X.yaml", help="configuration of a checkpoint of another framework"
    )
    parser.add_argument(
        "--inputs",
        choices=("raw", "normalized"),
        help="of torch_export and onnx: raw (default): uint8 frames and waveforms, the "
        "preprocessing is in the program; normalized: float frames and log-mel spectrograms",
    )
    card = parser.add_argument_group("hf")
    card.add_argument("--half", action="store_true", help="round the weights to float16")
    card.add_argument("--license", metavar="TEXT", help="license of the weights, such as MIT")
    card.add_argument("--data", metavar="TEXT", help="training data")
    card.add_argument("--attribution", metavar="TEXT", help="attribution of the data")
    card.add_argument("--note", metavar="TEXT", help="note for users")
    card.add_argument("--limits", metavar="TEXT", help="what the weights are not for")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="overrides")
    arguments = parser.parse_intermixed_args(words)
    suffix, is_folder = _FORMATS[arguments.format], arguments.format == "hf"
    of_card = [f"--{name}" for name in ("half", *_CARD) if getattr(arguments, name)]
    if of_card and not is_folder:
        parser.error(f"{of_card[0]}: only for --format hf")
    if is_folder and arguments.inputs:
        parser.error("--inputs: only for --format torch_export and onnx")
    if is_folder and arguments.out.is_file():
        parser.error(f"--out: {arguments.out} is a file; --format hf writes a folder")
    if not is_folder and not arguments.out.suffix:
        arguments.out = arguments.out.with_suffix(suffix)
    if not is_folder and (arguments.out.suffix != suffix or arguments.out.is_dir()):
        parser.error(f"--out: got {arguments.out}; expected a file that ends in {suffix}")
    return arguments


def main(words: list[str] | None = None, program: str = "slowfast export") -> int:
    """Run the command.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status: 0; 1 if the exported program differs from the model; 2 after a user's
        mistake, with one message and no traceback; 130 or 75 if interrupted.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words, program)
    return exit_with(lambda: _export(arguments))


def _export(arguments: argparse.Namespace) -> int:
    from slowfast.inference.export import TOLERANCE, DifferentOutputError, export_program
    from slowfast.inference.load import load
    from slowfast.inference.pretrained import CARD_NAME, facts_of, save_pretrained

    model = load(arguments.source, cfg=arguments.cfg, overrides=arguments.overrides, device="cpu")
    _say(f"exporting {model}")
    if arguments.format == "hf":
        given = {name: getattr(arguments, name) for name in _CARD if getattr(arguments, name)}
        facts = facts_of(arguments.source)._replace(**given)
        files = save_pretrained(model, arguments.out, facts, half=arguments.half)
        _say_written(files)
        if arguments.out / CARD_NAME not in files:
            _say(f"kept {arguments.out / CARD_NAME}; delete it for a new model card")
        elif not facts.license:
            _say("the license is not known: name it with --license before you publish the folder")
        _say(f"load it:     slowfast.load({str(arguments.out)!r})")
        _say(f"publish it:  hf upload ORG/NAME {arguments.out}")
        return 0
    try:
        files, differences = export_program(
            model, arguments.out, format=arguments.format, inputs=arguments.inputs or "raw"
        )
    except DifferentOutputError as error:
        _say_differences(error.differences)
        sys.stderr.write(
            f"error: the program differs from the model by more than {TOLERANCE:g} of the largest "
            f"value; {arguments.out} was not written.\n"
        )
        return EXIT_FAILED
    _say_differences(differences)
    _say_written(files)
    return 0


def _say_differences(differences: Sequence[Difference]) -> None:
    _say("largest difference from the model, relative to the largest value:")
    for found in differences:
        rows = f"{found.inputs}, {found.batch_size} clip{'s'[: found.batch_size > 1]}"
        _say(f"  {rows.ljust(16)}  {found.output.ljust(16)}  {found.relative:.1e}")


def _say_written(files: list[Path]) -> None:
    for file in files:
        size = file.stat().st_size / 1e6
        _say(f"wrote {file}" + (f", {size:.2f} MB" if size >= 0.1 else ""))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
