"""Logging: one line format, a file per run, and machine-readable ``json_stats`` lines."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import simplejson

__all__ = ["get_logger", "json_stats", "log_json_stats", "read_stats", "setup_logging"]

logger = logging.getLogger(__name__)

_STATS = "json_stats: "


class _TqdmHandler(logging.StreamHandler):
    """Writes above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module (PySlowFast's name).

    Args:
        name: ``__name__``. Loggers outside of ``slowfast`` are shown too, at level INFO, once
            ``setup_logging`` was called.

    Returns:
        The logger.
    """
    found = logging.getLogger(name)
    if found.level == logging.NOTSET and not name.startswith("slowfast"):
        found.setLevel(logging.INFO)
    return found


class _LateFileHandler(logging.FileHandler):
    """Opens its file with the first message, unless the folder was removed in the meantime."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is not None or Path(self.baseFilename).parent.is_dir():
            super().emit(record)


def setup_logging(
    output_dir: str | Path | None = None,
    *,
    is_main: bool = True,
    mark: str = "",
    projects: Sequence[str] = (),
) -> None:
    """Send the framework's log to standard output and to ``stdout.log``.

    Warnings also go to ``warnings.log``, which exists only if there are any.

    Args:
        output_dir: Folder of ``stdout.log`` and ``warnings.log``; None: no files.
        is_main: Only the main process logs below warnings.
        mark: Prefix of every message, e.g. ``[demo] ``.
        projects: Further packages whose messages are shown.
    """
    root = logging.getLogger()
    for handler in [h for h in root.handlers if getattr(h, "_slowfast", False)]:
        root.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = [_TqdmHandler()]
    if output_dir is not None and is_main:
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(folder / "stdout.log", encoding="utf-8"))
        warnings = _LateFileHandler(folder / "warnings.log", encoding="utf-8", delay=True)
        warnings.setLevel(logging.WARNING)
        handlers.append(warnings)
    level = logging.INFO if is_main else logging.WARNING
    for handler in handlers:
        handler.setFormatter(logging.Formatter(f"[%(asctime)s] {mark}%(message)s", "%H:%M:%S"))
        handler._slowfast = True  # type: ignore[attr-defined]
        root.addHandler(handler)
    logging.getLogger().setLevel(logging.WARNING)
    for name in ("slowfast", *projects):
        logging.getLogger(name).setLevel(level)


def json_stats(stats: dict[str, Any]) -> str:
    """Format statistics as one ``json_stats`` line, keys sorted, floats to five decimals.

    Args:
        stats: Plain values. Values that are not finite, such as the gradient norm of a step that
            loss scaling skipped, become ``null``, since JSON cannot represent them.

    Returns:
        ``json_stats: {...}``.
    """
    rounded = {k: _round(v) for k, v in stats.items()}
    text = simplejson.dumps(rounded, sort_keys=True, use_decimal=False, ignore_nan=True)
    return f"{_STATS}{text}"


def log_json_stats(stats: dict[str, Any], output_dir: str | Path | None = None) -> None:
    """Append statistics to ``json_stats.log``.

    Args:
        stats: Plain values.
        output_dir: Folder of the file; None: the line goes to the log, as in PySlowFast.
    """
    if output_dir is None:
        logger.info("%s", json_stats(stats))
        return
    with (Path(output_dir) / "json_stats.log").open("a+b") as file:
        # The last line of a killed run may have no end: the next one starts by itself.
        is_torn = file.tell() > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
        file.write(f"{chr(10) if is_torn else ''}{json_stats(stats)}\n".encode())


def read_stats(output_dir: Path) -> list[dict[str, Any]]:
    """Read the records of a run.

    Args:
        output_dir: OUTPUT_DIR.

    Returns:
        One dict per line of ``json_stats.log``; empty when there is no such file. Lines that are
        not complete, as a killed run or a full disk leaves them, are skipped with a warning.
    """
    path = output_dir / "json_stats.log"
    if not path.exists():
        return []
    stats, torn = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line.removeprefix(_STATS))
        except ValueError:
            entry = None
        if isinstance(entry, dict) and "_type" in entry:
            stats.append(entry)
        elif line.strip():
            torn += 1
    if torn:
        logger.warning("%s: %d damaged lines are skipped", path, torn)
    return stats


def _round(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, 5) if abs(value) >= 1e-3 else float(f"{value:.4g}")
