"""A page of predictions: the player of each video, and below it a colored timeline of its classes.

A click on a segment moves the player there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from slowfast.datasets.annotations.files import AUDIO_SUFFIXES
from slowfast.datasets.bad_media import BadMedia
from slowfast.inference.embeddings import Prediction
from slowfast.inference.prediction_files import PredictionRun, clock_time
from slowfast.inference.timeline import Segment
from slowfast.visualization.pages import render

__all__ = ["write_page"]

_COLORS = 8


def write_page(
    path: Path, predictions: Sequence[Prediction], bad: Sequence[BadMedia], run: PredictionRun
) -> None:
    """Write the page.

    Args:
        path: The HTML file; videos are linked relative to its folder.
        predictions: The predictions.
        bad: Files that could not be used.
        run: What the predictions were made with.

    Raises:
        UserError: If Jinja2 is not installed, or the page cannot be written.
    """
    colors: dict[str, int] = {}
    files = [_describe(prediction, path, run, colors) for prediction in predictions]
    facts = [("files", len(predictions)), ("classes", len(colors)), ("weights", run.weights)]
    if run.every_sec is not None:
        facts.append(("window", f"{run.every_sec:g} s"))
    render(
        "predictions.html",
        path,
        title="Predicted classes",
        facts=facts,
        files=files,
        bad=[[entry.path, entry.reason] for entry in bad],
    )


def _describe(
    prediction: Prediction, page: Path, run: PredictionRun, colors: dict[str, int]
) -> dict[str, Any]:
    """Describe the player, the lanes and the table of a video."""
    segments = run.timeline(prediction)
    for label, _ in prediction.classes:
        colors.setdefault(label, len(colors) % _COLORS)
    labels = list(dict.fromkeys(segment.label for segment in segments))
    extent = (prediction.start_sec, prediction.end_sec)
    file: dict[str, Any] = {
        "name": prediction.path,
        "href": _link(prediction.path, page),
        "audio": Path(prediction.path).suffix.lower() in AUDIO_SUFFIXES,
        "start_sec": extent[0],
        "end_sec": extent[1],
        "lanes": [
            {
                "label": label,
                "color": colors.setdefault(label, len(colors) % _COLORS),
                "segments": [_place(s, *extent) for s in segments if s.label == label],
            }
            for label in labels
        ],
    }
    if run.every_sec is None:
        file["columns"] = ["class", ["score", "number"]]
        file["rows"] = [[name, score] for name, score in prediction.classes]
    else:
        times = [["from", "duration"], ["to", "duration"]]
        file["columns"] = [*times, "class", ["score", "number"]]
        file["rows"] = [[s.start_sec, s.end_sec, s.label, s.score] for s in segments]
    return file


def _place(segment: Segment, first: float, last: float) -> dict[str, Any]:
    """Place a segment on the timeline, in percent of its width."""
    length = max(last - first, 1e-9)
    times = f"{clock_time(segment.start_sec)} to {clock_time(segment.end_sec)}"
    return {
        "start_sec": segment.start_sec,
        "left": 100 * (segment.start_sec - first) / length,
        "width": 100 * (segment.end_sec - segment.start_sec) / length,
        "text": f"{segment.label}, {times}, {segment.score:.2f}",
    }


def _link(file: str, page: Path) -> str:
    """Return the URL of a file relative to the page."""
    relative = os.path.relpath(file, page.absolute().parent)
    return quote(os.fsencode(relative))
