"""The frames of each pathway of a clip. Legend: C channels, T frames, H W height and width."""

from __future__ import annotations

import numpy as np
from fvcore.common.config import CfgNode
from torch import Tensor

from slowfast.utils.constants import vector_on

__all__ = ["pack_pathway_output", "pick_frames", "split_pathways"]


def pick_frames(x: Tensor, count: int, dim: int = 2) -> Tensor:
    """Select evenly spaced frames from the first to the last, with indices rounded down.

    Args:
        x: float, any shape, such as (B, C, T, H, W).
        count: Number of frames.
        dim: Dimension of time.

    Returns:
        float, the same shape with ``count`` frames.
    """
    if count == x.shape[dim]:
        return x
    index = vector_on(x.device, _spaced(x.shape[dim], count))
    return x.index_select(dim, index)


def _spaced(length: int, count: int) -> list[int]:
    """Return ``torch.linspace(0, length - 1, count).long()`` as Python integers.

    From both ends, in float32 with one rounding, as torch computes it: what is rounded down depends
    on the last digit.
    """
    last, half = length - 1, count // 2
    step = float(np.float32(last) / np.float32(max(count - 1, 1)))
    values = [step * i if i < half else last - step * (count - 1 - i) for i in range(count)]
    return [int(np.float32(value)) for value in values] if count > 1 else [0]


def pack_pathway_output(cfg: CfgNode, frames: Tensor) -> list[Tensor]:
    """Return the input of each pathway (PySlowFast's name).

    Args:
        cfg: Read: MODEL.ARCH, SLOWFAST.ALPHA, DATA.REVERSE_INPUT_CHANNEL.
        frames: (C, T, H, W), RGB.

    Returns:
        ``[slow, fast]`` for MODEL.ARCH slowfast, ``[frames]`` for all others.
    """
    if cfg.DATA.REVERSE_INPUT_CHANNEL:
        frames = frames.flip(0)
    return split_pathways(cfg, frames, dim=1)


def split_pathways(cfg: CfgNode, video: Tensor, dim: int = 2) -> list[Tensor]:
    """Return the frames of each pathway.

    Args:
        cfg: Read: MODEL.ARCH, SLOWFAST.ALPHA.
        video: float, any shape, such as (B, C, T, H, W).
        dim: Dimension of time.

    Returns:
        ``[slow, fast]`` for MODEL.ARCH slowfast, ``[video]`` for all others.
    """
    if cfg.MODEL.ARCH != "slowfast":
        return [video]
    return [pick_frames(video, max(1, video.shape[dim] // cfg.SLOWFAST.ALPHA), dim), video]
