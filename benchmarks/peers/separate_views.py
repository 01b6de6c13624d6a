"""A view of PySlowFast's multi-view test: a sample of its own, decoded for itself.

Decode the frames of the clip at full size, normalize, scale the short side and cut one of three
squares, all in float. One thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from peers.released_sample import decode_video


def make_view(
    path: Path,
    start_sec: float,
    num_frames: int,
    size: int,
    place: int,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Make a view.

    Args:
        path: The file.
        start_sec: When the first frame appears.
        num_frames: T, consecutive frames.
        size: S, the short side and that of the square, in pixels.
        place: 0, 1 or 2: left or top, center, right or bottom.
        mean: Of the colors.
        std: Of the colors.

    Returns:
        float (3, T, S, S).
    """
    clip = torch.from_numpy(decode_video(path, start_sec, num_frames)).float() / 255
    clip = (clip - torch.tensor(mean)) / torch.tensor(std)
    clip = clip.permute(3, 0, 1, 2)  # (3, T, H, W)
    height, width = clip.shape[2:]
    short = min(height, width)
    sides = (height * size // short, width * size // short)
    clip = F.interpolate(clip, size=sides, mode="bilinear", align_corners=False)
    top, left = ((0, -(-(side - size) // 2), side - size)[place] for side in sides)
    return clip[:, :, top : top + size, left : left + size]
