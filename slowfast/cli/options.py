"""Command-line options that were renamed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, cast

__all__ = ["OldName"]


class OldName(argparse.Action):
    """The old name of an option: it works, prints one line, and is not in the help."""

    def __init__(self, option_strings: Sequence[str], dest: str, new: argparse.Action) -> None:
        super().__init__(
            option_strings,
            new.dest,
            nargs=new.nargs,
            default=new.default,
            type=cast(Any, new.type),
            help=argparse.SUPPRESS,
        )
        self.new = new

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Print a line, and set the option."""
        sys.stderr.write(f"{option_string} was renamed to {self.new.option_strings[0]}\n")
        self.new(parser, namespace, values, option_string)
