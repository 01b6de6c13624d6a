"""Frames as the processors of ``transformers`` prepare them: resize, center crop, mean and std.

Legend: T frames, H W height and width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from slowfast.config import UserError

__all__ = ["FrameTransform", "Normalization", "read_transform"]

_FILTERS = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}
"""PIL's numbers of filters -> names of ``torch.nn.functional.interpolate``."""

_MAX_BYTE = 255.0
Size = tuple[int, int]


@dataclass(frozen=True)
class FrameTransform:
    """Resizes frames, with antialiasing, and crops the center.

    Attributes:
        short_side: Length to which the short side is resized, in pixels; None: see ``size``.
        size: (H, W) that frames are resized to, whatever their aspect ratio; None: not resized.
        crop: (H, W) of the center crop, with black borders around smaller frames; None: no crop.
        filter: Filter of the resizing, as of ``torch.nn.functional.interpolate``.
    """

    short_side: int | None
    size: Size | None
    crop: Size | None
    filter: str = "bilinear"

    num_crops = 1

    @property
    def output_size(self) -> Size:
        """(H, W) of the result."""
        size = self.crop or self.size
        if size is None:
            raise ValueError("crop: got None, and no size; frames would differ in size.")
        return size

    def all_crops(
        self, frames: NDArray[np.uint8], rng: np.random.Generator | None = None
    ) -> NDArray[np.uint8]:
        """Transform the frames of a clip.

        Args:
            frames: uint8 (T, H, W, 3), RGB.
            rng: Ignored; it exists for the same signature as ``EvalTransform``.

        Returns:
            uint8 (1, T, H', W', 3).
        """
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)  # (T, 3, H, W)
        size = self._resized(pixels.shape[-2], pixels.shape[-1])
        if size != tuple(pixels.shape[-2:]):
            antialias = self.filter in ("bilinear", "bicubic")
            pixels = F.interpolate(pixels, size=size, mode=self.filter, antialias=antialias)
        if self.crop is not None:
            pixels = _center_crop(pixels, self.crop)
        return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())[np.newaxis]

    def _resized(self, height: int, width: int) -> Size:
        if self.size is not None:
            return self.size
        if self.short_side is None:
            return height, width
        short, long = sorted((height, width))
        new_long = int(self.short_side * long / short)
        return (self.short_side, new_long) if height <= width else (new_long, self.short_side)


def _center_crop(pixels: torch.Tensor, size: Size) -> torch.Tensor:
    """Crop the center of (T, 3, H, W), with black borders where it is smaller."""
    missing = [max(0, want - have) for want, have in zip(size, pixels.shape[-2:], strict=True)]
    if any(missing):
        (top, left), (bottom, right) = zip(*((m // 2, (m + 1) // 2) for m in missing), strict=True)
        pixels = F.pad(pixels, (left, right, top, bottom))
    top, left = (int((have - want) / 2) for have, want in zip(pixels.shape[-2:], size, strict=True))
    return pixels[..., top : top + size[0], left : left + size[1]]


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of R, G, B in units of [0, 1]: DATA.MEAN and DATA.STD."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_transform(
    settings: Mapping[str, Any], defaults: Mapping[str, Any], name: str
) -> tuple[FrameTransform, Normalization]:
    """Read the settings of a processor.

    Args:
        settings: Content of its JSON file; may be empty.
        defaults: The library's defaults for this kind of model, with the same keys; ``offset``:
            subtracted after rescaling.
        name: Name of the model, for messages.

    Returns:
        The transform, and the normalization.

    Raises:
        UserError: If frames of different sizes would stay so, or a setting is unknown.
    """
    known = {key: value for key, value in settings.items() if value is not None}
    values = {**defaults, **known}
    size = values["size"] if values.get("do_resize", True) else {}
    size = {"shortest_edge": size} if isinstance(size, int) else dict(size or {})
    crop = values.get("crop_size") if values.get("do_center_crop") else None
    crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
    number = int(values.get("resample", 2))
    is_fixed = {"height", "width"} <= size.keys()
    if number not in _FILTERS or not (crop or is_fixed) or "longest_edge" in size:
        raise UserError(
            f"{name}: its preprocessor has size {size}, crop_size {crop} and resample {number}; "
            "supported are a center crop or a fixed size, and the filters 0 (nearest), "
            "2 (bilinear) and 3 (bicubic)."
        )
    transform = FrameTransform(
        short_side=None if is_fixed else size.get("shortest_edge"),
        size=(int(size["height"]), int(size["width"])) if is_fixed else None,
        crop=(int(crop["height"]), int(crop["width"])) if crop else None,
        filter=_FILTERS[number],
    )
    return transform, _normalization(values)


def _normalization(values: Mapping[str, Any]) -> Normalization:
    """Express rescaling, offset, mean and std as those of pixels in [0, 1]."""
    factor = values.get("rescale_factor", 1 / _MAX_BYTE) if values.get("do_rescale", True) else 1.0
    offset = float(values.get("offset", 0.0)) if values.get("do_rescale", True) else 0.0
    mean, std = [0.0] * 3, [1.0] * 3
    if values.get("do_normalize", True):
        mean, std = (_three(values[key]) for key in ("image_mean", "image_std"))
    return Normalization(
        tuple((offset + m) / (_MAX_BYTE * factor) for m in mean),
        tuple(s / (_MAX_BYTE * factor) for s in std),
    )


def _three(value: float | Sequence[float]) -> list[float]:
    return [float(v) for v in value] if isinstance(value, Sequence) else [float(value)] * 3
