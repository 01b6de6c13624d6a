"""Memory that runs out, on a GPU or in the machine, told in one message."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from slowfast.config.problems import UserError

__all__ = ["is_out_of_memory", "telling_out_of_memory"]

_MESSAGES = ("out of memory", "can't allocate memory", "could not create a memory object")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, NumPy, torch or the system says that memory ran out."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch raises RuntimeError for the memory of the machine, a subclass of it for that of a GPU.
    text = str(error).casefold()
    is_named = isinstance(error, RuntimeError) and any(part in text for part in _MESSAGES)
    return is_named or isinstance(error, MemoryError)


@contextmanager
def telling_out_of_memory(where: str = "", remedy: str = "") -> Iterator[None]:
    """Turn an error that says that memory ran out into one that a user can fix.

    Args:
        where: What was done, on what device; "": not known.
        remedy: What to change, with config keys; "": not known.

    Raises:
        UserError: If memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = " ".join(str(error).rpartition("DefaultCPUAllocator: ")[2].split())[:300]
        place = f"memory ran out {where}".strip()
        raise UserError(f"{place}: {reason or 'no reason given'}\n{remedy}".strip()) from error
