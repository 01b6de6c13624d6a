"""Reads the YAML of a sweep, and of the sweeps that its ``_BASE_`` names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from slowfast.config.load import flatten
from slowfast.config.problems import UserError
from slowfast.config.yaml_text import load_yaml

__all__ = ["read_yaml"]

_BASE = "_BASE_"


class _Loader(yaml.SafeLoader):
    """YAML whose keys are strings as written, and where no key silently hides another.

    Of YAML's many spellings only true and false are truth values: a value of an axis may well be
    called on, off, yes or no.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  (a copy of the base's table, as PyYAML does it)
        first: [(tag, rule) for tag, rule in rules if first in "tTfF" or not tag.endswith(":bool")]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        if key_node.value in seen:
            line = key_node.start_mark.line + 1
            raise yaml.YAMLError(f"duplicate key '{key_node.value}' in line {line}")
        seen.add(str(key_node.value))
    loader.flatten_mapping(node)  # merge keys (<<: *name) come first, so that later keys win
    # As written: YAML reads the key `on` as True, and 1e3 as a number.
    return {str(key.value): loader.construct_object(value, deep=True) for key, value in node.value}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a sweep's YAML, and the chain of those that are its base.

    Returns:
        Its top level. Keys are strings as written. A file's keys win over those of its base, and
        within ``overrides`` each key by itself.

    Raises:
        UserError: If one is not YAML, holds a key twice, is not a mapping, or its base is missing.
    """
    content: dict[str, Any] = {}
    overrides: list[Any] = []
    read = []
    while True:
        part = _read_one(file)
        read.append(file.resolve())
        base = part.pop(_BASE, None)
        content = {**part, **content}
        overrides.append(part.get("overrides") or {})
        if base is None:
            break
        file, child = file.parent / str(base), file
        if not file.is_file():
            raise UserError(f"{child}: {_BASE}: no file {file}; paths start at the file's folder.")
        if file.resolve() in read:
            raise UserError(f"{child}: {_BASE}: {file} is, by its own {_BASE}, based on this.")
    wrong = [part for part in overrides if not isinstance(part, Mapping)]
    merged = {k: v for part in reversed(overrides) if not wrong for k, v in flatten(part).items()}
    return {**content, "overrides": wrong[0] if wrong else merged}


def _read_one(file: Path) -> dict[str, Any]:
    content = load_yaml(file, _Loader)
    if not isinstance(content, Mapping):
        raise UserError(f"{file} must hold 'key: value' lines at its top level.")
    return dict(content)
