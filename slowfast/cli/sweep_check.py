"""Checks the configs of many runs at once, for ``sweep_net``: that command imports no torch itself.

Reads a JSON list of ``[cfg, [KEY, VALUE, ...]]`` from the standard input and writes a list of
``{"config": {...}}`` or ``{"problems": [[key, message], ...]}`` to the standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import slowfast.cli.registrations  # noqa: F401
from slowfast.config import ConfigError, ConfigValueError, UserError, load_config
from slowfast.config.load import flatten

__all__ = ["check", "main"]


def check(cfg_file: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Load one config as ``run_net`` would.

    Args:
        cfg_file: A YAML file.
        overrides: ``KEY VALUE KEY VALUE ...``.

    Returns:
        The complete configuration, dotted, or what is wrong with it.
    """
    try:
        return {"config": flatten(load_config(cfg_file, overrides).cfg)}
    except ConfigError as error:
        return {"problems": [[problem.key, problem.message] for problem in error.problems]}
    except ConfigValueError as error:
        return {"problems": [["cfg", error.problem.message]]}
    except UserError as error:
        return {"problems": [["cfg", str(error)]]}


def main() -> int:
    """Answer one question.

    Returns:
        The exit status.
    """
    answers = [check(cfg_file, overrides) for cfg_file, overrides in json.load(sys.stdin)]
    json.dump(answers, sys.stdout, default=str)
    return 0


if __name__ == "__main__":
    sys.exit(main())
