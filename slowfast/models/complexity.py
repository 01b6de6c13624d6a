"""How large a network is and how much it computes, without running it.

The network is built a second time on the meta device, where tensors have shapes but no values, and
shown one clip there. Torch's counter also counts attention.

Legend: T frames.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from slowfast.config import CfgNode
from slowfast.models.build import build_model
from slowfast.models.rehearsal import clip_batch

__all__ = ["Complexity", "count_complexity", "describe_complexity"]


class Complexity(NamedTuple):
    """The size of a network and of its work on one clip.

    Attributes:
        parameters: Of the whole model.
        multiply_adds: In one forward pass of one clip in evaluation, with its audio where the model
            hears. What papers on video call FLOPs.
        frames: T of the clip.
        side: Of its square frames, in pixels.
    """

    parameters: int
    multiply_adds: int
    frames: int
    side: int


def count_complexity(cfg: CfgNode, side: int = 0) -> Complexity:
    """Count the parameters of a model and its multiply-adds on one clip.

    Args:
        cfg: The configuration.
        side: Of the frames, in pixels; 0: DATA.TRAIN_CROP_SIZE.

    Returns:
        The counts. Random numbers of the caller are not touched.

    Raises:
        NotImplementedError: If a part of the model does something that shapes alone cannot tell.
    """
    side = side or cfg.DATA.TRAIN_CROP_SIZE
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        # The counter's hooks fail on views of parameters that want a gradient.
        model: Any = build_model(cfg).eval().requires_grad_(False)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            model.embed(clip_batch(cfg, side=side))
    parameters = sum(p.numel() for p in model.parameters())
    return Complexity(parameters, counter.get_total_flops() // 2, cfg.DATA.NUM_FRAMES, side)


def describe_complexity(cfg: CfgNode) -> str:
    """Say in a line what one clip costs, for the header of a run.

    Args:
        cfg: The configuration.

    Returns:
        ``40.5 G multiply-adds for a clip of 16 frames of 112 pixels``, or why they are not known.
    """
    try:
        work = count_complexity(cfg)
    except (NotImplementedError, RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        return f"multiply-adds not counted ({reason})"
    giga = work.multiply_adds / 1e9
    return (
        f"{giga:.{1 if giga >= 10 else 2}f} G multiply-adds for a clip of {work.frames} frames of "
        f"{work.side} pixels"
    )
