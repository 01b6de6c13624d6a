"""PySlowFast's command line, with both forms of overrides. Imports no torch, to start fast."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from slowfast import __version__

__all__ = ["Arguments", "parse_arguments"]

_DEFAULT = "configs/Kinetics/R2PLUS1D_18_30f.yaml"
_DESCRIPTION = (
    "Train and test video models. A YAML configures the job; KEY VALUE pairs override it."
)
_EPILOG = """examples:
  %(prog)s --cfg configs/Kinetics/R2PLUS1D_18_30f.yaml
  %(prog)s --cfg configs/Kinetics/R2PLUS1D_18_30f.yaml DATA.PATH_TO_DATA_DIR videos NUM_GPUS 8
  %(prog)s --cfg a.yaml b.yaml --opts TRAIN.BATCH_SIZE 32     (two jobs, one after the other)

More: GETTING_STARTED.md; all keys: docs/configuration.md; what is shipped: slowfast configs.
"""


class Arguments(NamedTuple):
    """A parsed command line.

    Attributes:
        cfg_files: Configs; each is a separate job.
        overrides: ``KEY VALUE KEY VALUE ...``.
        shard_id: Rank of this machine, or None if not given.
        num_shards: Number of machines, or None if not given.
        init_method: Rendezvous URL of the processes.
    """

    cfg_files: list[str]
    overrides: list[str]
    shard_id: int | None
    num_shards: int | None
    init_method: str


def parse_arguments(words: list[str], program: str = "run_net.py") -> Arguments:
    """Parse a command line.

    Returns:
        The parsed arguments. After ``--cfg``, leading values that end in .yaml or .yml are configs
        and the rest are overrides, as are the values after ``--opts``.
    """
    parser = argparse.ArgumentParser(
        program,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cfg",
        dest="cfg_files",
        nargs="+",
        default=[],
        metavar="X.yaml",
        help="configs, one job each; a path, or the name of a shipped one "
        "(overrides KEY VALUE may follow)",
    )
    parser.add_argument("--shard_id", type=int, help="rank of this machine, from 0")
    parser.add_argument("--num_shards", type=int, help="number of machines")
    parser.add_argument(
        "--init_method",
        default="tcp://localhost",
        help="rendezvous URL: tcp://host:port (default: this machine, a free port)",
    )
    parser.add_argument("--version", action="version", version=f"slowfast-stica {__version__}")
    parser.add_argument(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY VALUE",
        help="overrides; must come last",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="overrides")
    if not words:
        parser.print_help()
        parser.exit(2, f"\nNothing to do: name a config, e.g. --cfg {_DEFAULT}\n")
    known = parser.parse_intermixed_args(_before_opts(words))
    files, rest = _split_configs(known.cfg_files)
    if not files:
        parser.error(f"--cfg: expected a file that ends in .yaml, got {' '.join(rest) or 'none'}")
    return Arguments(
        files,
        [*rest, *known.overrides, *_after_opts(words)],
        known.shard_id,
        known.num_shards,
        known.init_method,
    )


def _before_opts(words: list[str]) -> list[str]:
    return words[: words.index("--opts")] if "--opts" in words else words


def _after_opts(words: list[str]) -> list[str]:
    return words[words.index("--opts") + 1 :] if "--opts" in words else []


def _split_configs(words: list[str]) -> tuple[list[str], list[str]]:
    for number, word in enumerate(words):
        if not word.lower().endswith((".yaml", ".yml")):
            return words[:number], words[number:]
    return words, []
