"""Reads ``OUTPUT_DIR/insight``, which a test writes (slowfast/engine/insight)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from slowfast.config import UserError
from slowfast.utils.io import read_json
from slowfast.visualization.pages import data_uri
from slowfast.visualization.report.run import Run

__all__ = ["Insight"]

FOLDER = "insight"


@dataclass(frozen=True)
class Insight:
    """What a test found in a model.

    Attributes:
        folder: The folder.
        content: ``insight.json``.
    """

    folder: Path
    content: dict[str, Any]

    @classmethod
    def of(cls, run: Run) -> Insight | None:
        """Read the folder of a run.

        Args:
            run: The run.

        Returns:
            Its content; None if the run has none.

        Raises:
            UserError: If it is damaged.
        """
        folder = run.folder / FOLDER
        path = folder / "insight.json"
        content = read_json(path)
        return cls(folder, content) if content else None

    def image(self, name: str) -> str:
        """Return an image of the folder as a data URI.

        Args:
            name: Its file.

        Returns:
            The URI.

        Raises:
            UserError: If the file is missing.
        """
        path = self.folder / name
        try:
            return data_uri(path.read_bytes(), "image/jpeg")
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{path} cannot be read: {reason}. Delete {self.folder}.") from error

    @cached_property
    def common_folder(self) -> str:
        """The folder that all files have in common; empty if there is none."""
        names = self.content["videos"]["name"]
        try:
            return os.path.commonpath([os.path.dirname(name) for name in names])  # noqa: PTH120
        except ValueError:  # no names, or relative and absolute ones
            return ""

    def short(self, name: str) -> str:
        """Return the name of a file relative to the common folder."""
        return os.path.relpath(name, self.common_folder) if self.common_folder else name

    def class_name(self, label: int | None) -> str:
        """Return the name of a class: its number without a name, empty for None."""
        names = self.content["class_names"]
        if label is None:
            return ""
        return names[label] if label < len(names) else f"class {label}"

    def video(self, position: int) -> tuple[str, str]:
        """Return name and class of a video that is shown.

        Args:
            position: Its position in ``videos``.
        """
        videos = self.content["videos"]
        return self.short(videos["name"][position]), self.class_name(videos["label"][position])
