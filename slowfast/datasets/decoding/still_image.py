"""An image file as a video that shows it throughout, without audio.

Legend: T frames, N samples, H W height and width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.decoding.file import MediaError, translate_av_errors
from slowfast.utils.io import Closing
from slowfast.utils.media_libraries import cv2

__all__ = ["StillImage", "read_image"]

_SHOWN_SEC = 1.0


class StillImage(Closing):
    """An image with the interface of ``MediaReader``: every frame is the same.

    Args:
        path: The file.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    @property
    def video_extent_sec(self) -> tuple[float, float]:
        """Start and end of the video, in seconds."""
        return 0.0, _SHOWN_SEC

    @property
    def video_fps(self) -> float:
        """Frame rate, in Hz."""
        return 1 / _SHOWN_SEC

    @property
    def audio_extent_sec(self) -> tuple[float, float]:
        """An image has no audio.

        Raises:
            MediaError: Always.
        """
        raise MediaError(self.path, "it has no audio that can be decoded")

    def read_video(
        self, times_sec: NDArray[np.floating], *, short_side: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the image once per time.

        Args:
            times_sec: (T,), in seconds.
            short_side: Short side that the image is downscaled to, in pixels; a smaller image keeps
                its size. None: full size.

        Returns:
            uint8 (T, H, W, 3), RGB.

        Raises:
            MediaError: If the image cannot be read.
        """
        image = read_image(self.path, short_side)
        if image is None:
            raise MediaError(self.path, "it is not an image that can be decoded")
        return np.repeat(image[None], len(times_sec), axis=0)

    def read_audio(
        self, start_sec: float, num_samples: int, sample_rate_hz: int
    ) -> tuple[NDArray[np.float32], float]:
        """Return silence, and the fraction 0 of the window that is inside an audio track.

        Args:
            start_sec: Start of the window, in seconds.
            num_samples: N.
            sample_rate_hz: Sample rate of the output.

        Returns:
            float32 (N,), zeros, and 0.
        """
        return np.zeros(num_samples, np.float32), 0.0


def read_image(file: str | Path, short_side: int | None) -> NDArray[np.uint8] | None:
    """Read an image file.

    Args:
        file: The file.
        short_side: As in ``StillImage.read_video``.

    Returns:
        uint8 (H, W, 3), RGB, turned as its EXIF data says; None if it cannot be decoded.

    Raises:
        MediaError: If the file cannot be read.
    """
    with translate_av_errors(file):
        content = np.fromfile(file, np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if image is None:
        return None
    height, width = image.shape[:2]
    if short_side is not None and short_side < min(height, width):
        scale = short_side / min(height, width)
        size = (round(width * scale), round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
