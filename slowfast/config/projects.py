"""Projects: packages that register components into the framework and add config sections.

A project is an importable module with ``add_config(cfg)``; importing it registers its components.
It is installed, or in a folder of PROJECTS_PATH.
Installed projects have an entry point in the group ``slowfast.projects``. It is only used to find
the project that an unknown section or name belongs to.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from fvcore.common.config import CfgNode

from slowfast.config.problems import ConfigValueError, Problem, UserError

__all__ = [
    "ENTRY_POINT_GROUP",
    "belongs_to",
    "find_missing",
    "import_installed_projects",
    "import_project",
    "inactive_project",
    "installed_projects",
    "owner_of_section",
]

ENTRY_POINT_GROUP = "slowfast.projects"
_failed: dict[str, str] = {}
"""Project whose import failed -> the error."""


def import_project(name: str, folders: Sequence[str | Path] = ()) -> ModuleType:
    """Import a project, which registers its components.

    Args:
        name: Name of a project's module.
        folders: PROJECTS_PATH, folders of projects that are not installed.

    Returns:
        The module; it has ``add_config(cfg)``.

    Raises:
        UserError: If there is no such module, its import fails, it is not a project, or its name is
            already taken.
    """
    places = [Path(folder).expanduser().absolute() for folder in folders]
    for place in places:
        if not place.is_dir():
            raise ConfigValueError("PROJECTS_PATH", f"no such folder: {place}.")
        if str(place) not in sys.path:
            sys.path.append(str(place))
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigValueError("PROJECTS", f"got {name!r}; expected the name of a package.")
    importlib.invalidate_caches()
    with _without_working_folder(places):
        module = _import(name, places)
    file = Path(getattr(module, "__file__", None) or "")
    meant = next((p for p in places if (p / name).is_dir() or (p / f"{name}.py").is_file()), None)
    if meant is not None and not file.resolve().is_relative_to(meant.resolve()):
        raise ConfigValueError(
            "PROJECTS",
            f"'{name}' of {meant} has the same name as another module, {file}; rename it.",
        )
    if not callable(getattr(module, "add_config", None)):
        raise UserError(f"'{name}' is not a project: it has no add_config(cfg).")
    return module


def _import(name: str, places: Sequence[Path]) -> ModuleType:
    if name in _failed:  # a second try would register again what came before the error
        raise UserError(f"{_failed[name]} Correct it, and start Python again.")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            _failed[name] = f"project '{name}' needs the missing module '{error.name}'."
            raise UserError(_failed[name]) from error
        where = f"; not in {', '.join(map(str, places))}, either" if places else ""
        installed = ", ".join(installed_projects()) or "none"
        raise UserError(f"no project '{name}'. Installed: {installed}{where}.") from error
    except UserError as error:
        _failed[name] = str(error)
        raise
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error} ({at.filename}, line {at.lineno})."
        _failed[name] = f"project '{name}' could not be imported: {told}"
        raise UserError(_failed[name]) from error


@contextlib.contextmanager
def _without_working_folder(places: Sequence[Path]) -> Iterator[None]:
    """Keep Python from importing a file of the working folder that has the name of a project.

    ``python -m`` and scripts put it first into ``sys.path``. A checkout, whose packages are the
    installed ones, and folders of PROJECTS_PATH and PYTHONPATH are searched all the same.
    """
    here = Path.cwd()
    asked = {*places, *map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))}
    is_asked = here in {(here / path).absolute() for path in asked}
    before = list(sys.path)
    if not is_asked:
        sys.path[:] = [e for e in before if Path(e or here) != here or _is_ours(e)]
    try:
        yield
    finally:
        added = [entry for entry in sys.path if entry not in before]
        sys.path[:] = before + added


def _is_ours(entry: str) -> bool:
    return Path(entry or Path.cwd()) == Path(__file__).parents[2]


def import_installed_projects() -> None:
    """Import every installed project, so that its registry entries can be found by name.

    For tools that take a name and no configuration.

    Raises:
        UserError: If one of them is broken.
    """
    for point in _installed_points():
        import_project(point.module)


def owner_of_section(section: str) -> str | None:
    """Find the installed project that owns a config section."""
    for point in _installed_points():
        sections = CfgNode()
        try:
            import_project(point.module).add_config(sections)
        except (UserError, AttributeError, KeyError):
            continue  # A broken project cannot own anything; naming it here would hide the typo.
        if section in sections:
            return point.name
    return None


def installed_projects() -> list[str]:
    """Return the names of the installed projects, sorted."""
    return sorted(point.name for point in _installed_points())


def find_missing(key: str, registry: Any, name: str, projects: Sequence[str]) -> Problem | None:
    """Explain why a name cannot be used: it is unknown, or its project is not in PROJECTS.

    Args:
        key: The configuration key that holds the name.
        registry: A ``slowfast.utils.registry.Registry``; importing a project may fill it.
        name: What the user wrote.
        projects: PROJECTS.

    Returns:
        The problem; None if the name can be used.
    """
    if name in registry and inactive_project(registry.get(name), projects) is None:
        return None
    for point in _installed_points():
        if point.name in projects:
            continue
        try:
            import_project(point.module)
        except UserError:
            continue
        if name in registry and inactive_project(registry.get(name), projects) == point.name:
            return belongs_to(key, f"'{name}' ", point.name)
    return Problem(key, str(registry.describe_unknown(name)))


def belongs_to(key: str, what: str, project: str) -> Problem:
    """Return the problem that something belongs to a project which is not in PROJECTS.

    Args:
        key: The configuration key, or section.
        what: What the project registers, with a trailing space; "" for the key itself.
        project: Name of the project.

    Returns:
        The problem.
    """
    message = f"{what}belongs to the project {project}: add PROJECTS: ['{project}']."
    return Problem(key, message, project)


def inactive_project(registered: Any, projects: Sequence[str]) -> str | None:
    """Find the installed project that registered something, if it is not in PROJECTS.

    Registry entries of a project remain until the process ends, even if the next job does not use
    the project.

    Args:
        registered: A function or class.
        projects: PROJECTS.

    Returns:
        The project's name, or None.
    """
    package = registered.__module__.partition(".")[0]
    owners = (point.name for point in _installed_points() if point.module == package)
    return next((name for name in owners if name not in projects), None)


@functools.cache
def _installed_points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINT_GROUP))
