"""``slowfast benchmark``: where the time of a training step goes, and what to change."""

from __future__ import annotations

import argparse
import os
import sys

from slowfast import __version__
from slowfast.utils.exit_codes import EXIT_INTERRUPTED, EXIT_USER_ERROR, exit_with, print_error

__all__ = ["main", "parse_arguments"]

_EPILOG = """examples:
  %(prog)s --cfg X.yaml                                           without data: on the demo set
  %(prog)s --cfg X.yaml DATA.PATH_TO_DATA_DIR videos --steps 30 --json before.json
  %(prog)s --cfg X.yaml DATA.PATH_TO_DATA_DIR videos DATA_LOADER.NUM_WORKERS 6
  %(prog)s --cfg X.yaml --fake-data TRAIN.BATCH_SIZE 16           the model alone, without data

Nothing is saved. Times are medians; run it twice to see how much they vary, and with one key
changed at a time. More: docs/benchmark.md.
"""


def parse_arguments(words: list[str], program: str = "slowfast benchmark") -> argparse.Namespace:
    """Parse a command line: ``cfg``, ``overrides``, ``steps``, ``warmup``, ``json``, ..."""
    parser = argparse.ArgumentParser(
        program,
        description="Split a training step into decode, augment, collate, wait, copy, forward, "
        "backward and optimizer, and say what to change.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"slowfast-stica {__version__}")
    parser.add_argument(
        "--cfg", required=True, metavar="X.yaml", help="a path, or the name of a shipped one"
    )
    parser.add_argument(
        "--steps", type=int, default=10, metavar="N", help="steps to measure (default: 10)"
    )
    parser.add_argument(
        "--warmup", type=int, default=2, metavar="N", help="steps before them (default: 2)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        metavar="S",
        help="of measuring single samples, and the loader alone (default: 5 each)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all numbers to a file")
    parser.add_argument(
        "--fake-data", action="store_true", help="noise of the right shapes instead of videos"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY VALUE", help="overrides of the configuration"
    )
    if not words:
        parser.print_help()
        parser.exit(EXIT_USER_ERROR, "\nNothing to do: name a configuration with --cfg\n")
    arguments = parser.parse_intermixed_args(words)
    for name, least in (("steps", 1), ("warmup", 0), ("seconds", 0)):
        if getattr(arguments, name) < least:
            parser.error(f"--{name}: got {getattr(arguments, name)}, expected at least {least}")
    return arguments


def main(words: list[str] | None = None, program: str = "slowfast benchmark") -> int:
    """Run the command.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status: 0; 2 after a user's mistake; 130 or 75 when it was interrupted.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words, program)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, as in run_net
    from slowfast.cli.benchmark_job import run_command
    from slowfast.engine.trainer import TrainingStoppedError

    def run() -> int:
        try:
            return run_command(arguments)
        except TrainingStoppedError:  # its message promises a checkpoint
            return print_error("interrupted", EXIT_INTERRUPTED)

    return exit_with(run)
