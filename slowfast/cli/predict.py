"""``slowfast predict``: classes of videos, with scores."""

from __future__ import annotations

import argparse
import os
import sys

from slowfast import __version__
from slowfast.utils.exit_codes import EXIT_USER_ERROR, exit_with

__all__ = ["main", "parse_arguments"]

_EPILOG = """examples:
  %(prog)s clip.mp4 --weights output/finetune
  %(prog)s videos --weights output/finetune -o predictions.csv
  %(prog)s match.mp4 --weights output/finetune --every 2 -o timeline.html
  %(prog)s clip.mp4 --weights hf://MCG-NJU/videomae-base-finetuned-kinetics --top-k 3
  %(prog)s clip.mp4 --weights zoo://pyslowfast_slowfast_8x8_r50 --classes kinetics_classes.json

Files that cannot be decoded are listed; the status is 1 if none could.
Weights for many purposes: docs/which_weights.md.
"""


def parse_arguments(words: list[str], program: str = "slowfast predict") -> argparse.Namespace:
    """Parse a command line; the options are named as in ``inference.predict.PredictSettings``."""
    parser = argparse.ArgumentParser(
        program,
        description="Predict the classes of video files, of all files of folders, or of windows of "
        "long videos.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"slowfast-stica {__version__}")
    add("sources", nargs="+", metavar="FILE|FOLDER", help="videos")
    add(
        "--weights",
        required=True,
        metavar="W",
        help="a run's folder, a checkpoint, zoo://NAME, hf://ORG/NAME, a folder of transformers",
    )
    add("--cfg", metavar="X.yaml", help="configuration of weights without one")
    add("--top-k", type=int, metavar="K", help="number of classes (default: 5)")
    add(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="lowest score of a class (default: 0.5 for models with several labels per video, "
        "which name all classes above it; else none)",
    )
    add(
        "--every",
        dest="every_sec",
        type=float,
        metavar="SEC",
        help="predict consecutive windows of this length, and merge those of the same class into "
        "a timeline",
    )
    add("--classes", default="", metavar="FILE", help="names of the classes: classes.txt or json")
    add(
        "--format",
        default="",
        choices=["table", "csv", "json", "html"],
        help="default: by the suffix of FILE, else a table",
    )
    add("-o", "--out", default="", metavar="FILE", help="file to write (default: print)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--workers", dest="num_workers", type=int, metavar="N", help="processes that decode")
    add(
        "--opts",
        dest="overrides",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY VALUE",
        help="overrides, e.g. TEST.NUM_ENSEMBLE_VIEWS 4",
    )
    if not words:
        parser.print_help()
        parser.exit(EXIT_USER_ERROR, "\nNothing to do: name a video, and --weights\n")
    return parser.parse_args(words)


def main(words: list[str] | None = None, program: str = "slowfast predict") -> int:
    """Run the command.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status: 0, also where some files are bad; 1 if all are; 2 after a user's mistake.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words, program)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, as in run_net

    def run() -> int:
        from slowfast.inference.predict import PredictSettings, predict_files

        return predict_files(PredictSettings(**vars(arguments)))

    return exit_with(run)
