"""``run_net``: train and test the model of a YAML. The main command of the framework."""

from __future__ import annotations

import os
import sys

from slowfast.cli.arguments import parse_arguments
from slowfast.utils.exit_codes import EXIT_FAILED, exit_with, print_error
from slowfast.utils.stop_signals import ending_on_signals, stop_status

__all__ = ["main"]


def main(words: list[str] | None = None, program: str = "run_net.py") -> int:
    """Run every config of the command line.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status: 0; 1 if a checkpoint could not be written; 2 after a user's mistake, with
        one message and no traceback; 130 after Ctrl-C, 75 after another signal that asks it to end:
        a message says whether a checkpoint is saved.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words, program)
    # Before torch is imported: threads that spin while waiting take cores from the data workers. On
    # two cores with another busy process a step took ten times as long without this.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with ending_on_signals():
        # Slow imports come after parsing, to keep --help fast.
        from slowfast.cli.runner import run_job
        from slowfast.engine.checkpointer import CheckpointError
        from slowfast.engine.trainer import TrainingStoppedError

        def run() -> int:
            try:
                for cfg_file in arguments.cfg_files:
                    run_job(cfg_file, arguments)
            except TrainingStoppedError as stopped:
                return print_error(str(stopped), stop_status(stopped.number))
            except CheckpointError as failed:
                return print_error(f"error: {failed}", EXIT_FAILED)
            return 0

        return exit_with(run)
