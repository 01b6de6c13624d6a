"""``prepare_data``: check, re-encode and index a folder of videos. The command line alone.

What the commands do is in ``prepare_job``, which is imported when the words are known to be good:
--help takes no second.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from slowfast import __version__
from slowfast.utils.exit_codes import EXIT_USER_ERROR, exit_with

__all__ = ["LEVELS", "PRESETS", "main", "parse_arguments"]


LEVELS = ("headers", "sample", "full")
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")

_DESCRIPTION = "Check, re-encode and index a folder of videos or audio files before training."
_EPILOG = """examples:
  %(prog)s check videos                          what is in there, and what is wrong with it
  %(prog)s encode videos --out small             copies that load several times as fast
  %(prog)s index small --out lists               train.csv, val.csv, test.csv, classes.txt
  %(prog)s all videos --out prepared             all three in order

A command that was stopped goes on where it was when it is given again. Originals are only read.
"""


def parse_arguments(words: list[str], program: str = "prepare_data.py") -> argparse.Namespace:
    """Parse a command line.

    Args:
        words: Without the program's name.
        program: Its name, for the help.

    Returns:
        The command, ``folder``, ``out``, and its options.
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
        ("check", "inspect every file; write report.jsonl, report.csv, summary.txt", (_check,)),
        ("encode", "write small copies with many keyframes (H.264, AAC, mp4)", (_encode,)),
        ("index", "write train.csv, val.csv, test.csv and classes.txt", (_check, _index)),
        ("all", "check, then encode what is usable, then index the copies",
         (_check, _encode, _index)),
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
        _processes(command)
        for add in groups:
            add(command)
    if not words:
        parser.print_help()
        parser.exit(EXIT_USER_ERROR, "\nNothing to do: name a command, e.g. check videos\n")
    arguments = parser.parse_args(words)
    if arguments.command is None:
        parser.error("name a command: check, encode, index or all")
    return arguments


def _processes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jobs",
        type=_number(int, 1),
        default=argparse.SUPPRESS,
        metavar="N",
        help="worker processes (default: one per core)",
    )
    parser.add_argument(
        "--timeout",
        type=_number(float, 0),
        default=60.0,
        metavar="SEC",
        help="give a file up that makes no progress for so long; 0: never",
    )


def _check(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("checking")
    group.add_argument(
        "--level",
        choices=LEVELS,
        default="sample",
        help="headers: what the files declare; sample: also a few frames and the audio; full: "
        "decode everything",
    )
    group.add_argument(
        "--again", action="store_true", help="inspect files that an earlier run has inspected, too"
    )


def _encode(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("encoding")
    group.add_argument(
        "--short-side",
        type=_number(int, 16, even=True),
        default=160,
        metavar="PIXELS",
        help="of the copies' picture, even; smaller originals keep their size",
    )
    group.add_argument(
        "--gop", type=_number(int, 1), default=30, metavar="FRAMES", help="between keyframes"
    )
    group.add_argument(
        "--crf", type=_number(int, 0, 51), default=23, help="quality, 0 (best) to 51 (worst)"
    )
    group.add_argument(
        "--preset", choices=PRESETS, default="fast", help="x264's; slower is smaller"
    )
    group.add_argument(
        "--audio-rate",
        type=_number(int, 8000, 96000),
        default=24000,
        metavar="HZ",
        help="sample rate of the audio, as AUDIO.SAMPLE_RATE; it is mixed to one channel",
    )
    group.add_argument(
        "--audio-kbps", type=_number(int, 8, 512), default=64, help="bit rate of the audio"
    )


def _index(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("indexing")
    for split in ("val", "test"):
        group.add_argument(
            f"--{split}-fraction",
            type=_number(float, 0, 1),
            default=0.1,
            metavar="SHARE",
            help=f"share of each class for the {split} split, where folders do not say it",
        )
    group.add_argument("--seed", type=_number(int, 0), default=0, help="which files these are")
    group.add_argument(
        "--require-sound", action="store_true", help="leave out files without audio, or silent ones"
    )
    group.add_argument(
        "--min-sec",
        type=_number(float, 0),
        default=0.0,
        metavar="SEC",
        help="leave out shorter files",
    )
    group.add_argument(
        "--drop-duplicates", action="store_true", help="keep the first of files that are the same"
    )
    group.add_argument(
        "--no-labels", action="store_true", help="do not take names of folders for classes"
    )
    group.add_argument(
        "--relative", action="store_true", help="write paths relative to FOLDER (DATA.PATH_PREFIX)"
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace csv files that this command did not write"
    )


def _number(
    kind: type[int] | type[float], low: float, high: float | None = None, *, even: bool = False
) -> Callable[[str], float]:
    """Make a type for argparse: a number within bounds."""
    expected = f"{'a whole' if kind is int else 'a'} number from {low:g} on"
    if high is not None:
        expected = f"{'a whole' if kind is int else 'a'} number from {low:g} to {high:g}"
    expected += ", even" if even else ""

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


def main(words: list[str] | None = None) -> int:
    """Run a command.

    Args:
        words: The command line without the program's name; None: this process's.

    Returns:
        The exit status: 0, also where files are bad; 1 when no file at all could be encoded; 2
        after a user's mistake, with one message and no traceback; 130 when interrupted.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words)
    # Before numpy is imported, here and in the workers: they share the cores already.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from slowfast.cli.prepare_job import run_command

    return exit_with(
        lambda: run_command(arguments),
        interrupted="interrupted; the same command goes on from here",
    )


if __name__ == "__main__":
    sys.exit(main())
