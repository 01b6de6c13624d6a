"""PyAV and OpenCV, which only decoding and augmentation need.

Without them, models train on what is decoded and cropped already.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from slowfast.config.problems import UserError

__all__ = ["READ_ERRORS", "av", "cv2"]


class _Missing:
    """Stands in for a library that cannot be imported; false in a condition."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # looked up by Python itself
            raise AttributeError(name)
        raise UserError(self._message)


def _find(module: str, what: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        return _Missing(f"{what}, which cannot be imported ({error}): pip install {package}")


av: Any = _find("av", "reading and writing media files needs PyAV", "av")
cv2: Any = _find("cv2", "images and augmentation need OpenCV", "opencv-python-headless")

READ_ERRORS: tuple[type[Exception], ...] = (OSError, *((av.FFmpegError,) if av else ()))
"""What FFmpeg and the file system raise."""
