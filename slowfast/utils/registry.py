"""fvcore's registry with an error message that helps."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from fvcore.common.registry import Registry as _FvcoreRegistry

Builder = TypeVar("Builder", bound=Callable[..., Any])

_MOST_LISTED = 40
_MOST_MEANT = 4
_SHORTEST_PART = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Format the known names, if they are not too many, and what was meant for an error message.

    Args:
        name: What the user wrote.
        known: Names that would have been accepted.

    Returns:
        ``Known: a, b. Did you mean 'a'?``; the question only when a name is close or has what the
        user wrote as a part.
    """
    names = sorted(known)
    by_lower, word = {n.lower(): n for n in names}, name.lower()
    meant = [n for n in by_lower if word in n] if len(word) >= _SHORTEST_PART else []
    meant = meant[:_MOST_MEANT] or difflib.get_close_matches(word, list(by_lower), n=1, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(by_lower[n]) for n in meant)}?" if meant else ""
    if len(names) > _MOST_LISTED:
        return f"{len(names)} are known.{hint}"
    return f"Known: {', '.join(names) or 'none'}.{hint}"


class Registry(_FvcoreRegistry):
    """A named table of builders, filled by decorators when modules are imported.

    Example:
        >>> COLORS = Registry("COLORS", "MODEL.COLOR")
        >>> @COLORS.register()
        ... def red(cfg): return (255, 0, 0)
        >>> COLORS.get("red")(None)
        (255, 0, 0)

    Args:
        name: Name of the table, for messages.
        config_key: The configuration key that holds the name, for messages.
        capabilities: What a registration may say about its entry, and what holds where it says
            nothing.
    """

    def __init__(self, name: str, config_key: str, **capabilities: Any) -> None:
        super().__init__(name)
        self.config_key = config_key
        self._defaults = capabilities
        self._capabilities: dict[str, dict[str, Any]] = {}

    def register(self, obj: Any = None, **capabilities: Any) -> Any:
        """Register a builder under its own name, as decorator or as a call.

        Args:
            obj: The builder; None: return a decorator.
            capabilities: What is to be known about it without building it.

        Returns:
            The builder, or the decorator.
        """
        if obj is None:
            return lambda builder: self.register(builder, **capabilities)
        return self.register_as(obj.__name__, **capabilities)(obj)

    def register_as(self, *names: str, **capabilities: Any) -> Callable[[Builder], Builder]:
        """Register what is decorated under names that need not be its own.

        Args:
            names: What a YAML may call it.
            capabilities: As of ``register``.

        Returns:
            The decorator.

        Raises:
            TypeError: If the registry knows no such capability.
        """
        unknown = capabilities.keys() - self._defaults.keys()
        if unknown:
            raise TypeError(
                f"{self._name} registry: unknown capability '{min(unknown)}'. "
                f"{nearest(min(unknown), self._defaults)}"
            )

        def register(builder: Builder) -> Builder:
            for name in names:
                self._do_register(name, builder)
                self._capabilities[name] = {**self._defaults, **capabilities}
            return builder

        return register

    def capability(self, name: str, capability: str) -> Any:
        """Return what the registration of an entry said about it, or the default.

        Args:
            name: A registered name.
            capability: One of the registry's.

        Returns:
            The value.

        Raises:
            KeyError: If nothing was registered under that name.
        """
        self.get(name)
        return self._capabilities[name][capability]

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        return sorted(name for name, _ in self)

    def describe_unknown(self, name: str) -> str:
        """Say that ``name`` is unknown, what is known and what may have been meant."""
        return f"unknown {self._name} '{name}'. {nearest(name, self.names())}"

    def get(self, name: str) -> Any:
        """Look a builder up.

        Args:
            name: A registered name.

        Returns:
            What was registered under it.

        Raises:
            KeyError: If nothing was; the message names the config key and the nearest match.
        """
        if name not in self:
            raise KeyError(f"{self.config_key}: {self.describe_unknown(name)}")
        return super().get(name)
