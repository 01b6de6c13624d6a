"""``slowfast check``: what is in a folder of videos, what is wrong with it, and what to do next."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slowfast.cli.prepare_data import add_check_options, add_process_options, run_parsed

__all__ = ["main", "parse_arguments"]

_DESCRIPTION = """Check a folder of videos or audio files: which can be read, what they hold, what
is silent, cut short or there twice, how the folder would be read for training, and which config
keys fit it. Files are only read."""
_EPILOG = """examples:
  %(prog)s videos                     a page, tables and a summary in videos_report
  %(prog)s videos --level full        decode every frame and every sample
  %(prog)s videos --level headers     the quickest look
  %(prog)s clip.mp4                   a single file

Files that cannot be read are listed in quarantine.csv. Training on the folder leaves them out
(DATA.QUARANTINE_FILE_PATH). Run the command again after changes: only new and changed files are
checked. An interrupted check resumes. More: DATASET.md.
"""


def parse_arguments(words: list[str], program: str = "slowfast check") -> argparse.Namespace:
    """Parse a command line.

    Returns:
        ``folder``, ``out`` where it was given, and options named as in ``settings``.
    """
    parser = argparse.ArgumentParser(
        program,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder, or a single file")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="where to write; created (default: FOLDER_report in the working folder)",
    )
    add_process_options(parser)
    add_check_options(parser)
    parser.set_defaults(command="check")
    return parser.parse_args(words)


def main(words: list[str] | None = None, program: str = "slowfast check") -> int:
    """Run the command.

    Args:
        words: The command line without the program's name; None: this process's.
        program: The name of the program in messages.

    Returns:
        The exit status, as ``prepare_data.main``.
    """
    return run_parsed(parse_arguments(sys.argv[1:] if words is None else words, program))
