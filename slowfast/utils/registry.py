"""Registries: names of builders, with capabilities of entries and helpful error messages."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Builder = TypeVar("Builder", bound=Callable[..., Any])

_MOST_LISTED = 40
_MOST_MEANT = 4
_SHORTEST_PART = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Format the known names (if not too many) and the closest matches for an error message.

    Returns:
        ``Known: a, b. Did you mean 'a'?``; the question only if a name is close to what the user
        wrote or contains it.
    """
    names = sorted(known)
    by_lower, word = {n.lower(): n for n in names}, name.lower()
    meant = [n for n in by_lower if word in n] if len(word) >= _SHORTEST_PART else []
    meant = meant[:_MOST_MEANT] or difflib.get_close_matches(word, list(by_lower), n=1, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(by_lower[n]) for n in meant)}?" if meant else ""
    if len(names) > _MOST_LISTED:
        return f"{len(names)} are known.{hint}"
    return f"Known: {', '.join(names) or 'none'}.{hint}"


class Registry:
    """A named registry of builders, filled by decorators when modules are imported.

    Example:
        >>> COLORS = Registry("COLORS", "MODEL.COLOR")
        >>> @COLORS.register()
        ... def red(cfg): return (255, 0, 0)
        >>> COLORS.get("red")(None)
        (255, 0, 0)

    Args:
        name: Name of the registry, for messages.
        config_key: Config key that selects an entry, for messages.
        ignore_case: Names are stored in lower case, and found in any case.
        filled_by: Module that registers the framework's entries, imported at the first lookup;
            empty: whoever imports the registry has imported it.
        capabilities: Properties that an entry can declare when it is registered, with their
            defaults.
    """

    def __init__(
        self,
        name: str,
        config_key: str,
        *,
        ignore_case: bool = False,
        filled_by: str = "",
        **capabilities: Any,
    ) -> None:
        self._name, self.config_key = name, config_key
        self._ignore_case, self._filled_by = ignore_case, filled_by
        self._defaults = capabilities
        self._obj_map: dict[str, Any] = {}
        self._capabilities: dict[str, dict[str, Any]] = {}

    def register(self, obj: Any = None, **capabilities: Any) -> Any:
        """Register a builder under its own name, as decorator or as a call.

        Args:
            obj: The builder; None: return a decorator.
            capabilities: Its properties, readable without building it.

        Returns:
            The builder, or the decorator.
        """
        if obj is None:
            return lambda builder: self.register(builder, **capabilities)
        return self.register_as(obj.__name__, **capabilities)(obj)

    def register_as(self, *names: str, **capabilities: Any) -> Callable[[Builder], Builder]:
        """Register a builder under other names than its own, as decorator.

        Args:
            names: Names for use in a YAML.
            capabilities: As in ``register``.

        Returns:
            The decorator.

        Raises:
            TypeError: If the registry knows no such capability.
            ValueError: At the decorated builder, if a name is taken.
        """
        unknown = capabilities.keys() - self._defaults.keys()
        if unknown:
            raise TypeError(
                f"{self._name} registry: unknown capability '{min(unknown)}'. "
                f"{nearest(min(unknown), self._defaults)}"
            )

        def register(builder: Builder) -> Builder:
            for name in map(self._key, names):
                if name in self._obj_map:
                    raise ValueError(f"{self._name} registry: '{name}' is registered twice.")
                self._obj_map[name] = builder
                self._capabilities[name] = {**self._defaults, **capabilities}
            return builder

        return register

    def capability(self, name: str, capability: str) -> Any:
        """Return a capability of an entry, or its default.

        Args:
            name: A registered name.
            capability: Name of a capability of this registry.

        Returns:
            The value.

        Raises:
            KeyError: If nothing was registered under that name.
        """
        self.get(name)
        return self._capabilities[self._key(name)][capability]

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        return sorted(name for name, _ in self)

    def describe_unknown(self, name: str) -> str:
        """Return an error message with the known names and the closest match."""
        return f"unknown {self._name} '{name}'. {nearest(name, self.names())}"

    def get(self, name: str) -> Any:
        """Return the builder of a name.

        Raises:
            KeyError: If the name is unknown; the message has the config key and the closest match.
        """
        if name not in self:
            raise KeyError(f"{self.config_key}: {self.describe_unknown(name)}")
        return self._obj_map[self._key(name)]

    def __contains__(self, name: str) -> bool:
        self._fill()
        return self._key(name) in self._obj_map

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        self._fill()
        return iter(self._obj_map.items())

    def _fill(self) -> None:
        module, self._filled_by = self._filled_by, ""
        if module:
            importlib.import_module(module)

    def _key(self, name: str) -> str:
        return name.lower() if self._ignore_case else name
