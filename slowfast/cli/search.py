"""``slowfast search``: the videos that are most similar to a video, or to its audio."""

from __future__ import annotations

import argparse
import os
import sys

from slowfast import __version__
from slowfast.utils.exit_codes import EXIT_USER_ERROR, exit_with

__all__ = ["main", "parse_arguments"]

_EPILOG = """examples:
  %(prog)s vectors --query clip.mp4                           by what is seen
  %(prog)s vectors --query clip.mp4 --by both -k 20           by what is seen and heard
  %(prog)s vectors --query clip.mp4 --query-by audio --by video      videos that fit the audio
  %(prog)s vectors --query clip.mp4 --clips --format csv      clips, with their times
  %(prog)s vectors --query cats/1.mp4                         a video of the folder: no model needed

vectors is the folder that slowfast embed wrote. search.html in it shows the results with thumbnails
and players; it opens in a browser without a network. More: docs/embed.md.
"""


def parse_arguments(words: list[str], program: str = "slowfast search") -> argparse.Namespace:
    """Parse a command line."""
    parser = argparse.ArgumentParser(
        program,
        description="Search the vectors of slowfast embed for the most similar videos.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"slowfast-stica {__version__}")
    parser.add_argument("store", metavar="VECTORS", help="folder written by slowfast embed")
    parser.add_argument(
        "--query", nargs="+", required=True, metavar="FILE", help="files, or paths in the vectors"
    )
    modalities = ("video", "audio", "both")
    parser.add_argument(
        "--by", choices=modalities, default="video", help="what is compared (default: video)"
    )
    parser.add_argument(
        "--query-by", choices=modalities, help="what of the query is compared (default: as --by)"
    )
    parser.add_argument("-k", "--top-k", type=int, default=10, metavar="K", help="(default: 10)")
    parser.add_argument("--clips", action="store_true", help="search clips instead of videos")
    parser.add_argument("--with-query", action="store_true", help="the query may be a result, too")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    parser.add_argument(
        "--page", metavar="FILE", help="the page (default: VECTORS/search.html; '' for none)"
    )
    parser.add_argument(
        "--embed-media", action="store_true", help="put the videos of the results into the page"
    )
    parser.add_argument("--faiss", action="store_true", help="search with FAISS, also exact")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    if not words:
        parser.print_help()
        parser.exit(EXIT_USER_ERROR, "\nNothing to do: name a folder of vectors and --query\n")
    arguments = parser.parse_args(words)
    if arguments.top_k < 1:
        parser.error(f"--top-k: got {arguments.top_k}, expected at least 1")
    return arguments


def main(words: list[str] | None = None, program: str = "slowfast search") -> int:
    """Run the command.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status: 0; 2 after a user's mistake.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words, program)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, as in run_net
    from slowfast.cli.search_job import run_command

    return exit_with(lambda: run_command(arguments))
