"""Counting the missing files of a list before training, instead of one by one during it."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Iterable

import numpy as np

from slowfast.config import ConfigValueError
from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.bad_media import BadMedia, BadMediaLog
from slowfast.utils.io import printable

__all__ = ["count_missing", "find_missing"]

logger = logging.getLogger(__name__)

_NUM_THREADS = 16
_BLOCK = 64

_ALL, _SAMPLE = 100_000, 5_000
"""Lists of up to so many rows are looked up completely; of longer ones a random sample."""

_LIMIT_SEC = 20.0
"""After that, what was looked up counts; a network file system may be slow, or hang."""

_SURE = 5.0
"""The fraction of a sample may be off by so many standard deviations."""


def count_missing(manifest: Manifest, log: BadMediaLog, max_fraction: float) -> None:
    """Look up the files of a split, record those that are missing, and stop if they are too many.

    Args:
        manifest: The files.
        log: The log of bad files.
        max_fraction: DATA.MAX_BAD_FRACTION.

    Raises:
        ConfigValueError: If more files are missing than may be bad.
    """
    total = len(manifest)
    rows: Iterable[int] = range(total)
    if total > _ALL:
        rows = np.random.default_rng(0).choice(total, _SAMPLE, replace=False)
    num_seen, missing = find_missing(manifest, rows)
    if missing:
        logger.warning(
            "%d of %d files that were looked up are missing, e.g. %s",
            len(missing),
            num_seen,
            printable(manifest.path(missing[0])),
        )
    share = len(missing) / max(1, num_seen)
    is_sample = num_seen < total
    error = _SURE * (share * (1 - share) / max(1, num_seen)) ** 0.5 if is_sample else 0.0
    if is_sample:
        logger.info("looked up %d of %d files; %.1f%% are missing", num_seen, total, 100 * share)
    if share - error > max_fraction:
        raise ConfigValueError(
            "DATA.MAX_BAD_FRACTION",
            f"{len(missing)} of {num_seen} files that were looked up are missing ({share:.1%}, "
            f"allowed {max_fraction:.1%}), e.g. {printable(manifest.path(missing[0]))}. Check "
            "DATA.PATH_TO_DATA_DIR and DATA.PATH_PREFIX, or raise the limit.",
        )
    for row in missing:
        log.add(BadMedia(row, manifest.path(row), "it is missing, or a link to nothing"))


def find_missing(
    manifest: Manifest, rows: Iterable[int], limit_sec: float = _LIMIT_SEC
) -> tuple[int, list[int]]:
    """Look up files in parallel, for a limited time.

    Args:
        manifest: The files.
        rows: The rows to look up.
        limit_sec: Time limit, in seconds.

    Returns:
        The number of rows that were looked up, and those of them whose file does not exist.
    """
    order, lock = iter(rows), threading.Lock()
    found: list[tuple[int, list[int]]] = []
    end = time.monotonic() + limit_sec

    def work() -> None:
        while time.monotonic() < end:
            with lock:
                block = [int(row) for row in itertools.islice(order, _BLOCK)]
            if not block:
                return
            found.append((len(block), [r for r in block if _is_missing(manifest.path(r))]))

    # Daemons, which do not hold up the end of the process: a lookup may block for ever.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(_NUM_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    done = list(found)
    return sum(count for count, _ in done), sorted(row for _, rows in done for row in rows)


def _is_missing(path: str) -> bool:
    """Whether a file does not exist; of a video of a frame list, whether the list does not."""
    try:
        os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        folder = os.path.dirname(path)  # noqa: PTH120
        return not (folder.lower().endswith(".csv") and os.path.isfile(folder))  # noqa: PTH113
    except (OSError, ValueError):
        return False  # decoding reports what is wrong
    return False
