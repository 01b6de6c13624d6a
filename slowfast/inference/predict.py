"""``slowfast predict``: classes of files and folders, with scores."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from slowfast.config import ConfigValueError
from slowfast.datasets.bad_media import BadMedia
from slowfast.engine.class_names import read_class_names
from slowfast.inference.frozen import FrozenModel
from slowfast.inference.listing import list_files
from slowfast.inference.load import load
from slowfast.inference.prediction_files import (
    CsvWriter,
    JsonWriter,
    PageWriter,
    PredictionRun,
    TableWriter,
    Writer,
)
from slowfast.utils.exit_codes import EXIT_FAILED
from slowfast.utils.io import atomic_path, printable
from slowfast.utils.progress import progress

__all__ = ["FORMATS", "PredictSettings", "predict_files"]


FORMATS = {".txt": "table", ".csv": "csv", ".json": "json", ".html": "html", ".htm": "html"}
"""Suffix of a file -> format."""

_WRITERS: dict[str, Callable[[IO[str], PredictionRun], Writer]] = {
    "table": TableWriter,
    "csv": CsvWriter,
    "json": JsonWriter,
}
_TOP_K, _THRESHOLD = 5, 0.5
_MOST_LISTED = 20


@dataclass(frozen=True)
class PredictSettings:
    """Settings of ``predict_files``, named as the options of the command.

    Attributes:
        sources: Files and folders.
        weights: As for ``slowfast.load``.
        cfg: As for ``slowfast.load``.
        overrides: As for ``slowfast.load``.
        classes: File with the names of the classes; empty: those of the weights.
        top_k: Largest number of classes; None: 5, or all with several labels per video.
        threshold: Lowest score; None: 0.5 with several labels per video, else any.
        every_sec: Length of consecutive windows with a prediction each; None: no windows.
        format: "table", "csv", "json" or "html"; empty: by the suffix of ``out``, else a table.
        out: File to write; empty: standard output.
        device: As for ``slowfast.load``.
        num_workers: Processes that decode; None: by the number of cores.
    """

    sources: Sequence[str]
    weights: str
    cfg: str | None = None
    overrides: Sequence[Any] = field(default_factory=list)
    classes: str = ""
    top_k: int | None = None
    threshold: float | None = None
    every_sec: float | None = None
    format: str = ""
    out: str = ""
    device: str = "auto"
    num_workers: int | None = None

    @property
    def chosen_format(self) -> str:
        """The format."""
        return self.format or FORMATS.get(Path(self.out).suffix.lower(), "table")

    def check(self) -> None:
        """Check the options.

        Raises:
            ConfigValueError: For the first one that is wrong.
        """
        if self.top_k is not None and self.top_k < 1:
            raise ConfigValueError("--top-k", f"got {self.top_k}; expected at least 1.")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigValueError("--threshold", f"got {self.threshold}; expected 0 to 1.")
        if self.every_sec is not None and not 0 < self.every_sec < float("inf"):
            raise ConfigValueError("--every", f"got {self.every_sec}; expected seconds above 0.")
        if self.chosen_format == "html" and not self.out:
            raise ConfigValueError("--format", "got html; name the page with -o FILE.html.")
        if self.out and Path(self.out).is_dir():
            raise ConfigValueError("-o", f"{self.out} is a folder; expected a file.")


def predict_files(settings: PredictSettings) -> int:
    """Predict the classes of files, and write them one by one.

    Bad files are listed on standard error.

    Args:
        settings: The settings.

    Returns:
        The exit status: 0 if a file could be predicted, else 1.

    Raises:
        UserError: If an option is wrong, the weights do not classify, or there are no files.
    """
    settings.check()
    model = load(
        settings.weights, cfg=settings.cfg, overrides=settings.overrides, device=settings.device
    )
    model.require_classifier()
    _name_classes(model, settings.classes)
    manifest = list_files(settings.sources, audio_only=model.is_audio_only)
    sys.stderr.write(f"{model} on {len(manifest)} {_files(len(manifest))}\n")
    is_multi = model.is_multi_label
    run = PredictionRun(
        settings.weights,
        settings.every_sec,
        is_multi,
        _THRESHOLD if is_multi and settings.threshold is None else settings.threshold,
    )
    top_k = settings.top_k or (model.cfg.MODEL.NUM_CLASSES if is_multi else _TOP_K)
    count, bad = 0, list[BadMedia]()
    with _open_writer(settings, run) as writer:
        videos = model.iterate(
            manifest, every_sec=settings.every_sec, num_workers=settings.num_workers
        )
        for video in _with_progress(videos, len(manifest), settings):
            if video.scores is None:
                bad.append(BadMedia(-1, video.path, "it has no audio, which the model needs"))
                continue
            prediction = model.prediction_of(
                video, top_k=top_k, threshold=run.threshold, windows=run.every_sec is not None
            )
            writer.add(prediction)
            count += 1
        bad = [*model.bad, *bad]
        writer.close(bad)
    _report(count, bad, settings.out)
    return 0 if count else EXIT_FAILED


def _name_classes(model: FrozenModel, file: str) -> None:
    """Use the names of a file; check their number."""
    if not file:
        return
    names, expected = read_class_names(file, key="--classes"), model.cfg.MODEL.NUM_CLASSES
    if len(names) != expected:
        raise ConfigValueError(
            "--classes",
            f"{file} has {len(names)} names, but {model.name} has {expected} classes "
            "(MODEL.NUM_CLASSES). Name the list that it was trained with.",
        )
    model.class_names = names


@contextlib.contextmanager
def _open_writer(settings: PredictSettings, run: PredictionRun) -> Iterator[Writer]:
    """Open the output; a file replaces an older one when it is complete."""
    kind = settings.chosen_format
    if not settings.out:
        yield _WRITERS[kind](sys.stdout, run)
        return
    out = Path(settings.out).expanduser()
    if kind == "html":
        yield PageWriter(out, run)
        return
    newline = "" if kind == "csv" else None
    with (
        atomic_path(out) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline=newline) as file,
    ):
        yield _WRITERS[kind](file, run)


def _with_progress(videos: Iterable[Any], total: int, settings: PredictSettings) -> Iterable[Any]:
    """Show progress, unless the results are printed to the terminal as they come."""
    if not settings.out and sys.stdout.isatty():
        return videos
    return progress(videos, "predict", total, unit="videos")


def _report(count: int, bad: Sequence[BadMedia], out: str) -> None:
    """Print what was done, and the bad files, to standard error."""
    sys.stdout.flush()
    where = f"; written to {out}" if out else ""
    sys.stderr.write(f"{count} {_files(count)} predicted{where}\n")
    if not bad:
        return
    partial = sum(entry.is_partial for entry in bad)
    what = [f"{len(bad) - partial} {_files(len(bad) - partial)} could not be used"]
    what += [f"{partial} only in part"] if partial else []
    sys.stderr.write(f"{', '.join(what)}:\n")
    for entry in bad[:_MOST_LISTED]:
        sys.stderr.write(f"  {printable(entry.path)}: {entry.reason}\n")
    if len(bad) > _MOST_LISTED:
        sys.stderr.write(f"  and {len(bad) - _MOST_LISTED} more; --format json lists them all\n")


def _files(count: int) -> str:
    return "file" if count == 1 else "files"
