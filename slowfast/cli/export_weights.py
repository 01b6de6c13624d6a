"""``export_weights``: make small weights fit to publish, and check them. The command line alone.

What it does is in ``export_job``, which is imported when the words are known to be good: --help
takes no second.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from slowfast import __version__
from slowfast.utils.exit_codes import EXIT_USER_ERROR, exit_with

__all__ = ["main", "parse_arguments"]


_EPILOG = """examples, in this order, NAME being a folder's name:
  %(prog)s --checkpoint output/run --out projects/P/weights/NAME \\
      --data "what it was trained on" --licence Apache-2.0 \\
      TEST.PROTOCOLS "['class_retrieval', 'knn']"
  python tools/run_net.py --cfg projects/P/weights/NAME/evaluate.yaml
  %(prog)s --results output/NAME --out projects/P/weights/NAME
  %(prog)s --verify NAME

The weights are rounded to float16 first and measured then: --results refuses what was measured of
others. KEY VALUE after --checkpoint go into evaluate.yaml, after --verify they are used once
(DATA.PATH_TO_DATA_DIR).
"""


def parse_arguments(words: list[str], program: str = "export_weights.py") -> argparse.Namespace:
    """Parse a command line.

    Args:
        words: Without the program's name.
        program: Its name, for the help.

    Returns:
        ``checkpoint``, ``results`` and ``out`` (paths or None), ``max_mb``, the facts ``data``,
        ``licence``, ``attribution``, ``note``, ``metrics``, ``commands`` (None where not given),
        ``verify``, ``tolerance`` and ``overrides``.
    """
    parser = argparse.ArgumentParser(
        program,
        description="Publish small weights with a project: export, keep their results, verify.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"slowfast-stica {__version__}")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="RUN", help="OUTPUT_DIR of a training, or a .pyth of it"
    )
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="OUTPUT_DIR of evaluating the exported weights"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the weights' folder; its name is their name"
    )
    parser.add_argument(
        "--max-mb",
        type=float,
        default=6.0,
        metavar="MB",
        help="of all weights beside each other, in 10^6 bytes (default: 6)",
    )
    facts = parser.add_argument_group("facts, kept in row.yaml until they are given again")
    facts.add_argument("--data", metavar="TEXT", help="what they were trained on (needed once)")
    facts.add_argument("--licence", metavar="TEXT", help="of the weights (needed once)")
    facts.add_argument("--attribution", metavar="TEXT", help="who is to be named for the data")
    facts.add_argument("--note", metavar="TEXT", help="what a user must know")
    facts.add_argument(
        "--metric", dest="metrics", action="append", metavar="NAME", help="a headline; repeatable"
    )
    facts.add_argument(
        "--command",
        dest="commands",
        action="append",
        metavar="LINE",
        help="a command line that made them; repeatable",
    )
    check = parser.add_argument_group("checking")
    check.add_argument("--verify", metavar="NAME", help="evaluate zoo://NAME, compare its results")
    check.add_argument(
        "--tolerance",
        type=int,
        default=0,
        metavar="CLIPS",
        help="differences to allow, in clips of the test split (default: 0; another kind of "
        "processor may need 1)",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="overrides")
    if not words:
        parser.print_help()
        parser.exit(EXIT_USER_ERROR, "\nNothing to do: give --checkpoint, --results or --verify\n")
    arguments = parser.parse_intermixed_args(words)
    is_export = arguments.checkpoint is not None or arguments.results is not None
    if is_export == (arguments.verify is not None):
        parser.error("give --checkpoint or --results or both, or else --verify")
    if is_export and arguments.out is None:
        parser.error("--out: name the weights' folder")
    if arguments.overrides and arguments.checkpoint is None and arguments.verify is None:
        parser.error(f"overrides go with --checkpoint or --verify: {arguments.overrides[0]}")
    return arguments


def main(words: list[str] | None = None) -> int:
    """Run the command.

    Args:
        words: The command line without the program's name; None: this process's.

    Returns:
        The exit status: 0; 1 when verified results differ; 2 after a user's mistake, with one
        message and no traceback; 130 when interrupted.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported; see run_net
    from slowfast.cli.export_job import run_command

    return exit_with(lambda: run_command(arguments))


if __name__ == "__main__":
    sys.exit(main())
