"""``slowfast report``: a page about a run, or a comparison of several."""

from __future__ import annotations

import argparse
import sys

from slowfast.utils.exit_codes import exit_with

__all__ = ["main", "parse_arguments"]

_EPILOG = """examples:
  %(prog)s output/run                             writes output/run/report.html
  %(prog)s output/run -o run.html
  %(prog)s output/a output/b output/c             compares them in comparison.html
  %(prog)s output/sweep/*/ -o sweep.html

The page is one file that opens without a network. docs/report.md explains its numbers.
"""


def parse_arguments(words: list[str], program: str = "slowfast report") -> argparse.Namespace:
    """Parse a command line: ``runs``, ``output``, ``insight``."""
    parser = argparse.ArgumentParser(
        program,
        description="Write a page about a run, or compare several.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="OUTPUT_DIR of a run")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the HTML file (default: RUN/report.html; comparison.html for several runs)",
    )
    parser.add_argument(
        "--no-insight",
        dest="insight",
        action="store_false",
        help="do not test the model of a run again that ended without OUTPUT_DIR/insight",
    )
    return parser.parse_args(words)


def main(words: list[str] | None = None, program: str = "slowfast report") -> int:
    """Run the command.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status: 0; 2 after a user's mistake.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words, program)
    return exit_with(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from slowfast.cli.report_job import run_command  # slow imports come after parsing

    path, size = run_command(arguments)
    sys.stdout.write(f"{path} ({size / 1e6:.1f} MB): open it in a browser\n")
    return 0
