"""Reads OUTPUT_DIR of a run; nothing is read before it is needed."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from slowfast.config import UserError
from slowfast.config.load import flatten, is_demo
from slowfast.config.renamed import translate_results
from slowfast.utils.io import read_json
from slowfast.utils.logging import read_stats
from slowfast.visualization.curves import loss_names

__all__ = ["Metric", "Run"]


@dataclass(frozen=True)
class Metric:
    """A metric of ``results.json``; values are fractions.

    Attributes:
        name: Its name, such as "top1_acc".
        before: Value before training; None if it was not measured.
        after: Value after training, or the one that does not depend on training.
        chance: Value without learning; None if unknown.
        interval: 95 % interval of ``after``; None if unknown.
        before_interval: 95 % interval of ``before``.
        count: Number of trials of ``after``; None if unknown.
    """

    name: str
    before: float | None
    after: float | None
    chance: float | None
    interval: tuple[float, float] | None = None
    before_interval: tuple[float, float] | None = None
    count: int | None = None


@dataclass(frozen=True)
class Run:
    """A run, by its OUTPUT_DIR.

    Attributes:
        folder: OUTPUT_DIR.
        name: Name of the run in a report.
    """

    folder: Path
    name: str

    @classmethod
    def open(cls, folder: str | Path, name: str = "") -> Run:
        """Open a run.

        Args:
            folder: Its OUTPUT_DIR.
            name: Its name in a report; empty: the name of the folder.

        Returns:
            The run.

        Raises:
            UserError: If the folder has no ``config.yaml``.
        """
        folder = Path(folder)
        if not (folder / "config.yaml").is_file():
            what = "has no config.yaml" if folder.is_dir() else "is no folder"
            raise UserError(
                f"{folder} {what}; expected the OUTPUT_DIR of a run, which holds config.yaml."
            )
        return cls(folder, name or folder.resolve().name)

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The configuration in sections."""
        path = self.folder / "config.yaml"
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
        if not isinstance(content, dict):
            raise UserError(f"{path} is no configuration: got {type(content).__name__}.")
        return content

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration by dotted keys."""
        return flatten(self.tree)

    @cached_property
    def is_demo(self) -> bool:
        """Whether the run used the built-in demo set."""
        return is_demo(self.tree.get("DATA", {}))

    @cached_property
    def record(self) -> dict[str, Any]:
        """The last start in ``run.json``; empty for runs without the file."""
        starts = self._json("run.json").get("starts", [])
        return dict(starts[-1]) if starts else {}

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Wall-clock time of each stage ("train", "test") over all starts, in seconds."""
        total: dict[str, float] = {}
        for start in self._json("run.json").get("starts", []):
            for stage, seconds in start.get("seconds", {}).items():
                total[stage] = total.get(stage, 0.0) + seconds
        return total

    def stats(self, kind: str) -> list[dict[str, Any]]:
        """Return the records of ``json_stats.log`` of a type, by optimizer step.

        Args:
            kind: "train_iter", "train_epoch" or "val_epoch".

        Returns:
            The records in the order of their steps. Steps that a resumed run repeated are there
            once, as they were last.
        """
        found = {s["step"]: s for s in self._stats if s["_type"] == kind and "step" in s}
        return [found[step] for step in sorted(found)]

    def loss_names(self, kind: str) -> list[str]:
        """Return the names of the losses, or of the metrics, in records of a type."""
        return loss_names(self.stats(kind))

    @cached_property
    def metrics(self) -> list[Metric]:
        """The metrics of ``results.json``, in its order."""
        content = translate_results(self._json("results.json"))
        records = {(r["metric"], r["column"]): r for r in content.get("records", [])}
        found = []
        for name, entry in content.items():
            if not (isinstance(entry, dict) and "chance" in entry):
                continue
            column = "after" if "after" in entry else "value"
            last, first = records.get((name, column), {}), records.get((name, "before"), {})
            found.append(
                Metric(
                    name,
                    entry.get("before"),
                    entry.get(column),
                    entry["chance"],
                    _pair(last.get("interval")),
                    _pair(first.get("interval")),
                    last.get("count"),
                )
            )
        return found

    @cached_property
    def predictions(self) -> list[tuple[str, Path]]:
        """Tests with ``predictions.csv``: name and folder; the name of the only test is empty."""
        folders = [("", self.folder)]
        for folder in sorted(self.folder.iterdir()):
            if not (folder / "config.yaml").exists():  # else it is a run of its own
                folders.append((folder.name, folder))
        return [(name, sub) for name, sub in folders if (sub / "predictions.csv").is_file()]

    @cached_property
    def warnings(self) -> list[str]:
        """Messages of ``warnings.log``, each once, without their time."""
        path = self.folder / "warnings.log"
        if not path.is_file():
            return []
        text = path.read_text(encoding="utf-8", errors="replace")
        messages = re.split(r"^\[\d\d:\d\d:\d\d\] ", text, flags=re.MULTILINE)
        return list(dict.fromkeys(message.strip() for message in messages if message.strip()))

    def rows(self, path: str | Path) -> list[dict[str, str]]:
        """Read a csv file.

        Args:
            path: The file, relative to the folder.

        Returns:
            A dict for each row; empty if there is no such file.
        """
        file = self.folder / path
        if not file.is_file():
            return []
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
            return list(csv.DictReader(text))

    @cached_property
    def _stats(self) -> list[dict[str, Any]]:
        return read_stats(self.folder)

    def _json(self, name: str) -> dict[str, Any]:
        return read_json(self.folder / name)


def _pair(ends: list[float] | None) -> tuple[float, float] | None:
    return (ends[0], ends[1]) if ends else None
