"""``slowfast eval``: what the frozen features of any weights are worth, on any videos."""

from __future__ import annotations

import argparse
import os
import sys

from slowfast import __version__
from slowfast.utils.exit_codes import EXIT_USER_ERROR, exit_with

__all__ = ["main", "parse_arguments"]

_EPILOG = """examples:
  %(prog)s output/mine                                   on the data of the run
  %(prog)s output/mine --data videos                     class folders, csv files, or a plain folder
  %(prog)s zoo://NAME --data videos --protocols knn linear_probe
  %(prog)s zoo://NAME --cfg EVAL.yaml DATA.PATH_TO_DATA_DIR /data/ucf101
  %(prog)s --cfg EVAL.yaml TEST.CHECKPOINT_FILE_PATH output/mine DATA.FOLD 1

Without labels, video is evaluated against audio (retrieval and synchronization). Metrics:
docs/results.md.
"""

_WEIGHTS = "TEST.CHECKPOINT_FILE_PATH"


def parse_arguments(words: list[str], program: str = "slowfast eval") -> argparse.Namespace:
    """Parse a command line: ``source``, ``data``, ``protocols``, ``cfg``, ``out``, overrides."""
    parser = argparse.ArgumentParser(
        program,
        description="Evaluate frozen features: retrieval, nearest neighbors, linear probe, "
        "retrieval between video and audio.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"slowfast-stica {__version__}")
    parser.add_argument(
        "source",
        nargs="?",
        metavar="WEIGHTS",
        help=f"a run's folder, a checkpoint, zoo://NAME (or override {_WEIGHTS})",
    )
    parser.add_argument("--data", metavar="FOLDER", help="videos (default: those of the weights)")
    parser.add_argument(
        "--protocols", nargs="+", metavar="NAME", help="TEST.PROTOCOLS (default: by the labels)"
    )
    parser.add_argument("--cfg", metavar="X.yaml", help="configuration of weights without one")
    parser.add_argument("-o", "--out", metavar="DIR", help="OUTPUT_DIR (default: RUN/eval)")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="overrides")
    if not words:
        parser.print_help()
        parser.exit(EXIT_USER_ERROR, "\nNothing to do: name weights\n")
    arguments = parser.parse_intermixed_args(words)
    given = [word for word in (arguments.source, *arguments.overrides) if word is not None]
    if len(given) % 2 == 0:  # KEY VALUE pairs alone, as in PySlowFast: the weights are one of them
        pairs = dict(zip(given[::2], given[1::2], strict=True))
        arguments.source = pairs.pop(_WEIGHTS, None)
        arguments.overrides = [word for pair in pairs.items() for word in pair]
    if arguments.source is None:
        parser.error(
            f"name weights (a run's folder, a checkpoint, zoo://NAME) before the KEY VALUE pairs, "
            f"or {_WEIGHTS} W among them"
        )
    return arguments


def main(words: list[str] | None = None, program: str = "slowfast eval") -> int:
    """Run the command.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status: 0; 2 after a user's mistake.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words, program)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, as in run_net
    from slowfast.cli.eval_job import run_command

    return exit_with(lambda: run_command(arguments))
