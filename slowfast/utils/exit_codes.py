"""Exit codes of the commands. Errors that a user can fix are printed without a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from slowfast.utils.stop_signals import (
    EXIT_INTERRUPTED,
    EXIT_REQUEUE,
    StopSignal,
    raising_on_signals,
    stop_status,
)

__all__ = [
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_REQUEUE",
    "EXIT_USER_ERROR",
    "exit_with",
    "print_error",
]

EXIT_FAILED = 1
"""The command ran, but some or all of its work failed."""
EXIT_USER_ERROR = 2


def exit_with(command: Callable[[], int], *, interrupted: str = "interrupted") -> int:
    """Run a command and turn its errors into an exit status.

    Args:
        command: Does the work and returns the exit status.
        interrupted: Message after a signal that asks the command to end.

    Returns:
        The command's status; 2 (or that of the error) after a user's mistake, a file that cannot be
        read or written, or if memory ran out, with one message; 130 after Ctrl-C, or if its output
        pipe was closed; 75 after another signal that asks it to end
        (``slowfast.utils.stop_signals``).
    """
    from slowfast.config import UserError  # imported late to keep --help fast
    from slowfast.utils.out_of_memory import telling_out_of_memory

    _shut_out_working_folder()
    if hasattr(sys.stdout, "reconfigure"):  # names of files may be any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with raising_on_signals(), telling_out_of_memory():
            return command()
    except UserError as error:
        return error.status if error.is_told else print_error(f"error: {error}", error.status)
    except StopSignal as stop:
        is_told = stop.message or stop.number == signal.SIGINT
        message = stop.message or interrupted
        return print_error(message if is_told else f"{message}: {stop}", stop_status(stop.number))
    except KeyboardInterrupt:
        return print_error(interrupted, EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERRUPTED
    except OSError as error:
        if not error.filename:  # not about a file
            raise
        return print_error(f"error: {error.filename}: {error.strerror or error}", EXIT_USER_ERROR)


def _shut_out_working_folder() -> None:
    """Keep the processes that a command starts from importing files of the working folder.

    Python searches it first with ``-m`` and ``-c``, which starts those of multiprocessing: a
    ``random.py`` there would be imported. A checkout is searched if it is the working folder.
    """
    if not Path().samefile(Path(__file__).parents[2]):
        os.environ["PYTHONSAFEPATH"] = "1"


def print_error(message: str, status: int) -> int:
    """Print an error message.

    Args:
        message: Printed to standard error, after all other output.
        status: The exit status.

    Returns:
        ``status``.
    """
    sys.stdout.flush()
    sys.stderr.write(f"{message}\n")
    return status
