"""Writes the report of a run, and the comparison of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slowfast.config import UserError
from slowfast.visualization.pages import render
from slowfast.visualization.report.compare import COMPARISONS
from slowfast.visualization.report.run import Run
from slowfast.visualization.report.sections import SECTIONS

__all__ = ["REPORT_NAME", "write_comparison", "write_report"]

REPORT_NAME = "report.html"


def write_report(folder: str | Path, path: str | Path | None = None) -> Path:
    """Write the report of a run.

    Args:
        folder: OUTPUT_DIR of the run.
        path: The HTML file; None: ``report.html`` in the folder.

    Returns:
        The HTML file.

    Raises:
        UserError: If the folder is no run, one of its files is damaged, or Jinja2 is missing.
    """
    run = Run.open(folder)
    sections = [section for make in SECTIONS if (section := make(run)) is not None]
    path = run.folder / REPORT_NAME if path is None else path
    return render(
        "report.html", path, title=run.name, lead=f"Report of {run.folder}", sections=sections
    )


def write_comparison(folders: Sequence[str | Path], path: str | Path) -> Path:
    """Write the comparison of several runs.

    Args:
        folders: OUTPUT_DIR of each run, at least two. Runs are named by the parts of their paths
            that differ.
        path: The HTML file.

    Returns:
        The HTML file.

    Raises:
        UserError: As ``write_report``, or if a folder is given twice.
    """
    names = _names([Path(folder).resolve() for folder in folders])
    runs = [Run.open(folder, name) for folder, name in zip(folders, names, strict=True)]
    sections = [section for make in COMPARISONS if (section := make(runs, Path(path))) is not None]
    title = f"Comparison of {len(runs)} runs"
    return render("report.html", path, title=title, lead=", ".join(names), sections=sections)


def _names(folders: Sequence[Path]) -> list[str]:
    """Name folders by what differs: the parts of their paths that are not shared by all."""
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise UserError(f"{twice} is given twice; expected different runs.")
    start = 0
    while len({folder.parts[: start + 1] for folder in folders}) == 1:
        start += 1
    names = ["/".join(folder.parts[start:]) for folder in folders]
    return [name or folder.name for name, folder in zip(names, folders, strict=True)]
