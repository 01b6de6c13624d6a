"""The report at the end of a run, and the work of ``slowfast report``."""

from __future__ import annotations

import logging
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

from slowfast.cli.insight_job import write_missing_insight
from slowfast.visualization.report import write_comparison, write_report

__all__ = ["report_run", "run_command"]

logger = logging.getLogger(__name__)

_COMPARISON = "comparison.html"
_SHOWN = ("json_stats.log", "results.json")


def report_run(output_dir: Path) -> None:
    """Write the report of a run that ended. Whatever goes wrong is logged, never raised.

    Args:
        output_dir: OUTPUT_DIR. Without a training log and results there is nothing to report.
    """
    if not any((output_dir / name).exists() for name in _SHOWN):
        return
    if find_spec("jinja2") is None:
        logger.info("report.html needs Jinja2: pip install 'slowfast-stica[report]'")
        return
    try:
        logger.info("report: %s", write_report(output_dir))
    except Exception as error:
        logger.warning("the report could not be written: %s: %s", type(error).__name__, error)


def run_command(arguments: Namespace) -> tuple[Path, int]:
    """Write the report of a run, or the comparison of several.

    Args:
        arguments: ``runs``, ``output`` and ``insight``.

    Returns:
        The page and its size in bytes.

    Raises:
        UserError: If a folder is no run, one of its files is damaged, or Jinja2 is missing.
    """
    runs, output = arguments.runs, arguments.output
    if len(runs) == 1:
        if arguments.insight:
            write_missing_insight(Path(runs[0]))
        path = write_report(runs[0], output)
    else:
        path = write_comparison(runs, output or _COMPARISON)
    return path, path.stat().st_size
