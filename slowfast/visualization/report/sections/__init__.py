"""The sections of the report of a run, one file each.

A section is a function ``(run: Run) -> Section | None``: None if the run has nothing to show in it.
It reads files of ``run.folder`` and renders a template of ``pages/templates/report``::

    def my_section(run: Run) -> Section | None:
        folder = run.folder / "insight"
        if not folder.is_dir():
            return None
        return make_section("Feature crops", "report/crops.html", crops=...)

To add one: write its file and its template (``macros.html`` has tables, charts and galleries), and
add the function to SECTIONS, where it is shown. A damaged file is a ``UserError`` that names it.
"""

from __future__ import annotations

from collections.abc import Callable

from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section
from slowfast.visualization.report.sections.classes import classes
from slowfast.visualization.report.sections.clips import clips, grad_cam
from slowfast.visualization.report.sections.configuration import configuration
from slowfast.visualization.report.sections.embedding import embedding
from slowfast.visualization.report.sections.files import files
from slowfast.visualization.report.sections.metrics import metrics
from slowfast.visualization.report.sections.retrieval import retrieval
from slowfast.visualization.report.sections.summary import summary
from slowfast.visualization.report.sections.throughput import throughput
from slowfast.visualization.report.sections.training import training

__all__ = ["SECTIONS"]

SECTIONS: list[Callable[[Run], Section | None]] = [
    summary,
    metrics,
    training,
    throughput,
    classes,
    grad_cam,
    embedding,
    retrieval,
    clips,
    files,
    configuration,
]
