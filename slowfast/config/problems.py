"""A user's mistakes: one record each, reported all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["ConfigError", "Problem", "UserError"]


class UserError(Exception):
    """Something the user can fix. Commands print the message alone and exit with status 2."""


class Problem(NamedTuple):
    """One mistake in a configuration.

    Attributes:
        key: The dotted key it is about, e.g. ``TRAIN.BATCH_SIZE``.
        message: What was got, what was expected, and what to do.
    """

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class ConfigError(UserError):
    """Every problem found in one configuration.

    Args:
        problems: At least one problem.
        source: The file (or other origin) they were found in.
    """

    def __init__(self, problems: Sequence[Problem], source: str = "the configuration") -> None:
        self.problems = list(problems)
        count = len(self.problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in {source}:\n{lines}")
