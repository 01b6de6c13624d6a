"""Augmentation in float torch, operation by operation, as released code does it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.datasets.views.color import ColorParams
from slowfast.datasets.views.functional import ViewParams

GRAY = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)


def float_view(frames: np.ndarray, params: ViewParams, size: int) -> Tensor:
    """Make one view of uint8 frames (T, H, W, 3): float (3, T, S, S), normalized."""
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255  # (T, 3, H, W)
    box = params.box
    clip = clip[:, :, box.top : box.top + box.height, box.left : box.left + box.width]
    clip = F.interpolate(clip, size=(size, size), mode="bilinear", align_corners=False)
    if params.color is not None:
        clip = float_color(clip, params.color)
    if params.flip:
        clip = clip.flip(3)
    if params.blur_sigma > 0:
        clip = float_blur(clip, params.blur_sigma)
    return ((clip - 0.45) / 0.225).permute(1, 0, 2, 3).contiguous()


def float_color(clip: Tensor, color: ColorParams) -> Tensor:
    """Apply brightness, contrast and saturation one after the other, clamping in between."""
    clip = (clip * color.brightness).clamp(0, 1)
    mean = (clip * GRAY).sum(1, keepdim=True).mean()
    clip = (clip * color.contrast + (1 - color.contrast) * mean).clamp(0, 1)
    gray = (clip * GRAY).sum(1, keepdim=True)
    return (clip * color.saturation + (1 - color.saturation) * gray).clamp(0, 1)


def float_blur(clip: Tensor, sigma: float) -> Tensor:
    """Blur with a depthwise convolution."""
    radius = max(1, round(3 * sigma))
    kernel = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(clip, (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.unsqueeze(3), groups=3)
    return F.conv2d(rows, kernel.unsqueeze(2), groups=3)
