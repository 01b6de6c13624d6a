"""Scores of a feature map as the mean over windows of it, as PySlowFast's heads compute them.

Their average pooling has a fixed kernel, the size of the map at DATA.TRAIN_CROP_SIZE. On a larger
map (8 x 8 at 256 pixels, with a kernel of 7 x 7) it slides, the head classifies each window, and
the scores of all windows are averaged.

Legend: N rows, W windows, C channels, D classes, T' H' W' feature map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ScoreWindows", "combine_windows", "split_windows"]


class ScoreWindows(NamedTuple):
    """Windows of a map.

    Attributes:
        side: Height and width, in positions of the map.
        head_act: MODEL.HEAD_ACT, which turns logits into the scores that are averaged.
    """

    side: int
    head_act: str


def split_windows(maps: Sequence[Tensor], side: int) -> tuple[list[Tensor], int]:
    """Average each window of feature maps over space.

    Args:
        maps: One float (N, C, T', H', W') per pathway.
        side: Height and width of a window; cut down to the map's.

    Returns:
        One float (W * N, C, T', 1, 1) per pathway, and W.
    """
    windows = []
    for feature_map in maps:
        height, width = feature_map.shape[3:]
        kernel = (1, min(side, height), min(side, width))
        averaged = F.avg_pool3d(feature_map, kernel, stride=1)  # (N, C, T', H' - side + 1, ...)
        windows.append(averaged.flatten(3).permute(3, 0, 1, 2).flatten(0, 1)[..., None, None])
    return windows, len(windows[0]) // len(maps[0])


def combine_windows(logits: Tensor, head_act: str) -> Tensor:
    """Return the logits whose scores are the mean of the windows' scores.

    Args:
        logits: float (W, N, D).
        head_act: MODEL.HEAD_ACT: ``softmax``, ``sigmoid`` or ``none``.

    Returns:
        float (N, D).
    """
    if head_act == "none":
        return logits.mean(dim=0)
    share = math.log(len(logits))
    if head_act == "softmax":
        return torch.logsumexp(logits.log_softmax(dim=-1), dim=0) - share
    # The logit of a mean p of sigmoids: log p - log(1 - p), where 1 - p is a mean of sigmoids, too.
    return torch.logsumexp(F.logsigmoid(logits), dim=0) - torch.logsumexp(
        F.logsigmoid(-logits), dim=0
    )
