"""Errors that a user can fix. Those of a configuration are reported all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ["ConfigError", "ConfigValueError", "ParameterError", "Problem", "UserError", "keys"]


class UserError(Exception):
    """Something the user can fix. Commands print the message alone and exit with status 2.

    Attributes:
        status: The exit status.
        is_told: Whether another process of the same job prints the message.
    """

    status = 2
    is_told = False


class Problem(NamedTuple):
    """One problem of a configuration.

    Attributes:
        key: The dotted key, e.g. ``TRAIN.BATCH_SIZE``.
        message: The value, what was expected, and how to fix it.
        project: The installed project that must be added to PROJECTS; "" if none.
    """

    key: str
    message: str
    project: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class ConfigError(UserError):
    """Every problem found in one configuration.

    Args:
        problems: At least one problem.
        source: The file (or other source) of the configuration.
    """

    def __init__(self, problems: Sequence[Problem], source: str = "the configuration") -> None:
        self.problems = list(problems)
        count = len(self.problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in {source}:\n{lines}")


class ConfigValueError(UserError, ValueError):
    """A value of the configuration that cannot be used.

    Args:
        key: The dotted key, e.g. ``TRAIN.BATCH_SIZE``.
        message: The value, what was expected, and how to fix it.

    Attributes:
        problem: Key and message.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(key, message)
        self.problem = Problem(key, message)

    def __str__(self) -> str:
        return str(self.problem)


class ParameterError(ValueError):
    """An invalid argument, found by code that does not read the configuration.

    Args:
        parameter: The argument's name.
        message: The value, what was expected, and how to fix it.
    """

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(parameter, message)
        self.parameter, self.message = parameter, message

    def __str__(self) -> str:
        return f"{self.parameter}: {self.message}"


@contextmanager
def keys(**names: str) -> Iterator[None]:
    """Turn errors about arguments into errors about config keys. For builders, which read cfg.

    Example:
        >>> with keys(size="DATA.TRAIN_CROP_SIZE"):
        ...     raise ParameterError("size", "got 0; expected a number of pixels >= 1.")
        Traceback (most recent call last):
        slowfast.config.problems.ConfigValueError: DATA.TRAIN_CROP_SIZE: got 0; expected ...

    Args:
        names: Parameter -> key.

    Yields:
        Nothing.

    Raises:
        ConfigValueError: Instead of a ParameterError about one of the parameters.
    """
    try:
        yield
    except ParameterError as error:
        if error.parameter not in names:
            raise
        raise ConfigValueError(names[error.parameter], error.message) from error
