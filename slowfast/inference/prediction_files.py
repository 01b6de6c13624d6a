"""Writes predictions as they come: a table for reading, csv, JSON, or a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Protocol

from slowfast.datasets.bad_media import BadMedia
from slowfast.inference.embeddings import Prediction
from slowfast.inference.timeline import Segment, merge_windows
from slowfast.utils.io import printable, write_csv_rows

__all__ = [
    "CsvWriter",
    "JsonWriter",
    "PageWriter",
    "PredictionRun",
    "TableWriter",
    "Writer",
    "clock_time",
]

_DIGITS = 6
_COLUMNS = ["path", "kind", "start_sec", "end_sec", "rank", "class", "score"]


@dataclass(frozen=True)
class PredictionRun:
    """What predictions were made with.

    Attributes:
        weights: Name of the model.
        every_sec: Length of a window; None: no windows.
        multi_label: Whether a video has any number of classes.
        threshold: Lowest score of a class; None: any.
    """

    weights: str
    every_sec: float | None = None
    multi_label: bool = False
    threshold: float | None = None

    def timeline(self, prediction: Prediction) -> list[Segment]:
        """Return the segments of a video."""
        return merge_windows(prediction.windows, multi_label=self.multi_label)


class Writer(Protocol):
    """Writes predictions one by one; memory does not grow with their number."""

    def add(self, prediction: Prediction) -> None:
        """Write the prediction of a file."""

    def close(self, bad: Sequence[BadMedia]) -> None:
        """Write what comes after the last one."""


class TableWriter:
    """A table for reading.

    Args:
        file: Where to write.
        run: What the predictions were made with.
    """

    def __init__(self, file: IO[str], run: PredictionRun) -> None:
        self._file, self._run = file, run

    def add(self, prediction: Prediction) -> None:
        """Write the classes of a file, or its timeline."""
        lines = [printable(prediction.path)]
        if self._run.every_sec is None:
            lines += [f"  {score:.3f}  {name}" for name, score in prediction.classes]
        else:
            lines += [
                f"  {clock_time(s.start_sec)} - {clock_time(s.end_sec)}  {s.score:.3f}  {s.label}"
                for s in self._run.timeline(prediction)
            ]
        if len(lines) == 1:
            lines.append(f"  no class has a score of {self._run.threshold:g} or more")
        self._file.write("\n".join(lines) + "\n")
        self._file.flush()

    def close(self, bad: Sequence[BadMedia]) -> None:
        """Do nothing: bad files are listed by the command."""


class CsvWriter:
    """A csv with a row per class: of a video, of its windows, and of the segments of its timeline.

    A video or window without a class has one row, with an empty class.

    Args:
        file: Where to write.
        run: What the predictions were made with.
    """

    def __init__(self, file: IO[str], run: PredictionRun) -> None:
        self._file, self._run = file, run
        write_csv_rows(file, [_COLUMNS])

    def add(self, prediction: Prediction) -> None:
        """Write the rows of a file."""
        write_csv_rows(self._file, self._rows("video", prediction))
        for window in prediction.windows:
            write_csv_rows(self._file, self._rows("window", window))
        segments = (
            [prediction.path, "segment", round(a, 3), round(b, 3), 1, label, round(score, _DIGITS)]
            for label, score, a, b in self._run.timeline(prediction)
        )
        write_csv_rows(self._file, segments)

    def close(self, bad: Sequence[BadMedia]) -> None:
        """Do nothing: bad files are listed by the command."""

    def _rows(self, kind: str, prediction: Prediction) -> Iterator[list[Any]]:
        start, end = round(prediction.start_sec, 3), round(prediction.end_sec, 3)
        first = [prediction.path, kind, start, end]
        for rank, (name, score) in enumerate(prediction.classes, start=1):
            yield [*first, rank, name, round(score, _DIGITS)]
        if not prediction.classes:
            yield [*first, "", "", ""]


class JsonWriter:
    """A JSON object with ``predictions``, a list, and ``bad_files``.

    Args:
        file: Where to write.
        run: What the predictions were made with.
    """

    def __init__(self, file: IO[str], run: PredictionRun) -> None:
        self._file, self._run, self._count = file, run, 0
        facts = {"weights": run.weights, "multi_label": run.multi_label}
        facts |= {"threshold": run.threshold, "every_sec": run.every_sec}
        self._file.write(json.dumps(facts)[:-1] + ', "predictions": [')

    def add(self, prediction: Prediction) -> None:
        """Write the object of a file."""
        content = {"path": prediction.path, **_to_json(prediction)}
        if self._run.every_sec is not None:
            content["windows"] = [_to_json(window) for window in prediction.windows]
            content["timeline"] = [
                {"class": s.label, "score": s.score, "start_sec": s.start_sec, "end_sec": s.end_sec}
                for s in self._run.timeline(prediction)
            ]
        self._file.write(",\n" if self._count else "\n")
        self._file.write(json.dumps(content))
        self._count += 1

    def close(self, bad: Sequence[BadMedia]) -> None:
        """Write the list of bad files."""
        listed = [{"path": entry.path, "reason": entry.reason} for entry in bad]
        self._file.write(f'\n], "bad_files": {json.dumps(listed)}}}\n')


class PageWriter:
    """A page with the timeline of each video below its player.

    Args:
        path: The page; videos are linked relative to its folder.
        run: What the predictions were made with.
    """

    def __init__(self, path: Path, run: PredictionRun) -> None:
        self._path, self._run = path, run
        self._predictions: list[Prediction] = []

    def add(self, prediction: Prediction) -> None:
        """Keep the prediction of a file."""
        self._predictions.append(prediction)

    def close(self, bad: Sequence[BadMedia]) -> None:
        """Write the page."""
        from slowfast.inference.prediction_page import write_page

        write_page(self._path, self._predictions, bad, self._run)


def _to_json(prediction: Prediction) -> dict[str, Any]:
    return {
        "start_sec": prediction.start_sec,
        "end_sec": prediction.end_sec,
        "classes": [{"class": name, "score": score} for name, score in prediction.classes],
    }


def clock_time(seconds: float) -> str:
    """Format a time in a video: 0:01:05.5."""
    whole = timedelta(seconds=int(seconds))
    return f"{whole}.{int((seconds - int(seconds)) * 10)}"
