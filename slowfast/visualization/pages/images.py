"""Images inside of a page: data URIs, and one sprite for many thumbnails."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slowfast.config import ParameterError

__all__ = ["Sprite", "data_uri", "jpeg_uri", "make_sprite"]

_LARGEST_SIDE = 16384
"""Pixels of a side of an image that all browsers show."""


@dataclass(frozen=True)
class Sprite:
    """Many thumbnails of one size in one JPEG, row by row.

    Attributes:
        src: The image as a data URI.
        columns: Thumbnails in a row.
        rows: Rows.
        width: Width of a thumbnail in pixels.
        height: Its height in pixels.
        count: Number of thumbnails.
    """

    src: str
    columns: int
    rows: int
    width: int
    height: int
    count: int


def data_uri(content: bytes, mime: str) -> str:
    """Return a file's content as a URI for ``src``.

    Args:
        content: The bytes.
        mime: Its type, such as "audio/mp4".

    Returns:
        ``data:...;base64,...``; a third larger than the content.
    """
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def jpeg_uri(image: np.ndarray, width: int = 0, quality: int = 80) -> str:
    """Encode an image as JPEG in a data URI.

    Args:
        image: RGB, uint8 (H, W, 3), or gray, uint8 (H, W).
        width: Width in the page in pixels, the aspect ratio stays; 0, or a larger one than the
            image has: as it is.
        quality: 1 to 100.

    Returns:
        The data URI.
    """
    import cv2

    if 0 < width < image.shape[1]:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return data_uri(_encode(image, quality), "image/jpeg")


def make_sprite(
    images: Iterable[np.ndarray], width: int = 64, height: int = 64, quality: int = 70
) -> Sprite:
    """Collect thumbnails in one image; 10,000 of 64 x 64 pixels take about 15 MB.

    Args:
        images: RGB, uint8 (H, W, 3), of any size; each is scaled to cover a thumbnail and cropped
            in the middle.
        width: Width of a thumbnail in pixels.
        height: Its height in pixels.
        quality: Of the JPEG, 1 to 100.

    Returns:
        The sprite; thumbnail ``i`` is in row ``i // columns``, column ``i % columns``.

    Raises:
        ParameterError: If there is no image, or there are too many for one sprite.
    """
    tiles = [_cover(image, width, height) for image in images]
    if not tiles:
        raise ParameterError("images", "got none; expected at least one.")
    # About as wide as high.
    columns = max(1, min(len(tiles), round((len(tiles) * height / width) ** 0.5)))
    rows = -(-len(tiles) // columns)
    if max(columns * width, rows * height) > _LARGEST_SIDE:
        raise ParameterError(
            "images",
            f"got {len(tiles)} of {width} x {height} pixels; a sprite has at most {_LARGEST_SIDE} "
            "pixels on a side. Use smaller thumbnails, or several sprites.",
        )
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = tile
    src = data_uri(_encode(sheet, quality), "image/jpeg")
    return Sprite(src, columns, rows, width, height, len(tiles))


def _cover(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale an image so that it covers a size, and crop its middle."""
    import cv2

    scale = max(width / image.shape[1], height / image.shape[0])
    size = (max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale)))
    scaled: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    cropped: np.ndarray = scaled[top : top + height, left : left + width]
    return cropped


def _encode(image: np.ndarray, quality: int) -> bytes:
    import cv2

    ordered = image[..., ::-1] if image.ndim == 3 else image  # OpenCV has BGR
    _, encoded = cv2.imencode(
        ".jpg", np.ascontiguousarray(ordered), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return bytes(encoded)
