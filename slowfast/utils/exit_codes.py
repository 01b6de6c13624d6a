"""How every command ends: with an exit status, and without a traceback for what a user can fix."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

__all__ = ["EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_USER_ERROR", "exit_with", "print_error"]

EXIT_FAILED = 1
"""Of a command that ran, and some or all of whose work failed."""
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def exit_with(command: Callable[[], int], *, interrupted: str = "interrupted") -> int:
    """Run a command to its end.

    Args:
        command: Does the work and returns the exit status.
        interrupted: What to say after Ctrl-C.

    Returns:
        The command's status; 2 after a user's mistake or a file that cannot be read or written,
        with one message; 130 when it was interrupted, or its reader went away.
    """
    from slowfast.config import UserError  # not above: --help needs nothing that is heavy

    try:
        return command()
    except UserError as error:
        return print_error(f"error: {error}", EXIT_USER_ERROR)
    except KeyboardInterrupt:
        return print_error(interrupted, EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERRUPTED
    except OSError as error:
        if not error.filename:  # no file that the user could look at
            raise
        return print_error(f"error: {error.filename}: {error.strerror or error}", EXIT_USER_ERROR)


def print_error(message: str, status: int) -> int:
    """Write the last message.

    Args:
        message: Goes to standard error, behind all that was printed.
        status: The exit status.

    Returns:
        ``status``.
    """
    sys.stdout.flush()
    sys.stderr.write(f"{message}\n")
    return status
