"""Finds configuration files on disk, among the shipped ones, or in an installed package."""

from __future__ import annotations

import difflib
from importlib.util import find_spec
from pathlib import Path

from slowfast.config.problems import ConfigValueError, UserError

__all__ = [
    "PACKAGE_SCHEME",
    "find_config",
    "find_package_file",
    "package_folder",
    "shipped_configs",
]

PACKAGE_SCHEME = "package://"
"""``package://PACKAGE/PATH`` is the URL of a file of an installed package."""


def package_folder(package: str) -> Path | None:
    """Find the folder of an installed package, without importing it.

    Returns:
        The folder (of a checkout, or package data), or None if it is not installed.
    """
    spec = find_spec(package)
    locations = list(spec.submodule_search_locations or []) if spec else []
    folders = [Path(location) for location in locations if Path(location).is_dir()]
    return folders[0] if folders else None


def find_package_file(url: str) -> Path:
    """Find a file of an installed package.

    Args:
        url: ``package://PACKAGE/PATH``.

    Returns:
        The path of the existing file.

    Raises:
        UserError: If the package is not installed or has no such file.
    """
    package, _, inside = url.removeprefix(PACKAGE_SCHEME).partition("/")
    if not package.isidentifier() or not inside:
        raise UserError(f"{url}: expected {PACKAGE_SCHEME}PACKAGE/FILE.")
    folder = package_folder(package)
    if folder is None:
        raise UserError(
            f"{url}: the package '{package}' is not installed. In a checkout: "
            "python -m pip install -e ."
        )
    file = folder / inside
    # A link of the package may lead elsewhere; what the URL says may not.
    if ".." in Path(inside).parts or Path(inside).is_absolute():
        raise UserError(f"{url}: expected a file inside of the package.")
    if not file.is_file():
        raise UserError(f"{url}: no such file in {folder}.")
    return file


def shipped_configs() -> Path | None:
    """Find the folder of shipped configurations.

    Returns:
        The folder (``configs/`` of a checkout, or package data), or None if not installed.
    """
    return package_folder("slowfast_configs")


def find_config(name: str | Path, next_to: Path | None = None, *, option: str = "--cfg") -> Path:
    """Find a YAML file.

    Args:
        name: A path, the name of a shipped configuration with or without the prefix ``configs/``,
            or ``package://PACKAGE/PATH``.
        next_to: A file whose folder is also searched.
        option: Option or key that holds the name, for the message.

    Returns:
        The first that exists of: the path itself, a file of that name next to ``next_to``, the
        shipped one.

    Raises:
        UserError: If no file is found; the message names the closest shipped configuration.
    """
    if str(name).startswith(PACKAGE_SCHEME):
        return find_package_file(str(name))
    path = Path(name)
    shipped = shipped_configs()
    inside = Path(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    candidates = [path]
    if next_to is not None:
        candidates.append(next_to.parent / path.name)
    if shipped is not None and not path.is_absolute():
        candidates.append(shipped / inside)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ConfigValueError(option, f"no such file: {name}.{_suggest(inside, shipped)}")


def _suggest(name: Path, shipped: Path | None) -> str:
    if shipped is None:
        return ""
    known = [str(p.relative_to(shipped)) for p in sorted(shipped.rglob("*.yaml"))]
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    return f" Did you mean '{close[0]}'?" if close else " `slowfast configs` lists those shipped."
