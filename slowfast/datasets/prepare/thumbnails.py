"""Small images of the checked videos, kept next to the report so that they are decoded once.

``thumbnails.jsonl`` grows as the report does, a line per file, up to MAX_THUMBNAILS.

Legend: H W height and width.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from pathlib import Path
from typing import Self, TextIO

import numpy as np
from numpy.typing import NDArray

from slowfast.utils.io import Closing, atomic_path
from slowfast.utils.media_libraries import cv2

__all__ = ["MAX_THUMBNAILS", "THUMBNAILS", "ThumbnailFile", "encode_thumbnail", "read_thumbnails"]

THUMBNAILS = "thumbnails.jsonl"
MAX_THUMBNAILS = 10_000
_WIDTH, _HEIGHT = 96, 64
_QUALITY = 40


def encode_thumbnail(frame: NDArray[np.uint8]) -> bytes:
    """Scale a frame into a box of 96 x 64 pixels and compress it.

    Args:
        frame: uint8 (H, W, 3), RGB.

    Returns:
        A WebP image of about a kilobyte.
    """
    height, width = frame.shape[:2]
    scale = min(1.0, _WIDTH / width, _HEIGHT / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    code = cv2.imencode(".webp", small[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1]
    return code.tobytes()


def read_thumbnails(file: Path) -> dict[str, bytes]:
    """Read the images of an earlier run.

    Returns:
        WebP images by path; lines that are cut short are left out.
    """
    found: dict[str, bytes] = {}
    if not file.exists():
        return found
    with file.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            try:
                path, image = json.loads(line)
                found[path] = base64.b64decode(image, validate=True)
            except (ValueError, TypeError):
                continue
    return found


class ThumbnailFile(Closing):
    """The file of images, open for more.

    Args:
        file: The file.
        keep: Files whose images still hold; others are removed. None: all.
    """

    def __init__(self, file: Path, keep: Collection[str] | None = None) -> None:
        before = read_thumbnails(file)
        kept = {path: image for path, image in before.items() if keep is None or path in keep}
        with atomic_path(file) as temporary, temporary.open("w", encoding="ascii") as lines:
            lines.writelines(map(_line, kept, kept.values()))
        self._count = len(kept)
        self._lines: TextIO = file.open("a", encoding="ascii")

    def add(self, path: str, image: bytes) -> None:
        """Append the image of a file, unless there are MAX_THUMBNAILS already, or it is empty."""
        if image and self._count < MAX_THUMBNAILS:
            self._lines.write(_line(path, image))
            self._lines.flush()
            self._count += 1

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def __enter__(self) -> Self:
        return self


def _line(path: str, image: bytes) -> str:
    return f"{json.dumps([path, base64.b64encode(image).decode()])}\n"
