"""The fields of a sweep's YAML, each checked on its own; mistakes are collected, not raised."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from slowfast.config.load import flatten
from slowfast.config.problems import Problem, UserError
from slowfast.engine.sweep.records import Overrides
from slowfast.utils.registry import nearest

__all__ = [
    "BASE",
    "check_names",
    "read_numbers",
    "read_overrides",
    "read_strings",
    "read_yaml",
    "slug",
    "split_by_stage",
]

BASE = "_BASE_"
"""Names the YAML whose fields a sweep starts from, as in a run config."""

_PLAIN = (bool, int, float, str)


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
            raise yaml.YAMLError(f"the key '{key_node.value}' stands twice, again in line {line}")
        seen.add(str(key_node.value))
    loader.flatten_mapping(node)  # merge keys (<<: *name) come first, so that later keys win
    # As written: YAML reads the key `on` as True, and 1e3 as a number.
    return {str(key.value): loader.construct_object(value, deep=True) for key, value in node.value}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_yaml(file: Path, above: Sequence[Path] = ()) -> dict[str, Any]:
    """Read a sweep's YAML, and the one that its ``_BASE_`` names.

    Args:
        file: The file.
        above: Files that it is the base of.

    Returns:
        Its top level. Keys are strings as written. Of the base's keys the file's own win, of
        ``overrides`` each by itself.

    Raises:
        UserError: If it is not YAML, holds a key twice, is not a mapping, or its base is missing.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{file} must hold 'key: value' lines at its top level.")
    own = dict(content)
    if BASE not in own:
        return own
    base_file = file.parent / str(own.pop(BASE))
    if not base_file.is_file():
        raise UserError(
            f"{file}: {BASE}: there is no {base_file}; paths start at the file's folder."
        )
    if base_file.resolve() in [path.resolve() for path in (*above, file)]:
        raise UserError(f"{file}: {BASE}: {base_file} is, by way of its own {BASE}, based on this.")
    base = read_yaml(base_file, (*above, file))
    overrides = [part.get("overrides") or {} for part in (base, own)]
    if all(isinstance(part, Mapping) for part in overrides):  # otherwise the field's check tells
        own["overrides"] = {**flatten(overrides[0]), **flatten(overrides[1])}
    return {**base, **own}


def check_names(where: str, names: Sequence[str], known: Sequence[str]) -> list[Problem]:
    """Find names that mean nothing.

    Args:
        where: Put in front of the name in the message, such as ``stages.pretrain.``.
        names: What the user wrote.
        known: What is understood.

    Returns:
        A problem for each unknown one, with the nearest known name.
    """
    unknown = [name for name in names if name not in known]
    return [Problem(f"{where}{name}", f"unknown key. {nearest(name, known)}") for name in unknown]


def read_numbers(key: str, value: Any, smallest: int) -> tuple[tuple[int, ...], list[Problem]]:
    """Read a list of seeds or folds.

    Args:
        key: Name for messages.
        value: From the YAML; None or an empty list: not varied.
        smallest: Smallest number allowed.

    Returns:
        The numbers, and what is wrong.
    """
    numbers = [] if value is None else value
    is_list = isinstance(numbers, list)
    if is_list and all(type(n) is int and n >= smallest for n in numbers):
        if len(set(numbers)) == len(numbers):
            return tuple(numbers), []
        return (), [Problem(key, f"got {numbers}, in which a number stands twice.")]
    expected = f"a list of whole numbers from {smallest}, such as [{smallest}, {smallest + 1}]"
    return (), [Problem(key, f"got {value!r}, expected {expected}.")]


def read_strings(key: str, value: Any) -> tuple[tuple[str, ...], list[Problem]]:
    """Read a list of strings; one string alone is a list of one.

    Args:
        key: Name for messages.
        value: From the YAML; None: an empty list.

    Returns:
        The strings, and what is wrong.
    """
    words = [value] if isinstance(value, str) else [] if value is None else value
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return tuple(words), []
    return (), [Problem(key, f"got {value!r}, expected a string or a list of strings.")]


def read_overrides(where: str, value: Any) -> tuple[Overrides, list[Problem]]:
    """Read a mapping of overrides, nested or dotted.

    Args:
        where: Name for messages.
        value: From the YAML; None: no overrides.

    Returns:
        Dotted key -> value, and what is wrong.
    """
    if value is None:
        return {}, []
    if not isinstance(value, Mapping):
        message = f"got {value!r}, expected KEY: value lines, such as SOLVER.BASE_LR: 0.1."
        return {}, [Problem(where, message)]
    found, problems = {}, []
    for key, item in flatten(value).items():
        message = _describe_bad_value(item)
        if message:
            problems.append(Problem(f"{where}.{key}", message))
        elif key.split(".")[-1] == "OUTPUT_DIR":
            message = "the sweep gives each run a folder of its own below output_dir; remove it."
            problems.append(Problem(f"{where}.{key}", message))
        else:
            found[key] = item
    return found, problems


def _describe_bad_value(value: Any) -> str:
    if value is None:
        return "has no value."
    if isinstance(value, list):
        return next((message for message in map(_describe_bad_value, value) if message), "")
    if isinstance(value, _PLAIN):
        return ""
    return f"got {value!r} ({type(value).__name__}), expected a number, a string or a list."


def split_by_stage(
    where: str, overrides: Overrides, stages: Sequence[str]
) -> tuple[dict[str, Overrides], list[Problem]]:
    """Give each stage its overrides: keys that start with a stage's name are for that one alone.

    Args:
        where: Name for messages.
        overrides: From ``read_overrides``.
        stages: Names of the stages; ``[""]`` when there is but one.

    Returns:
        Stage -> overrides, and what is wrong. A key for one stage wins over one for all.
    """
    general: Overrides = {}
    special: dict[str, Overrides] = {name: {} for name in stages}
    problems = []
    for key, value in overrides.items():
        first, _, rest = key.partition(".")
        if first in special and rest:
            special[first][rest] = value
        elif first.islower() and rest:
            named = [name for name in stages if name]
            problems.append(
                Problem(f"{where}.{key}", f"no stage '{first}'. {nearest(first, named)}")
            )
        else:
            general[key] = value
    return {name: {**general, **special[name]} for name in stages}, problems


def slug(value: Any) -> str:
    """Turn a value into a part of a folder's name.

    Args:
        value: A plain value or a list of them.

    Returns:
        Letters, digits and ``. _ + - =`` only; not necessarily unique.
    """
    text = "+".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"[^\w.+=-]+", "_", text, flags=re.ASCII).strip("_.")
