"""``export_weights``: export small weights for publication, and verify them (command line).

The implementation is in ``export_job``, which is imported after parsing to keep --help fast.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from slowfast import __version__
from slowfast.cli.options import OldName
from slowfast.utils.exit_codes import EXIT_USER_ERROR, exit_with

__all__ = ["main", "parse_arguments"]


_FACTS = ("data", "license", "attribution", "note", "limits", "metrics", "commands")
_EPILOG = """examples: in this order, where NAME is the name of a folder
  %(prog)s --checkpoint output/run --out projects/P/weights/NAME \\
      --data "training data" --license Apache-2.0 \\
      TEST.PROTOCOLS "['class_retrieval', 'knn']"
  python tools/run_net.py --cfg projects/P/weights/NAME/evaluate.yaml
  %(prog)s --results output/NAME --out projects/P/weights/NAME
  %(prog)s --verify NAME
  %(prog)s --limits "not for ..." --out projects/P/weights/NAME   (facts can be changed later)

The weights are first rounded to float16, then evaluated; --results accepts only results of these
weights. KEY VALUE after --checkpoint are stored in evaluate.yaml; after --verify they are used once
(e.g. DATA.PATH_TO_DATA_DIR). More: MODEL_ZOO.md.
"""


def parse_arguments(words: list[str], program: str = "export_weights.py") -> argparse.Namespace:
    """Parse a command line.

    Returns:
        ``checkpoint``, ``results`` and ``out`` (paths or None), ``max_mb``, the facts ``data``,
        ``license``, ``attribution``, ``note``, ``limits``, ``metrics``, ``commands`` (None where
        not given), ``verify``, ``tolerance`` and ``overrides``.
    """
    parser = argparse.ArgumentParser(
        program,
        description="Publish small weights with a project: export, add results, verify.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"slowfast-stica {__version__}")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="RUN",
        help="OUTPUT_DIR of a training run, or one of its checkpoints",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="OUTPUT_DIR of the evaluation of the exported weights",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the weights, named as the weights"
    )
    parser.add_argument(
        "--max-mb",
        type=float,
        default=6.0,
        metavar="MB",
        help="largest total size of all weights in the parent folder, in 10^6 bytes (default: 6)",
    )
    facts = parser.add_argument_group("facts, stored in row.yaml")
    facts.add_argument("--data", metavar="TEXT", help="training data (required once)")
    license_ = facts.add_argument(
        "--license", metavar="TEXT", help="license of the weights (required once)"
    )
    facts.add_argument("--licence", action=OldName, new=license_)
    facts.add_argument("--attribution", metavar="TEXT", help="attribution of the data")
    facts.add_argument("--note", metavar="TEXT", help="note for users")
    facts.add_argument("--limits", metavar="TEXT", help="what the weights are not for")
    facts.add_argument(
        "--metric",
        dest="metrics",
        action="append",
        metavar="NAME",
        help="a headline metric; repeatable",
    )
    facts.add_argument(
        "--command",
        dest="commands",
        action="append",
        metavar="LINE",
        help="a command of the training; repeatable",
    )
    check = parser.add_argument_group("checking")
    check.add_argument(
        "--verify", metavar="NAME", help="evaluate zoo://NAME and compare with its results"
    )
    check.add_argument(
        "--tolerance",
        type=int,
        default=0,
        metavar="CLIPS",
        help="allowed difference, in clips of the test split (default: 0; use 1 on another kind of "
        "processor)",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="overrides")
    if not words:
        parser.print_help()
        parser.exit(EXIT_USER_ERROR, "\nNothing to do: give --checkpoint, --results or --verify\n")
    arguments = parser.parse_intermixed_args(words)
    changes = ("checkpoint", "results", *_FACTS)
    is_export = any(getattr(arguments, name) is not None for name in changes)
    if is_export == (arguments.verify is not None):
        parser.error("give --checkpoint, --results or facts to change, or else --verify")
    if is_export and arguments.out is None:
        parser.error("--out: give the folder of the weights")
    if arguments.overrides and arguments.checkpoint is None and arguments.verify is None:
        parser.error(f"overrides go with --checkpoint or --verify: {arguments.overrides[0]}")
    return arguments


def main(words: list[str] | None = None, program: str = "export_weights.py") -> int:
    """Run the command.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status: 0; 1 if verified results differ; 2 after a user's mistake, with one message
        and no traceback; 130 or 75 if interrupted.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words, program)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, as in run_net
    from slowfast.cli.export_job import run_command

    return exit_with(lambda: run_command(arguments))
