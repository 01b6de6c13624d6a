"""``slowfast embed``: vectors of all videos of a folder, by any weights."""

from __future__ import annotations

import argparse
import math
import os
import sys

from slowfast import __version__
from slowfast.utils.exit_codes import EXIT_USER_ERROR, exit_with

__all__ = ["main", "parse_arguments"]

_EPILOG = """examples:
  %(prog)s videos --weights zoo://NAME -o vectors
  %(prog)s videos --weights output/mine -o vectors --every 1        (a vector for each second)
  %(prog)s videos --weights zoo://gdt_k400 -o vectors --processes 4
  torchrun --nproc_per_node 8 -m slowfast embed videos --weights output/mine -o vectors

The same command again embeds only files that are new or have changed; after Ctrl-C or a crash it
continues. Files that cannot be decoded are listed in bad_files.csv. The columns: docs/embed.md; how
to open them in DuckDB, LanceDB, FAISS, FiftyOne, LightlyStudio: docs/ecosystem.md.
"""


def parse_arguments(words: list[str], program: str = "slowfast embed") -> argparse.Namespace:
    """Parse a command line; the names are those of ``EmbedJob``, and ``processes``."""
    parser = argparse.ArgumentParser(
        program,
        description="Compute the vectors of videos and of their clips, as Parquet and npz files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"slowfast-stica {__version__}")
    parser.add_argument("source", nargs="+", metavar="FOLDER", help="folders and files of videos")
    parser.add_argument(
        "--weights", required=True, metavar="W", help="zoo://NAME, a run's folder or a checkpoint"
    )
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--cfg", metavar="X.yaml", help="configuration of weights without one")
    parser.add_argument(
        "--every", dest="every_sec", type=float, metavar="SEC", help="a vector for each SEC seconds"
    )
    parser.add_argument("--views", type=int, metavar="N", help="clips of each video")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="(default: 1)")
    parser.add_argument(
        "--workers", dest="num_workers", type=int, metavar="N", help="data workers of each process"
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="videos per batch")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace vectors of other weights or settings"
    )
    parser.add_argument(
        "--prune", action="store_true", help="remove the vectors of files that no longer exist"
    )
    parser.add_argument(
        "--no-npz", dest="npz", action="store_false", help="do not write vectors.npz"
    )
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], metavar="KEY VALUE", help="overrides"
    )
    if not words:
        parser.print_help()
        parser.exit(EXIT_USER_ERROR, "\nNothing to do: name a folder, --weights and -o\n")
    arguments = parser.parse_args(words)
    for name in ("every_sec", "views", "processes", "batch_size"):
        value = getattr(arguments, name)
        if value is not None and not (0 < value < math.inf):
            option = {"every_sec": "every", "batch_size": "batch-size"}.get(name, name)
            parser.error(f"--{option}: got {value:g}, expected a positive number")
    if arguments.num_workers is not None and arguments.num_workers < 0:
        parser.error(f"--workers: got {arguments.num_workers}, expected 0 or more")
    return arguments


def main(words: list[str] | None = None, program: str = "slowfast embed") -> int:
    """Run the command.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status: 0; 2 after a user's mistake; 130 or 75 if interrupted: what is finished is
        kept.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words, program)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, as in run_net
    from slowfast.cli.embed_job import run_command

    return exit_with(
        lambda: run_command(arguments),
        interrupted="interrupted; what is finished is kept: run the same command again to resume",
    )
