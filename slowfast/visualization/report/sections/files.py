"""Files that could not be read, and warnings of the run."""

from __future__ import annotations

from collections import Counter

from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section, make_section

__all__ = ["files"]

_MOST_FILES = 5000


def files(run: Run) -> Section | None:
    """Show ``bad_media.csv`` and ``warnings.log``.

    Args:
        run: The run.

    Returns:
        The section; None if there are neither.
    """
    bad = run.rows("bad_media.csv")
    if not bad and not run.warnings:
        return None
    counts = Counter((row["split"], row["reason"].partition(":")[0]) for row in bad)
    return make_section(
        "Files and warnings",
        "report/files.html",
        bad=[[row["split"], row["path"], row["reason"]] for row in bad[:_MOST_FILES]],
        num_bad=len(bad),
        reasons=[[split, reason, count] for (split, reason), count in counts.most_common()],
        warnings=run.warnings,
    )
