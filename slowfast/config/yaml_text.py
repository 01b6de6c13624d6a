"""Reads YAML files of users: any encoding, bounded size, and base files (``_BASE_``)."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import BASE_KEY

from slowfast.config.problems import UserError

__all__ = ["load_yaml", "read_with_base"]

logger = logging.getLogger(__name__)

_LARGEST_FILE = 10_000_000
_MOST_VALUES = 1_000_000
"""Values of a file after its aliases are expanded."""

_ENCODINGS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def load_yaml(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """Read a YAML file.

    Args:
        path: UTF-8, or UTF-16 or UTF-32 with a byte order mark.
        loader: A safe loader.

    Returns:
        Its content; None if it is empty.

    Raises:
        UserError: If it cannot be read, is not YAML, or is too large, also by its aliases.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise UserError(
                f"{path} has {size} bytes; a configuration has at most {_LARGEST_FILE}."
            )
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    encoding = next((name for mark, name in _ENCODINGS if data.startswith(mark)), "utf-8")
    try:
        content = yaml.load(data.decode(encoding), Loader=_noticing_repeats(loader, path))
        _count(content, {}, ())
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not {encoding.upper()} text (byte {error.start}); save it as UTF-8."
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply for a configuration.") from error
    except _TooLargeError as error:
        raise UserError(f"{path} {error}") from error
    return content


def _noticing_repeats(loader: type[yaml.SafeLoader], path: Path) -> type[yaml.SafeLoader]:
    """Return the loader with a warning for keys that a mapping has twice; YAML forbids them."""

    def construct_mapping(self: Any, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    line = key.start_mark.line + 1
                    logger.warning("%s:%d: %s is there twice; this counts", path, line, key.value)
                seen.add(key.value)
        return loader.construct_mapping(self, node, deep=deep)

    return type(loader.__name__, (loader,), {"construct_mapping": construct_mapping})


class _TooLargeError(Exception):
    """Aliases make a file endless or too large."""


def _count(node: Any, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Count the values of a tree as if each alias were written out."""
    if not isinstance(node, Mapping | list):
        return 1
    if id(node) in above:
        raise _TooLargeError("has an alias of something that contains it.")
    if id(node) not in known:
        children = node.values() if isinstance(node, Mapping) else node
        known[id(node)] = 1 + sum(_count(child, known, (*above, id(node))) for child in children)
        if known[id(node)] > _MOST_VALUES:
            raise _TooLargeError(f"has more than {_MOST_VALUES} values, counted with its aliases.")
    return known[id(node)]


def read_with_base(path: Path) -> dict[str, Any]:
    """Read a configuration and its base files.

    Args:
        path: The file. ``_BASE_`` in it names a file, or a list of them, relative to its folder;
            the keys of a file win over those of its base.

    Returns:
        Nested mappings; empty for an empty file.

    Raises:
        UserError: If one of the files is missing, cannot be read, or is its own base.
    """
    return _read(path, ())


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    content = load_yaml(path)
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold 'KEY: value' lines at its top level.")
    bases = content.pop(BASE_KEY, [])
    merged: dict[str, Any] = {}
    for name in bases if isinstance(bases, list) else [bases]:
        if not isinstance(name, str) or not name:
            raise UserError(f"{path}: {BASE_KEY}: got {name!r}; expected the name of a file.")
        base = path.parent / Path(name).expanduser()
        if not base.is_file():
            raise UserError(
                f"{path}: the file named by {BASE_KEY} is missing: {base}. Names are relative to "
                "the folder of the file."
            )
        chain = (*above, Path(os.path.realpath(path)))
        if Path(os.path.realpath(base)) in chain:
            raise UserError(f"{path}: {BASE_KEY}: {base} is, by its own {BASE_KEY}, based on this.")
        _merge(_read(base, chain), merged, path)
    _merge(content, merged, path)
    return merged


def _merge(values: Mapping[str, Any], into: dict[str, Any], path: Path) -> None:
    for key, value in values.items():
        known = into.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            _merge(value, known, path)
        elif isinstance(value, dict) and known is not None:
            raise UserError(f"{path}: {key} is a section, but a value in the file of {BASE_KEY}.")
        else:
            into[key] = dict(value) if isinstance(value, dict) else value
