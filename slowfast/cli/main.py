"""``slowfast``: one command for everything; each subcommand is a module that is imported on use."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NamedTuple

from slowfast import __version__
from slowfast.utils.stop_signals import ending_on_signals

__all__ = ["COMMANDS", "GROUPS", "Command", "main"]


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        module: Module with ``main(words, program) -> exit status``.
        help: One line for ``slowfast --help``.
    """

    module: str
    help: str


GROUPS = {
    "data": {
        "check": Command("slowfast.cli.check_data", "find out what is in a folder of videos"),
        "prepare": Command("slowfast.cli.prepare_data", "check, index and re-encode a dataset"),
    },
    "training": {
        "configs": Command("slowfast.cli.configs", "list the configurations that are shipped"),
        "benchmark": Command("slowfast.cli.benchmark", "where the time of training goes"),
        "train": Command("slowfast.cli.run_net", "train, then test, what a YAML says"),
        "test": Command("slowfast.cli.test_run", "test a run, or what a YAML says"),
        "sweep": Command("slowfast.cli.sweep_net", "run many configurations and compare them"),
        "report": Command("slowfast.cli.report", "a page about a run, or about several"),
    },
    "using a model": {
        "eval": Command("slowfast.cli.eval_weights", "evaluate frozen features of any weights"),
        "embed": Command("slowfast.cli.embed", "compute the vectors of a folder of videos"),
        "search": Command("slowfast.cli.search", "find the most similar videos"),
        "predict": Command("slowfast.cli.predict", "name the classes of videos, with scores"),
        "export": Command("slowfast.cli.export", "write it for torch.export, ONNX or the Hub"),
        "publish": Command("slowfast.cli.export_weights", "add weights to a project, and verify"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
"""In the order of the help."""


def main(words: list[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.

    Returns:
        The exit status of the subcommand; 2 if there is no such subcommand.
    """
    words = sys.argv[1:] if words is None else words
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0 if words else 2
    if words[0] == "--version":
        sys.stdout.write(f"slowfast-stica {__version__}\n")
        return 0
    name = words[0]
    if name not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        sys.stderr.write(f"slowfast: no command {name!r}.{hint} See slowfast --help\n")
        return 2
    with ending_on_signals():
        run = import_module(COMMANDS[name].module).main
        status: int = run(words[1:], program=f"slowfast {name}")
        return status


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        "usage: slowfast COMMAND ...",
        "",
        "Learn from videos with audio, and use what is learned.",
    ]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name.ljust(width)}  {command.help}" for name, command in commands.items()]
    return "\n".join([*lines, "", "slowfast COMMAND --help has options and examples.", ""])
