"""The last lines of a run: what it wrote, and what to do next."""

from __future__ import annotations

import shlex
from pathlib import Path

from slowfast.config import CfgNode
from slowfast.utils.checkpoint import list_checkpoints

__all__ = ["describe_outcome"]

_FILES = (
    "report.html",
    "results.json",
    "predictions.csv",
    "curves.png",
    "json_stats.log",
    "stdout.log",
    "warnings.log",
    "bad_media.csv",
    "config.yaml",
)


def describe_outcome(cfg: CfgNode) -> str:
    """Describe what OUTPUT_DIR holds after a run.

    Args:
        cfg: The configuration of the run.

    Returns:
        A line of file names, and commands that use them.
    """
    folder = Path(cfg.OUTPUT_DIR)
    checkpoints = [found.path for found in list_checkpoints(folder, cfg.TASK)]
    written = [str(path.relative_to(folder)) for path in checkpoints[:1]]  # the newest
    written += [name for name in _FILES if (folder / name).is_file()]
    lines = [f"written to {folder}: {', '.join(written)}"]
    commands = _next_commands(cfg, str(folder)) if cfg.TRAIN.ENABLE and checkpoints else []
    if commands:
        lines += ["what to do next:", "", *(f"    {command}" for command in commands), ""]
    return "\n".join(lines)


def _next_commands(cfg: CfgNode, folder: str) -> list[str]:
    """Return commands that use the weights of a run."""
    run = shlex.quote(folder)
    embed = f"slowfast embed FOLDER --weights {run} -o vectors"
    if "classification" not in cfg.TEST.PROTOCOLS:
        return [f"slowfast eval {run}", embed]
    return [embed] if cfg.TEST.ENABLE else [f"slowfast test {run}", embed]
