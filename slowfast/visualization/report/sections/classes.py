"""Classes: confusion matrix, accuracy of each class, wrong predictions."""

from __future__ import annotations

import csv
import heapq
from pathlib import Path
from typing import Any

from slowfast.visualization.report.run import Run
from slowfast.visualization.report.section import Section, make_section

__all__ = ["classes"]

_LARGEST_MAP = 200
"""Classes up to which the confusion matrix is shown."""
_MOST_PAIRS = 200
_MOST_ROWS = 10_000
"""Videos that a table holds; csv files have all."""


def classes(run: Run) -> Section | None:
    """Show the csv files of the protocol ``classification``.

    Args:
        run: The run.

    Returns:
        The section; None if there are no predictions.
    """
    tests = [_read(run, name, folder) for name, folder in run.predictions]
    return make_section("Classes", "report/classes.html", tests=tests) if tests else None


def _read(run: Run, name: str, folder: Path) -> dict[str, Any]:
    """Collect what the template shows of a test."""
    per_class = run.rows(folder / "per_class.csv")
    measure = (
        "average_precision" if per_class and "average_precision" in per_class[0] else "accuracy"
    )
    predictions = run.rows(folder / "predictions.csv")
    wrong_file = folder / "wrong_predictions.csv"
    wrong = run.rows(wrong_file)
    return {
        "name": name.replace("_", " "),
        "videos": len(predictions),
        "measure": measure.replace("_", " "),
        "per_class": [
            [row["name"], int(row["videos"]), float(row[measure]) if row[measure] else None]
            for row in per_class
        ],
        **_confusion(folder / "confusion_matrix.csv"),
        "has_labels": wrong_file.is_file(),
        "num_wrong": len(wrong),
        "wrong": [
            [
                row["path"],
                row["label_name"],
                row["predicted_name"],
                float(row["score"]),
                float(row["label_score"]),
            ]
            for row in wrong[:_MOST_ROWS]
        ],
        "predictions": []
        if wrong_file.is_file()
        else [
            [row["path"], row["label"] or None, row["name_1"], float(row["score_1"])]
            for row in predictions[:_MOST_ROWS]
        ],
    }


def _confusion(file: Path) -> dict[str, Any]:
    """Read the confusion matrix as its entries above 0, and the pairs that are confused most."""
    if not file.is_file():
        return {"names": [], "entries": [], "totals": [], "pairs": []}
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
        rows = csv.reader(text)
        names = next(rows)[1:]
        entries, totals = [], []
        for label, row in enumerate(rows):
            counts = [int(count) for count in row[1:]]
            totals.append(sum(counts))
            entries += [(label, column, count) for column, count in enumerate(counts) if count]
    wrong = [entry for entry in entries if entry[0] != entry[1]]
    pairs = [
        [names[label], names[predicted], count, count / totals[label]]
        for label, predicted, count in heapq.nlargest(_MOST_PAIRS, wrong, key=lambda e: e[2])
    ]
    shown = entries if len(names) <= _LARGEST_MAP else []
    return {"names": names, "entries": shown, "totals": totals, "pairs": pairs}
