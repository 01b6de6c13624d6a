"""Write what a report script found: a table in Markdown, its numbers as JSON, a figure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slowfast.config import UserError
from slowfast.utils.io import write_json

__all__ = ["write_report"]

_SUFFIXES = (".md", ".json", ".png")


def write_report(
    out: Path, text: str, *, content: Any = None, plot: Callable[[Path], None] | None = None
) -> None:
    """Write OUT.md, and OUT.json and OUT.png if there is something for them; print the text.

    Args:
        out: Folder and start of the names; the folder is made. One of the three suffixes is cut
            off, any other dot belongs to the name.
        text: Markdown that ends with a line break.
        content: What JSON can hold.
        plot: Gets the path of the figure, and writes it.

    Raises:
        UserError: If ``out`` names no file.
        OSError: If a file cannot be written.
    """
    name = out.stem if out.suffix in _SUFFIXES else out.name
    if not name or out.name == "..":
        raise UserError(
            f"--out: got {str(out)!r}, expected a folder and the start of the names of files, such "
            "as output/report"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    markdown, numbers, figure = (out.with_name(name + suffix) for suffix in _SUFFIXES)
    if content is not None:
        write_json(numbers, content)
    markdown.write_text(text, encoding="utf-8")
    if plot is not None:
        plot(figure)
    sys.stdout.write(text)
