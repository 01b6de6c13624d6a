"""Projects: packages that register parts into the framework and add config sections.

A project is an importable package with ``add_config(cfg)``; importing it registers its parts.
Installed projects declare themselves by an entry point in the group ``slowfast.projects``, which is
only used to say whose section an unknown key belongs to.
"""

from __future__ import annotations

import importlib
from collections.abc import Container, Sequence
from importlib.metadata import entry_points
from types import ModuleType

from fvcore.common.config import CfgNode

from slowfast.config.problems import UserError

__all__ = ["ENTRY_POINT_GROUP", "hint_for_unknown", "import_project", "owner_of_section"]

ENTRY_POINT_GROUP = "slowfast.projects"


def import_project(name: str) -> ModuleType:
    """Import a project, which registers its parts.

    Args:
        name: Name of an installed project's package, e.g. ``stica``.

    Returns:
        The package; it has ``add_config(cfg)``.

    Raises:
        UserError: If there is no such package, or it is not a project.
    """
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise UserError(f"project '{name}' needs the missing module '{error.name}'.") from error
        raise UserError(f"no project '{name}'. Installed: {_installed()}.") from error
    if not callable(getattr(module, "add_config", None)):
        raise UserError(f"'{name}' is not a project: it has no add_config(cfg).")
    return module


def owner_of_section(section: str) -> str | None:
    """Find the installed project that owns a config section.

    Args:
        section: Top-level name, e.g. ``STICA``.

    Returns:
        The project's name, or None.
    """
    for point in entry_points(group=ENTRY_POINT_GROUP):
        sections = CfgNode()
        try:
            import_project(point.module).add_config(sections)
        except (UserError, AttributeError, KeyError):
            continue  # A broken project cannot own anything; naming it here would hide the typo.
        if section in sections:
            return point.name
    return None


def _installed() -> str:
    return ", ".join(sorted(p.name for p in entry_points(group=ENTRY_POINT_GROUP))) or "none"


def hint_for_unknown(registry: Container[str], name: str, projects: Sequence[str]) -> str:
    """Look whether an installed project that is not in use would register a name.

    Args:
        registry: The table that lacks it; importing a project may fill it.
        name: What the user wrote.
        projects: PROJECTS.

    Returns:
        A sentence to add to the error message, or "".
    """
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in projects:
            continue
        try:
            import_project(point.module)
        except UserError:
            continue
        if name in registry:
            return f" '{name}' belongs to the project {point.name}: add PROJECTS: ['{point.name}']."
    return ""
