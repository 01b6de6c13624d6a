"""Predictions of a classifier: what is written after the protocol ``classification``.

In OUTPUT_DIR: ``predictions.csv`` and, where videos have labels, ``per_class.csv``,
``confusion_matrix.csv`` and ``wrong_predictions.csv``; a summary is in ``results.json``. For lists
of classes (DATA.MULTI_LABEL) the last two do not exist, and a class has an average precision.

Legend: N videos, M classes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slowfast.engine.features import FeatureTable
from slowfast.utils.io import write_csv
from slowfast.utils.metrics import average_precision

__all__ = ["Predictions", "summarize", "write_reports"]

logger = logging.getLogger(__name__)

_TOP = 5
_MOST_CLASSES = 100
"""Classes up to which ``results.json`` has the value of each."""

_LARGEST_MATRIX = 20
"""Classes up to which ``results.json`` has the confusion matrix."""

_LARGEST_MATRIX_FILE = 2000
"""Classes up to which there is a ``confusion_matrix.csv``."""

_MOST_WRONG = 20
"""Wrong predictions that ``results.json`` shows."""

_DIGITS = 6

_FILES = {"predictions.csv", "per_class.csv", "wrong_predictions.csv", "confusion_matrix.csv"}
_PER_CLASS = {False: ("videos", "accuracy"), True: ("videos", "average_precision")}


@dataclass(frozen=True)
class Predictions:
    """Scores of the videos of a split.

    Attributes:
        table: Its ``scores``, ``label``, ``index`` and ``num_views``, one row per video.
        paths: Name of the file of each video.
        class_names: Name of each of the M classes; those without a name have their number.
        ensemble: DATA.ENSEMBLE_METHOD.
    """

    table: FeatureTable
    paths: list[str]
    class_names: list[str]
    ensemble: str = "sum"

    @property
    def scores(self) -> Tensor:
        """Class scores: float32 (N, M)."""
        return self.table.features["scores"]

    @classmethod
    def create(
        cls,
        table: FeatureTable,
        name_of: Callable[[int], str],
        class_names: Sequence[str],
        ensemble: str = "sum",
    ) -> Predictions:
        """Name the videos and classes of a table.

        Args:
            table: A table with ``scores``.
            name_of: Row of the manifest -> name of the file.
            class_names: Names of classes in the order of their labels; may be shorter than M.
            ensemble: DATA.ENSEMBLE_METHOD.

        Returns:
            The predictions.
        """
        num_classes = table.features["scores"].shape[1]
        names = list(class_names[:num_classes])
        names += [str(label) for label in range(len(names), num_classes)]
        return cls(table, [name_of(row) for row in table.index.tolist()], names, ensemble)

    def label_text(self, row: int) -> str:
        """Return the label of a video: the number, or a list of numbers; empty if unknown."""
        if not self.table.is_labeled[row]:
            return ""
        label = self.table.label[row]
        if self.table.is_multi_label:
            return f"[{','.join(str(n) for n in label.nonzero().flatten().tolist())}]"
        return str(int(label))


def write_reports(predictions: Predictions, output_dir: Path) -> dict[str, Any]:
    """Write the csv files of a test.

    Args:
        predictions: The predictions.
        output_dir: OUTPUT_DIR.

    Returns:
        The summary for ``results.json``; see ``summarize``.
    """
    _write_predictions(predictions, output_dir / "predictions.csv")
    written = ["predictions.csv"]
    known = predictions.table.is_labeled
    if known.any():
        written.append("per_class.csv")
        header = ["class", "name", *_PER_CLASS[predictions.table.is_multi_label]]
        rows = zip(*_per_class(predictions).values(), strict=True)
        numbered = enumerate(zip(predictions.class_names, rows, strict=True))
        write_csv(
            output_dir / written[-1],
            header,
            ([label, name, *values] for label, (name, values) in numbered),
        )
    if known.any() and not predictions.table.is_multi_label:
        written.append("wrong_predictions.csv")
        write_csv(
            output_dir / written[-1],
            ["path", "label", "label_name", "predicted", "predicted_name", "score", "label_score"],
            (wrong.values() for wrong in _wrong(predictions)),
        )
        if len(predictions.class_names) <= _LARGEST_MATRIX_FILE:
            written.append("confusion_matrix.csv")
            header = ["label \\ predicted", *predictions.class_names]
            matrix = zip(predictions.class_names, _confusion(predictions).tolist(), strict=True)
            write_csv(output_dir / written[-1], header, ([name, *row] for name, row in matrix))
    for name in _FILES - set(written):  # of an earlier test
        (output_dir / name).unlink(missing_ok=True)
    logger.info("predictions: %s in %s", ", ".join(written), output_dir)
    return summarize(predictions)


def _write_predictions(predictions: Predictions, file: Path) -> None:
    best = predictions.scores.topk(min(_TOP, predictions.scores.shape[1]), dim=1)
    places = range(1, best.indices.shape[1] + 1)
    header = ["index", "path", "label"]
    for place in places:
        header += [f"class_{place}", f"name_{place}", f"score_{place}"]
    names = predictions.class_names

    def rows() -> Any:
        columns = (predictions.table.index, best.indices, best.values)
        for row, (index, classes, scores) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        ):
            values = [index, predictions.paths[row], predictions.label_text(row)]
            for label, score in zip(classes, scores, strict=True):
                values += [label, names[label], round(score, _DIGITS)]
            yield values

    write_csv(file, header, rows())


def _per_class(predictions: Predictions) -> dict[str, list[Any]]:
    """Return the number of labeled videos of each class, and its value; None without videos."""
    known = predictions.table.is_labeled
    label, scores = predictions.table.label[known], predictions.scores[known]
    if predictions.table.is_multi_label:
        counts = label.sum(dim=0).long()
        values = average_precision(scores, label)
    else:
        num_classes = scores.shape[1]
        counts = torch.bincount(label, minlength=num_classes)
        right = torch.bincount(label[scores.argmax(dim=1) == label], minlength=num_classes)
        values = right.double() / counts
    rounded = [
        round(v, _DIGITS) if n else None for v, n in zip(values.tolist(), counts, strict=True)
    ]
    return dict(
        zip(_PER_CLASS[predictions.table.is_multi_label], (counts.tolist(), rounded), strict=True)
    )


def _confusion(predictions: Predictions) -> Tensor:
    """Count predicted classes: int64 (M, M), rows are labels, columns predicted classes."""
    num_classes, known = predictions.scores.shape[1], predictions.table.is_labeled
    predicted = predictions.scores[known].argmax(dim=1)
    pairs = predictions.table.label[known] * num_classes + predicted
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


def _wrong(predictions: Predictions) -> list[dict[str, Any]]:
    """Return the labeled videos whose best class is another one, the highest scores first."""
    score, predicted = predictions.scores.max(dim=1)
    label = predictions.table.label
    wrong = (predictions.table.is_labeled & (predicted != label)).nonzero().flatten()
    names = predictions.class_names
    return [
        {
            "path": predictions.paths[row],
            "label": int(label[row]),
            "label_name": names[int(label[row])],
            "predicted": int(predicted[row]),
            "predicted_name": names[int(predicted[row])],
            "score": round(float(score[row]), _DIGITS),
            "label_score": round(float(predictions.scores[row, label[row]]), _DIGITS),
        }
        for row in wrong[score[wrong].argsort(descending=True, stable=True)].tolist()
    ]


def summarize(predictions: Predictions) -> dict[str, Any]:
    """Summarize predictions for ``results.json``.

    Its size is bounded: values of each class up to 100 classes, the confusion matrix up to 20, and
    20 wrong predictions; the csv files have the rest. Paths are relative to the folder that all
    files have in common, as results are published.

    Args:
        predictions: The predictions.

    Returns:
        ``videos``, ``labeled``; with labels ``per_class``, ``confusion_matrix``, ``num_wrong`` and
        ``wrong_predictions``.
    """
    table = predictions.table
    summary: dict[str, Any] = {"videos": len(table), "labeled": int(table.is_labeled.sum())}
    if not summary["labeled"]:
        return summary
    num_classes = len(predictions.class_names)
    if num_classes <= _MOST_CLASSES:
        columns = _per_class(predictions)
        rows = zip(*columns.values(), strict=True)
        summary["per_class"] = {
            name: dict(zip(columns, values, strict=True))
            for name, values in zip(_unique(predictions.class_names), rows, strict=True)
        }
    if table.is_multi_label:
        return summary
    if num_classes <= _LARGEST_MATRIX:
        summary["confusion_matrix"] = _confusion(predictions).tolist()
    wrong, shared = _wrong(predictions), _common_folder(predictions.paths)
    summary["num_wrong"] = len(wrong)
    summary["wrong_predictions"] = [
        {**entry, "path": os.path.relpath(entry["path"], shared) if shared else entry["path"]}
        for entry in wrong[:_MOST_WRONG]
    ]
    return summary


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names, with the number of the class where a name occurs twice."""
    return [n if names.count(n) == 1 else f"{n} ({label})" for label, n in enumerate(names)]


def _common_folder(paths: Sequence[str]) -> str:
    """Return the folder that all files have in common; empty if there is none."""
    try:
        return os.path.commonpath([str(Path(path).parent) for path in paths])
    except ValueError:  # relative and absolute paths
        return ""
