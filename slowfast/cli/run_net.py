"""``run_net``: train and test the model of a YAML. The main command of the framework."""

from __future__ import annotations

import os
import sys

from slowfast.cli.arguments import parse_arguments
from slowfast.utils.exit_codes import EXIT_INTERRUPTED, exit_with, print_error

__all__ = ["main"]


def main(words: list[str] | None = None) -> int:
    """Run every config of the command line.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.

    Returns:
        The exit status: 0; 2 after a user's mistake, with one message and no traceback; 130 when
        training was stopped by a signal and saved.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words)
    # Before torch is imported: threads that spin while waiting take cores from the data workers. On
    # two cores with another busy process a step took ten times as long without this.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Slow imports come after parsing, to keep --help fast.
    from slowfast.cli.runner import run_job
    from slowfast.engine.trainer import TrainingStoppedError

    def run() -> int:
        try:
            for cfg_file in arguments.cfg_files:
                run_job(cfg_file, arguments)
        except TrainingStoppedError as stopped:
            return print_error(str(stopped), EXIT_INTERRUPTED)
        return 0

    return exit_with(run)


if __name__ == "__main__":
    sys.exit(main())
