"""``slowfast test``: test a run again, or what a YAML says, without training."""

from __future__ import annotations

import sys
from pathlib import Path

from slowfast.cli.run_net import main as run_net

__all__ = ["main"]

_HELP = """usage: {program} RUN [KEY VALUE ...]
       {program} --cfg X.yaml [KEY VALUE ...]

Test the newest checkpoint of a run with its own configuration, or what a YAML says. No training.

positional arguments:
  RUN          OUTPUT_DIR of a run: its config.yaml, and the newest checkpoint
  KEY VALUE    overrides, e.g. TEST.NUM_ENSEMBLE_VIEWS 10

examples:
  {program} output/mine
  {program} output/mine TEST.NUM_ENSEMBLE_VIEWS 10
  {program} --cfg configs/Kinetics/c2/SLOWFAST_8x8_R50.yaml DATA.PATH_TO_DATA_DIR /data/kinetics400

The other options are those of slowfast train --help. Metrics and files: docs/results.md.
"""
_SWITCHES = {"TRAIN.ENABLE": "False", "TEST.ENABLE": "True"}


def main(words: list[str] | None = None, program: str = "slowfast test") -> int:
    """Run the command.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status, as of ``run_net``.
    """
    words = sys.argv[1:] if words is None else words
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_HELP.format(program=program))
        return 0 if words else 2
    if words[0].startswith("-"):
        return run_net([*words, *_switches(words)], program)
    config = Path(words[0]).expanduser() / "config.yaml"
    if not config.is_file():
        sys.stderr.write(f"error: {words[0]} is not the OUTPUT_DIR of a run: no {config}.\n")
        return 2
    own = ["OUTPUT_DIR", str(config.parent)]
    return run_net(["--cfg", str(config), *own, *words[1:], *_switches(words)], program)


def _switches(words: list[str]) -> list[str]:
    """Return the overrides that make a run a test, except those that the user gave."""
    return [w for key, value in _SWITCHES.items() if key not in words for w in (key, value)]
