"""Keys that say where and on what machine a run happens, and nothing about its result."""

from __future__ import annotations

from fnmatch import fnmatchcase

__all__ = ["is_machine_key", "is_path_key"]

_MACHINE = ("NUM_*", "SHARD_ID", "DIST_BACKEND", "DATA_LOADER.*", "TENSORBOARD.*", "*LOG_*")
_PATHS = ("*_DIR", "*.PATH_PREFIX", "*FILE_PATH", "*.SAVE_RESULTS_PATH", "*.PATH_TO_*")


def is_machine_key(key: str) -> bool:
    """Say whether a key is about processes, loading or logging.

    Args:
        key: A dotted key.

    Returns:
        Whether a run stays what it is when the value changes.
    """
    return any(fnmatchcase(key, pattern) for pattern in _MACHINE)


def is_path_key(key: str) -> bool:
    """Say whether a key names a file or folder, which lies elsewhere on another machine.

    Args:
        key: A dotted key.

    Returns:
        Whether the value is a path.
    """
    return any(fnmatchcase(key, pattern) for pattern in _PATHS)
