"""A lock on OUTPUT_DIR: two runs never write to the same folder."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from slowfast.config.problems import ConfigValueError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["locked_output_dir"]

logger = logging.getLogger(__name__)

_FILE = ".lock"


@contextlib.contextmanager
def locked_output_dir(output_dir: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; for the main process of a job.

    The operating system releases the lock when the process ends in any way, also on network file
    systems with locks, so a lock is never stale; data workers do not inherit it. The file names the
    process that holds it.

    Args:
        output_dir: OUTPUT_DIR; created if it does not exist.

    Raises:
        ConfigValueError: If another process holds the lock.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / _FILE
    # A second open file of the same process would release the lock when it is closed.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path)
        before = os.read(descriptor, 4096)
        if before:
            logger.warning("%s: the last run here was killed", output_dir)
        own = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%F %T")}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(own).encode(), 0)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # it never hides what ended the run
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise ConfigValueError(
            "OUTPUT_DIR",
            f"{path.parent} is in use by {_describe(os.pread(descriptor, 4096, 0))}. Choose "
            "another folder, or wait until that run has ended.",
        ) from error
    except OSError as error:  # a file system without locks
        logger.warning(
            "%s cannot be locked (%s): make sure that no other run uses this folder", path, error
        )


def _describe(content: bytes) -> str:
    """Describe the process that holds a lock."""
    try:
        holder = json.loads(content)
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
