"""Keys of the machine and its paths, which do not affect the result of a run."""

from __future__ import annotations

from fnmatch import fnmatchcase

__all__ = ["is_machine_key", "is_path_key"]

_MACHINE = ("NUM_*", "SHARD_ID", "DIST_BACKEND", "DATA_LOADER.*", "TENSORBOARD.*", "*LOG_*")
_PATHS = ("*_DIR", "*.PATH_PREFIX", "*FILE_PATH", "*.SAVE_RESULTS_PATH", "*.PATH_TO_*")


def is_machine_key(key: str) -> bool:
    """Return whether a key is about processes, data loading or logging.

    Args:
        key: A dotted key.

    Returns:
        Whether the result of a run does not depend on the value.
    """
    return any(fnmatchcase(key, pattern) for pattern in _MACHINE)


def is_path_key(key: str) -> bool:
    """Return whether a key is a path, which may differ between machines.

    Args:
        key: A dotted key.

    Returns:
        Whether the value is a path.
    """
    return any(fnmatchcase(key, pattern) for pattern in _PATHS)
