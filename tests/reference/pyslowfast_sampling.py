"""PySlowFast's frames of a clip, one by one, and its scores, window by window."""

from __future__ import annotations

import math

import numpy as np


def clip_size(num_frames: int, rate: int, target_fps: float, fps: float) -> float:
    """Return the file's frames in a clip."""
    return max(1.0, rate * num_frames / target_fps * fps)


def test_start(length: int, size: float, view: int, views: int, *, offset: bool) -> float:
    """Return the first frame of a test clip, maybe fractional."""
    room = max(length - size, 0)
    if not offset:
        return room * view / views
    if views == 1:
        return math.floor(room / 2)
    return view * math.floor(room / (views - 1))


def clip_positions(start: float, size: float, num_frames: int, length: int) -> list[float]:
    """Return the frames of a clip before they are rounded down: evenly spaced, limited."""
    step = (size - 1) / max(num_frames - 1, 1)
    return [min(max(start + step * i, 0.0), length - 1.0) for i in range(num_frames)]


def segment_bounds(length: int, num_frames: int) -> list[tuple[int, int]]:
    """Return the first and last frame of each segment, both included."""
    size = float(length - 1) / num_frames
    return [(round(size * i), round(size * (i + 1))) for i in range(num_frames)]


def window_scores(maps, head, kernel: int, activate) -> np.ndarray:
    """Average scores over windows of ``kernel`` x ``kernel`` positions: (N, classes).

    ``maps``: one float (N, C, T, H, W) per pathway; ``head``: pooled (N, C) -> logits.
    """
    height, width = maps[0].shape[3:]
    scores = []
    for top in range(height - kernel + 1):
        for left in range(width - kernel + 1):
            pooled = [
                m[:, :, :, top : top + kernel, left : left + kernel].mean(axis=(2, 3, 4))
                for m in maps
            ]
            scores.append(activate(head(np.concatenate(pooled, axis=1))))
    return sum(scores) / len(scores)
