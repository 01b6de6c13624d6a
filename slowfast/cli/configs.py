"""``slowfast configs``: the configurations that are shipped, a line each."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path

from slowfast.config.paths import find_config, shipped_configs
from slowfast.config.problems import UserError
from slowfast.utils.exit_codes import exit_with

__all__ = ["main"]

_LONGEST = 110
"""Characters of a description."""

_EPILOG = """examples:
  %(prog)s                       all of them, a line each
  %(prog)s pretrain slow          those whose name or description has both words
  %(prog)s show Kinetics/SLOW_8x8_R50.yaml
  %(prog)s show Kinetics/SLOW_8x8_R50.yaml --merged      with its base files and defaults

All keys: docs/configuration.md.
"""


def parse_arguments(words: list[str], program: str = "slowfast configs") -> argparse.Namespace:
    """Parse a command line: ``words`` (after ``show``: one name), ``merged``."""
    parser = argparse.ArgumentParser(
        program,
        description="List the configurations that are shipped; use their names with --cfg.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="list only those with these words; 'show NAME' prints one of them",
    )
    parser.add_argument(
        "--merged", action="store_true", help="with show: all keys, with base files and defaults"
    )
    arguments = parser.parse_args(words)
    is_show = arguments.words[:1] == ["show"]
    if is_show and len(arguments.words) != 2:
        parser.error("show: expected one name, such as show Kinetics/SLOW_8x8_R50.yaml")
    if arguments.merged and not is_show:
        parser.error("--merged: expected after show NAME")
    return arguments


def main(words: list[str] | None = None, program: str = "slowfast configs") -> int:
    """Run the command.

    Args:
        words: The arguments without the program's name; None: ``sys.argv``.
        program: The name of the program in messages.

    Returns:
        The exit status: 0; 2 after a user's mistake.
    """
    arguments = parse_arguments(sys.argv[1:] if words is None else words, program)
    return exit_with(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    if arguments.words[:1] == ["show"]:
        sys.stdout.write(_show(arguments.words[1], merged=arguments.merged))
        return 0
    root = shipped_configs()
    if root is None:
        raise UserError("no configurations are installed. In a checkout: pip install -e .")
    found = [(str(p.relative_to(root)), _describe(p)) for p in sorted(root.rglob("*.yaml"))]
    wanted = [word.casefold() for word in arguments.words]
    found = [row for row in found if all(word in " ".join(row).casefold() for word in wanted)]
    if not found:
        raise UserError(f"no configuration has all of: {', '.join(arguments.words)}.")
    width = max(len(name) for name, _ in found)
    folder = None
    for name, text in found:
        if folder not in (None, name.rpartition("/")[0]):
            sys.stdout.write("\n")
        folder = name.rpartition("/")[0]
        short = textwrap.shorten(text, _LONGEST, placeholder=" ...")
        sys.stdout.write(f"{name.ljust(width)}  {short}".rstrip() + "\n")
    return 0


def _show(name: str, *, merged: bool) -> str:
    path = find_config(name, option="show")
    if not merged:
        return path.read_text(encoding="utf-8")
    import slowfast.engine.registrations  # noqa: F401 - slow, needed only here
    from slowfast.config import load_config

    return str(load_config(path, validate=False).cfg.dump())


def _describe(path: Path) -> str:
    """Return the first sentence of the comment at the top of a file."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    text = " ".join(lines)
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]
