"""What the processes of a run compare before they begin and before they train."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from slowfast.config import CfgNode
from slowfast.config.load import flatten
from slowfast.config.machine_keys import is_path_key
from slowfast.engine.restart import Restart
from slowfast.utils.agreement import code_facts, require_same

__all__ = ["require_same_restart", "require_same_start"]

_OF_A_MACHINE = ("SHARD_ID", "NUM_THREADS", "DATA_LOADER.*", "PROJECTS_PATH")
"""Keys that may differ between machines, with all paths: loaders compare the data itself."""


def require_same_start(cfg: CfgNode) -> None:
    """Compare configuration (with it RNG_SEED) and code. Every process must call this.

    Raises:
        UserError: If they differ.
    """
    facts: dict[str, Any] = {
        key: value
        for key, value in flatten(cfg).items()
        if not is_path_key(key) and not any(fnmatchcase(key, one) for one in _OF_A_MACHINE)
    }
    require_same(
        facts | code_facts(["slowfast", *cfg.PROJECTS]),
        "Start all machines with the same configuration, command line and code.",
    )


def require_same_restart(position: Restart) -> None:
    """Compare where the processes resume. Every process must call this.

    Args:
        position: That of this process.

    Raises:
        UserError: If they differ.
    """
    require_same(
        {"completed epochs": position.epoch, "iterations of the next epoch": position.iteration},
        "OUTPUT_DIR must be one folder that all machines share.",
    )
