"""The configuration: what differs from the YAML and from the defaults."""

from __future__ import annotations

import logging
from typing import Any

from slowfast.config import UserError
from slowfast.config.load import flatten, load_config
from slowfast.config.paths import find_config
from slowfast.config.projects import import_project
from slowfast.config.sections import get_cfg
from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section, make_section

__all__ = ["configuration"]


def configuration(run: Run) -> Section:
    """Show the keys that differ from the YAML of the run or from the defaults, then all keys.

    Args:
        run: The run.

    Returns:
        The section.
    """
    defaults, notes = _defaults(run)
    of_yaml, more = _of_yaml(run)
    notes += more
    rows = []
    for key, value in run.config.items():
        base, yaml = defaults.get(key, "?"), of_yaml.get(key, value)
        if not _equal(value, base) or not _equal(value, yaml):
            origin = "YAML" if of_yaml and _equal(value, yaml) else "command line"
            rows.append([key, _text(value), _text(base), *([origin] if of_yaml else [])])
    return make_section(
        "Configuration",
        "report/configuration.html",
        rows=rows,
        notes=notes,
        has_yaml=bool(of_yaml),
        all=[[key, _text(value)] for key, value in run.config.items()],
    )


def _defaults(run: Run) -> tuple[dict[str, Any], list[str]]:
    """Return the defaults of the framework and of the run's projects, and what is missing."""
    cfg, notes = get_cfg(), []
    for name in run.config.get("PROJECTS", []):
        try:
            import_project(name, run.config.get("PROJECTS_PATH", [])).add_config(cfg)
        except UserError as error:
            notes.append(f"The defaults of project {name} are not known: {error}")
    return flatten(cfg), notes


def _of_yaml(run: Run) -> tuple[dict[str, Any], list[str]]:
    """Return the configuration that the YAML of the run gives without a command line."""
    source = run.record.get("source", "")
    try:
        find_config(source)
    except UserError:  # the file is gone, or the run had none
        return {}, []
    logging.disable(logging.WARNING)  # the log of the run has them
    try:
        return flatten(load_config(source, validate=False).cfg), []
    except UserError as error:
        return {}, [f"{source} cannot be compared with: {error}"]
    finally:
        logging.disable(logging.NOTSET)


def _equal(one: Any, other: Any) -> bool:
    """Compare values as YAML holds them: tuples are lists, whole numbers may be floats."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _text(value: Any) -> str:
    return repr(list(value) if isinstance(value, tuple) else value)
