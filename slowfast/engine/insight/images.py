"""Small images of the report: JPEG files of frames, spectrograms and heat maps.

Legend: H W height and width, F mel bins, S time frames, N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slowfast.utils.media_libraries import cv2

__all__ = [
    "decode_jpeg",
    "encode_jpeg",
    "fit_square",
    "log_mel_image",
    "overlay_heat",
    "resize_frame",
    "sprite_sheet",
]

Image = NDArray[np.uint8]


def encode_jpeg(image: Image, quality: int = 80) -> bytes:
    """Encode an RGB image.

    Args:
        image: uint8 (H, W, 3).
        quality: JPEG quality, 1 to 100.

    Returns:
        The file's content.
    """
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    return content.tobytes()


def decode_jpeg(content: bytes) -> Image:
    """Decode an RGB image.

    Args:
        content: A JPEG file.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: If it is no JPEG file.
    """
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("decode_jpeg: the content is no JPEG file.")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def resize_frame(image: Image, height: int) -> Image:
    """Resize to a height, with the same ratio of the sides.

    Args:
        image: uint8 (H, W, 3).
        height: New height, in pixels.

    Returns:
        uint8 (height, W', 3).
    """
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    method = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


def fit_square(image: Image, side: int) -> Image:
    """Cut the center square and resize it.

    Args:
        image: uint8 (H, W, 3).
        side: Side of the result, in pixels.

    Returns:
        uint8 (side, side, 3).
    """
    short = min(image.shape[:2])
    top, left = ((length - short) // 2 for length in image.shape[:2])
    return resize_frame(image[top : top + short, left : left + short], side)


def log_mel_image(log_mel: NDArray[np.floating], height: int = 0) -> Image:
    """Color a spectrogram from its 1st to its 99th percentile, low frequencies at the bottom.

    Args:
        log_mel: float (F, S).
        height: Height of the image, in pixels; 0: F.

    Returns:
        uint8 (height, S, 3).
    """
    low, high = np.percentile(log_mel, [1, 99])
    scaled = np.clip((log_mel - low) / max(high - low, 1e-6), 0, 1)[::-1]
    image = _color(scaled, cv2.COLORMAP_VIRIDIS)
    if not height:
        return image
    size = (image.shape[1], height)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def overlay_heat(image: Image, heat: NDArray[np.floating], opacity: float = 0.55) -> Image:
    """Blend an image with a heat map; where the heat is 0, the image is unchanged.

    Args:
        image: uint8 (H, W, 3).
        heat: float (H', W') in [0, 1]; resized to the image.
        opacity: Weight of the color where the heat is 1.

    Returns:
        uint8 (H, W, 3).
    """
    size = (image.shape[1], image.shape[0])
    resized = cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    resized = np.clip(resized, 0, 1)
    weight = (opacity * resized)[..., None]
    blended = (1 - weight) * image + weight * _color(resized, cv2.COLORMAP_TURBO)
    return np.asarray(blended.round(), np.uint8)


def sprite_sheet(images: Sequence[Image], columns: int) -> Image:
    """Place square images of one size in rows.

    Args:
        images: N times uint8 (side, side, 3), at least one.
        columns: Images of a row.

    Returns:
        uint8 (rows * side, columns * side, 3); image n is in row ``n // columns``.
    """
    side, rows = len(images[0]), -(-len(images) // columns)
    sheet = np.full((rows * side, columns * side, 3), 128, np.uint8)
    for number, image in enumerate(images):
        top, left = side * (number // columns), side * (number % columns)
        sheet[top : top + side, left : left + side] = image
    return sheet


def _color(values: NDArray[Any], colormap: int) -> Image:
    """Color values in [0, 1]: (H, W) to uint8 RGB (H, W, 3)."""
    index = (values * 255).round().astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(index, colormap), cv2.COLOR_BGR2RGB), np.uint8)
