"""``report.html`` of a run, and the comparison of several, from the files of OUTPUT_DIR alone."""

from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section
from slowfast.visualization.report.write import write_comparison, write_report

__all__ = ["Run", "Section", "write_comparison", "write_report"]
