"""The command line of ``prepare_data``: check, re-encode and index a folder of videos.

The commands are implemented in ``prepare_job``, which is imported only after the arguments are
parsed, so that --help is fast.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from slowfast import __version__
from slowfast.cli.options import OldName
from slowfast.datasets.inspect import LEVELS
from slowfast.datasets.prepare.settings import (
    PRESETS,
    CheckSettings,
    EncodeSettings,
    IndexSettings,
)
from slowfast.utils.exit_codes import EXIT_USER_ERROR, exit_with

__all__ = ["add_check_options", "add_process_options", "main", "parse_arguments", "run_parsed"]

_CHECK, _ENCODE, _INDEX = CheckSettings(), EncodeSettings(), IndexSettings()
_DESCRIPTION = "Check, re-encode and index a folder of videos or audio files before training."
_EPILOG = """examples:
  %(prog)s check videos                          what is in there, and what is wrong with it
  %(prog)s encode videos --out small             copies that load several times as fast
  %(prog)s index small --out lists               train.csv, val.csv, test.csv, classes.txt
  %(prog)s all videos --out prepared             all three in order
  torchrun --nproc-per-node 4 -m slowfast prepare all videos --out prepared

An interrupted command resumes where it stopped when it is run again. Originals are only read.
More: DATASET.md.
"""


def parse_arguments(words: list[str], program: str = "prepare_data.py") -> argparse.Namespace:
    """Parse a command line.

    Returns:
        The command, ``folder``, ``out`` where it was given, and options named as in ``settings``.
    """
    parser = argparse.ArgumentParser(
        program,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"slowfast-stica {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    options: tuple[tuple[str, str, tuple[Callable[[argparse.ArgumentParser], None], ...]], ...] = (
        ("check", "inspect every file; write check.html, report.csv, quarantine.csv, ...",
         (add_check_options,)),
        ("encode", "write small copies with many keyframes (H.264, AAC, mp4)", (_add_encode,)),
        ("index", "write train.csv, val.csv, test.csv and classes.txt",
         (add_check_options, _add_index)),
        ("all", "check, then encode what is usable, then index the copies",
         (add_check_options, _add_encode, _add_index)),
    )  # fmt: skip
    for name, text, groups in options:
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        command.add_argument("folder", type=Path, metavar="FOLDER", help="where the originals are")
        out_help = "where to write; created"
        if name == "check":
            out_help += " (default: FOLDER_report in the working folder)"
        command.add_argument(
            "--out",
            type=Path,
            required=name != "check",
            metavar="DIR",
            default=argparse.SUPPRESS,
            help=out_help,
        )
        add_process_options(command)
        for add in groups:
            add(command)
    if not words:
        parser.print_help()
        parser.exit(EXIT_USER_ERROR, "\nNothing to do: name a command, e.g. check videos\n")
    arguments = parser.parse_args(words)
    if arguments.command is None:
        parser.error("name a command: check, encode, index or all")
    return arguments


def add_process_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of worker processes: ``num_processes`` and ``timeout_sec``."""
    parser.add_argument(
        "--jobs",
        dest="num_processes",
        type=_number(int, 1),
        default=argparse.SUPPRESS,
        metavar="N",
        help="worker processes (default: one per core)",
    )
    parser.add_argument(
        "--timeout",
        dest="timeout_sec",
        type=_number(float, 0),
        default=_CHECK.timeout_sec,
        metavar="SEC",
        help="give a file up that makes no progress for so long; 0: never (default: %(default)g)",
    )


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of checking: ``level`` and ``again``."""
    add = parser.add_argument_group("checking").add_argument
    add(
        "--level",
        choices=LEVELS,
        default=_CHECK.level,
        help="headers: what the files declare; sample: also a few frames and the audio; full: "
        "decode everything (default: %(default)s)",
    )
    add("--again", action="store_true", help="inspect files that an earlier run has inspected, too")


def _add_encode(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("encoding").add_argument
    add(
        "--short-side",
        type=_number(int, 16, even=True),
        default=_ENCODE.short_side,
        metavar="PIXELS",
        help="of the copies' frames, even; smaller originals keep their size",
    )
    frames, quality = _number(int, 1), _number(int, 0, 51)
    add("--gop", type=frames, default=_ENCODE.gop, metavar="FRAMES", help="between keyframes")
    add("--crf", type=quality, default=_ENCODE.crf, help="quality, 0 (best) to 51 (worst)")
    add("--preset", choices=PRESETS, default=_ENCODE.preset, help="x264's; slower is smaller")
    add(
        "--audio-rate",
        dest="audio_rate_hz",
        type=_number(int, 8000, 96000),
        default=_ENCODE.audio_rate_hz,
        metavar="HZ",
        help="sample rate of the audio, as AUDIO.SAMPLE_RATE; it is mixed to one channel",
    )
    kbps = _number(int, 8, 512)
    add("--audio-kbps", type=kbps, default=_ENCODE.audio_kbps, help="bit rate of the audio")


def _add_index(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("indexing").add_argument
    for split in ("val", "test"):
        add(
            f"--{split}-fraction",
            type=_number(float, 0, 1),
            default=getattr(_INDEX, f"{split}_fraction"),
            metavar="SHARE",
            help=f"share of each class for the {split} split, where folders do not say it",
        )
    add("--seed", type=_number(int, 0), default=_INDEX.seed, help="which files these are")
    add(
        "--min-sec",
        type=_number(float, 0),
        default=_INDEX.min_sec,
        metavar="SEC",
        help="leave out shorter files",
    )
    for switch, text in (
        ("--require-audio", "leave out files without audio, or silent ones"),
        ("--drop-duplicates", "keep the first of files that are the same"),
        ("--no-labels", "do not take names of folders for classes"),
        ("--relative", "write paths relative to FOLDER (DATA.PATH_PREFIX)"),
        ("--overwrite", "replace csv files that this command did not write"),
    ):
        option = add(switch, action="store_true", help=text)
        if switch == "--require-audio":
            add("--require-sound", action=OldName, new=option)


def _number(
    kind: type[int] | type[float], low: float, high: float | None = None, *, even: bool = False
) -> Callable[[str], float]:
    """Make a type for argparse: a number within bounds."""
    bounds = f"from {low:g} on" if high is None else f"from {low:g} to {high:g}"
    even_only = ", even" if even else ""
    expected = f"{'a whole' if kind is int else 'a'} number {bounds}{even_only}"

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        is_good = low <= value and (high is None or value <= high) and not (even and value % 2)
        if not is_good:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected {expected}")
        return value

    return convert


def main(words: list[str] | None = None, program: str = "prepare_data.py") -> int:
    """Run a command.

    Args:
        words: The command line without the program's name; None: this process's.
        program: The name of the program in messages.

    Returns:
        The exit status: 0, also where files are bad; 1 when no file at all could be encoded; 2
        after a user's mistake, with one message and no traceback; 130 or 75 when interrupted.
    """
    return run_parsed(parse_arguments(sys.argv[1:] if words is None else words, program))


def run_parsed(arguments: argparse.Namespace) -> int:
    """Run a parsed command.

    Args:
        arguments: From ``parse_arguments``.

    Returns:
        The exit status, as ``main``.
    """
    # Before numpy is imported, here and in the workers: they share the cores already.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from slowfast.cli.prepare_job import run_command

    return exit_with(
        lambda: run_command(arguments),
        interrupted="interrupted; run the same command again to resume",
    )
