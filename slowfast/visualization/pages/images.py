"""Images inside of a page: data URIs, and one sprite for many thumbnails."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

__all__ = ["Sprite", "data_uri", "jpeg_uri"]


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
    ordered = image[..., ::-1] if image.ndim == 3 else image  # OpenCV has BGR
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(ordered), options)
    return data_uri(bytes(encoded), "image/jpeg")
