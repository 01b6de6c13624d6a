"""Loads YAML files and command-line overrides into one frozen configuration.

The steps are: read PROJECTS from the YAML and its base files; import each project, which adds its
sections; merge YAML, demo overlay and command line; run every registered check on the result. All
problems of merging and of checks are reported at once. Without PROJECTS, the installed project that
owns the sections and names in use is imported.
"""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fvcore.common.config import CfgNode

from slowfast.config.checks import examine
from slowfast.config.paths import find_config
from slowfast.config.problems import ConfigError, ConfigValueError, Problem, UserError
from slowfast.config.projects import belongs_to, import_project, owner_of_section
from slowfast.config.renamed import Renamed, translate
from slowfast.config.sections import get_cfg
from slowfast.config.sections.unsupported import SECTIONS
from slowfast.config.values import flatten, has_impossible_numbers
from slowfast.config.yaml_text import read_with_base

__all__ = ["Change", "LoadedConfig", "flatten", "is_demo", "load_config"]

logger = logging.getLogger(__name__)


class Change(NamedTuple):
    """A key whose value the demo overlay changed."""

    key: str
    before: Any
    after: Any


class LoadedConfig(NamedTuple):
    """A validated configuration and where it came from.

    Attributes:
        cfg: The frozen tree.
        source: The YAML file, or "the command line".
        demo_changes: What the demo overlay changed; empty when it was not applied.
        notes: Sentences about accepted values without effect, for the log.
    """

    cfg: CfgNode
    source: str
    demo_changes: list[Change]
    notes: list[str]


def load_config(
    path: str | Path | None,
    overrides: Sequence[str] = (),
    *,
    assignments: Mapping[str, Any] | None = None,
    validate: bool = True,
    last_check: Callable[[CfgNode, list[Problem]], list[Problem]] | None = None,
) -> LoadedConfig:
    """Load, merge and validate one configuration.

    Args:
        path: A YAML file: a path, or the name of a shipped one (``Kinetics/x.yaml``). None: only
            defaults and overrides.
        overrides: ``KEY VALUE KEY VALUE ...`` from the command line; the last value wins.
        assignments: Values set last, such as the rank of this machine.
        validate: Run the registered checks. Problems of merging are always reported.
        last_check: An additional slow check; it also receives the problems found so far.

    Returns:
        The frozen configuration and its source.

    Raises:
        ConfigError: With every problem found.
        UserError: If the file is missing or is not YAML.
    """
    source = "the command line" if path is None else str(path)
    file = None if path is None else find_config(path)
    from_yaml, renamed = translate({} if file is None else flatten(read_with_base(file)))
    words, problems = _pair_up(overrides)
    from_user, found = translate(words)
    renamed += found
    cfg = get_cfg()
    _make_absolute(from_yaml, file.parent if file else Path())
    _make_absolute(from_user, Path())
    problems += _add_projects(cfg, from_yaml, from_user)
    problems += _merge(cfg, from_yaml)
    overlay, found = _read_demo(cfg, from_yaml, from_user, file)
    renamed += found
    demo_changes, wrong = _apply_demo(cfg, overlay) if overlay else ([], [])
    problems += [*wrong, *_merge(cfg, from_user), *_merge(cfg, dict(assignments or {}))]
    has_projects = not any(problem.key.startswith("PROJECTS") for problem in problems)
    notes: list[str] = []
    if validate and has_projects:
        found_problems, notes = examine(cfg)
        problems += found_problems
    needed = sorted({problem.project for problem in problems if problem.project})
    if len(needed) == 1 and "PROJECTS" not in {**from_yaml, **from_user}:
        logger.warning("%s needs project %s; using PROJECTS %s", source, *needed, needed)
        return load_config(
            path,
            [*overrides, "PROJECTS", str(needed)],
            assignments=assignments,
            validate=validate,
            last_check=last_check,
        )
    if validate and has_projects and last_check is not None:
        problems += last_check(cfg, problems)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)), source)  # report a section once
    cfg.freeze()
    for old, new in dict.fromkeys(renamed):
        logger.warning("%s: %s was renamed to %s", source, old, new)
    return LoadedConfig(cfg, source, demo_changes, notes)


def is_demo(data: Mapping[str, Any]) -> bool:
    """Return whether a job uses the built-in demo set because no data is given.

    Args:
        data: Section DATA of its configuration.

    Returns:
        Whether the overlay of DEMO_CFG applies.
    """
    return bool(data.get("DEMO_CFG")) and not data.get("PATH_TO_DATA_DIR")


def _pair_up(words: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    if len(words) % 2:
        message = (
            f"overrides come in pairs KEY VALUE; got {len(words)} words, so one KEY or VALUE is "
            "missing."
        )
        return {}, [Problem(words[-1], message)]
    return dict(zip(words[::2], words[1::2], strict=True)), []


def _make_absolute(values: dict[str, Any], start: Path) -> None:
    """Make PROJECTS_PATH absolute, since config.yaml of a run is stored in another folder."""
    folders = CfgNode._decode_cfg_value(values.get("PROJECTS_PATH", []))
    if isinstance(folders, list | tuple) and all(isinstance(f, str) for f in folders) and folders:
        values["PROJECTS_PATH"] = [str((start / Path(f).expanduser()).absolute()) for f in folders]


def _add_projects(
    cfg: CfgNode, from_yaml: Mapping[str, Any], from_user: Mapping[str, Any]
) -> list[Problem]:
    lists = []
    for key, example in (("PROJECTS", "names"), ("PROJECTS_PATH", "folders")):
        value = from_user.get(key, from_yaml.get(key, []))
        names = CfgNode._decode_cfg_value(value)
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            message = f"got {value!r}, expected a list of {example} such as ['{example[:-1]}']."
            return [Problem(key, message)]
        lists.append(names)
    problems = []
    for name in dict.fromkeys(lists[0]):
        try:
            import_project(name, lists[1]).add_config(cfg)
        except ConfigValueError as error:
            problems.append(error.problem)
        except UserError as error:
            problems.append(Problem("PROJECTS", str(error)))
    return problems


def _merge(cfg: CfgNode, values: Mapping[str, Any]) -> list[Problem]:
    """Set each key, and collect all problems instead of stopping at the first."""
    known = flatten(cfg)
    problems = []
    for key, value in values.items():
        if key not in known:
            problems.append(_unknown_key(cfg, key, known))
            continue
        if has_impossible_numbers(CfgNode._decode_cfg_value(value)):
            message = f"got {value!r}, expected numbers that are not nan and fit into 64 bits."
            problems.append(Problem(key, message))
            continue
        wrong = _wrong_elements(value, _EXAMPLES.get(key, known[key]))
        if wrong:
            problems.append(Problem(key, f"got {value!r}, expected a list of {wrong}."))
            continue
        if key in _MAY_BE_AUTO:
            problems += _set_switch(cfg, key, value)
            continue
        needs_number = isinstance(known[key], int | float) and key not in _MAY_BE_NONE
        if value in (None, "None") and needs_number:
            expected = type(known[key]).__name__
            problems.append(Problem(key, f"got no value, expected {expected}."))
            continue
        try:
            cfg.merge_from_list([key, _widen(value, known[key])])
        except (ValueError, AssertionError):
            expected = type(known[key]).__name__
            got = f"{value!r} ({type(CfgNode._decode_cfg_value(value)).__name__})"
            problems.append(Problem(key, f"got {got}, expected {expected}."))
    return problems


# Numbers whose None switches something off.
_MAY_BE_NONE = ("AUG.COLOR_JITTER",)

# Booleans that may also be "auto", which YACS, with one type per key, does not allow.
_MAY_BE_AUTO = ("TRAIN.MIXED_PRECISION", "MODEL.CHANNELS_LAST")


def _set_switch(cfg: CfgNode, key: str, value: Any) -> list[Problem]:
    """Set a key to True, False or "auto"."""
    switch = _widen(value, default=True)
    switch = CfgNode._decode_cfg_value(switch)
    if not isinstance(switch, bool) and switch != "auto":
        return [Problem(key, f"got {value!r}, expected True, False or 'auto'.")]
    *sections, name = key.split(".")
    functools.reduce(getattr, sections, cfg)[name] = switch
    return []


_ELEMENTS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((str,), "strings"),
    ((int,), "integers"),
    ((int, float), "numbers"),
    ((list,), "lists"),
)


# What lists have that are empty by default.
_EXAMPLES: dict[str, list[Any]] = {
    "DATA.ROW_FIELDS": [""],
    "DATA.TRAIN_CLIP_DISTANCE_SEC": [1.0],
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": [1.0],
    "DATA.TRAIN_JITTER_SCALES_RELATIVE": [1.0],
    "MVIT.DIM_MUL": [[]],
    "MVIT.HEAD_MUL": [[]],
    "MVIT.POOL_KV_STRIDE": [[]],
    "MVIT.POOL_Q_STRIDE": [[]],
    "SOLVER.LRS": [1.0],
    "SOLVER.STEPS": [1.0],
    "TENSORBOARD.MODEL_VIS.LAYER_LIST": [""],
    "TEST.NUM_TEMPORAL_CLIPS": [1],
    "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN": [""],
}


def _wrong_elements(value: Any, default: Any) -> str:
    """Return the expected element type of a list, which YACS does not check; "" if it is right."""
    elements = CfgNode._decode_cfg_value(value)
    if not default or not isinstance(default, list) or not isinstance(elements, list | tuple):
        return ""
    for kinds, name in _ELEMENTS:
        if all(isinstance(e, kinds) and not isinstance(e, bool) for e in default):
            fits = all(isinstance(e, kinds) and not isinstance(e, bool) for e in elements)
            return "" if fits else name
    return ""


_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
_NULLS = ("null", "none", "~")


def _widen(value: Any, default: Any) -> Any:
    """Accept an integer as a float and YAML's spellings of booleans and null, unlike YACS.

    A string stays a string. ``KEY:`` without a value is an empty string or list.
    """
    if value is None and isinstance(default, str | list | tuple):
        return repr("") if isinstance(default, str) else []
    if isinstance(default, str) and isinstance(value, str):
        return repr(value)
    decoded = CfgNode._decode_cfg_value(value)
    if isinstance(decoded, str) and isinstance(default, bool):
        return _BOOLEANS.get(decoded.lower(), value)
    if isinstance(decoded, str) and default is None and decoded.lower() in _NULLS:
        return None
    if isinstance(default, float) and isinstance(decoded, int) and not isinstance(decoded, bool):
        return float(decoded)
    return value


def _unknown_key(cfg: CfgNode, key: str, known: Mapping[str, Any]) -> Problem:
    section = key.split(".")[0]
    if section not in cfg:
        owner = owner_of_section(section)
        if owner:
            return belongs_to(section, "", owner)
        if section in SECTIONS:
            return Problem(section, f"is not supported: {SECTIONS[section]}.")
    return Problem(key, _describe_unknown_key(cfg, key, known))


def _describe_unknown_key(cfg: CfgNode, key: str, known: Mapping[str, Any]) -> str:
    if key in cfg or any(name.startswith(f"{key}.") for name in known):
        return "is a section, not a key; set one of its keys."
    if cfg.key_is_renamed(key):
        return f"was renamed: use {cfg.__dict__[CfgNode.RENAMED_KEYS][key]}."
    if same := [name for name in known if name.lower() == key.lower()]:
        return f"unknown key. Did you mean '{same[0]}'?"
    leaf = key.rpartition(".")[2]
    close = [
        name for name in known if name.rpartition(".")[2] == leaf
    ]  # same key in another section
    if len(close) != 1:
        close = difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)
    return "unknown key." + (f" Did you mean '{close[0]}'?" if close else "")


def _read_demo(
    cfg: CfgNode, from_yaml: Mapping[str, Any], from_user: Mapping[str, Any], file: Path | None
) -> tuple[dict[str, Any], list[Renamed]]:
    """Read the demo overlay if no data is given, and which of its keys are renamed."""
    merged = cfg.clone()
    _merge(merged, from_user)  # only for DATA; problems are reported elsewhere
    if not is_demo(merged.DATA):
        return {}, []
    demo = find_config(merged.DATA.DEMO_CFG, next_to=file, option="DATA.DEMO_CFG")
    overlay, renamed = translate(flatten(read_with_base(demo)))
    # The config.yaml of a demo run already has the overlay, and the overrides on top of it.
    return ({}, []) if overlay.keys() <= from_yaml.keys() else (overlay, renamed)


def _apply_demo(cfg: CfgNode, overlay: dict[str, Any]) -> tuple[list[Change], list[Problem]]:
    before = flatten(cfg)
    problems = _merge(cfg, overlay)
    after = flatten(cfg)
    changes = [Change(key, before[key], after[key]) for key in overlay if key in before]
    return [c for c in changes if c.before != c.after], problems
