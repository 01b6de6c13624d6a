"""Finds configuration files: on disk, or among the shipped ones."""

from __future__ import annotations

import difflib
from importlib.util import find_spec
from pathlib import Path

from slowfast.config.problems import UserError

__all__ = ["find_config", "shipped_configs"]


def shipped_configs() -> Path | None:
    """Locate the folder of shipped configurations.

    Returns:
        The folder (``configs/`` of a checkout, or package data), or None when not installed.
    """
    spec = find_spec("slowfast_configs")
    locations = list(spec.submodule_search_locations or []) if spec else []
    folders = [Path(location) for location in locations if Path(location).is_dir()]
    return folders[0] if folders else None


def find_config(name: str | Path, beside: Path | None = None) -> Path:
    """Find a YAML file.

    Args:
        name: A path, or the name of a shipped configuration with or without ``configs/`` in front.
        beside: A file whose folder is searched too.

    Returns:
        The first that exists of: the path itself, the path beside ``beside``, the shipped one.

    Raises:
        UserError: If there is none; names the closest shipped configuration.
    """
    path = Path(name)
    shipped = shipped_configs()
    inside = Path(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    candidates = [path]
    if beside is not None:
        candidates.append(beside.parent / path.name)
    if shipped is not None and not path.is_absolute():
        candidates.append(shipped / inside)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UserError(f"--cfg: no such file: {name}.{_suggest(inside, shipped)}")


def _suggest(name: Path, shipped: Path | None) -> str:
    if shipped is None:
        return ""
    known = [str(p.relative_to(shipped)) for p in sorted(shipped.rglob("*.yaml"))]
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    return f" Did you mean '{close[0]}'?" if close else f" Shipped: {', '.join(known)}."
