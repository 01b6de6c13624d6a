"""Counts the parameters and multiply-adds of a model, without running it.

A copy of the model is built on the meta device, where tensors have shapes but no values, and
applied to one clip. Torch's counter includes attention.

Legend: T frames.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slowfast.config import CfgNode
from slowfast.models.build import construct_model
from slowfast.models.rehearsal import clip_batch
from slowfast.utils.checkpoint import unwrap_model

__all__ = [
    "Complexity",
    "count_complexity",
    "describe_complexity",
    "describe_model",
    "log_model_info",
    "params_count",
]

logger = logging.getLogger(__name__)


class Complexity(NamedTuple):
    """Size of a model, and its computation for one clip.

    Attributes:
        parameters: Number of parameters of the full model.
        multiply_adds: Multiply-adds of a forward pass of one clip in evaluation, with its audio for
            audio-visual models. Video papers call these FLOPs.
        frames: T of the clip.
        side: Side of the square frames, in pixels.
    """

    parameters: int
    multiply_adds: int
    frames: int
    side: int


def count_complexity(cfg: CfgNode, side: int = 0) -> Complexity:
    """Count the parameters of a model and its multiply-adds on one clip.

    Args:
        cfg: The configuration.
        side: Side of the frames, in pixels; 0: DATA.TRAIN_CROP_SIZE.

    Returns:
        The counts. The global random state does not change.

    Raises:
        NotImplementedError: If an operation of the model needs values, not only shapes.
    """
    side = side or cfg.DATA.TRAIN_CROP_SIZE
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        # The counter's hooks fail on views of parameters that require a gradient.
        model: Any = construct_model(cfg).eval().requires_grad_(False)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            model.embed(clip_batch(cfg, side=side))
    return Complexity(
        params_count(model), counter.get_total_flops() // 2, cfg.DATA.NUM_FRAMES, side
    )


def describe_complexity(cfg: CfgNode, side: int = 0) -> str:
    """Describe the computation for one clip in a line, for the log.

    Args:
        cfg: The configuration.
        side: As for ``count_complexity``.

    Returns:
        ``40.5 G multiply-adds for a clip of 16 frames of 112 pixels``, or why they are unknown.
    """
    try:
        work = count_complexity(cfg, side)
    except (NotImplementedError, RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        return f"multiply-adds not counted ({reason})"
    giga = work.multiply_adds / 1e9
    return (
        f"{giga:.{1 if giga >= 10 else 2}f} G multiply-adds for a clip of {work.frames} frames of "
        f"{work.side} pixels"
    )


def describe_model(model: nn.Module) -> str:
    """List a model's components and their parameters.

    Args:
        model: Any model.

    Returns:
        One line: all parameters, trainable ones, and those of each component, in millions.
    """
    components = {
        name: sum(p.numel() for p in m.parameters()) for name, m in model.named_children()
    }
    total = params_count(model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    listed = ", ".join(f"{name} {count / 1e6:.2f}" for name, count in components.items() if count)
    return f"{total / 1e6:.2f} M parameters, {trained / 1e6:.2f} M trained ({listed})"


def params_count(model: nn.Module) -> int:
    """Count the parameters of a model (PySlowFast's name)."""
    return sum(p.numel() for p in model.parameters())


def log_model_info(model: nn.Module, cfg: CfgNode, use_train_input: bool = True) -> None:
    """Log the parameters of a model and its computation for one clip (PySlowFast's name).

    Args:
        model: The model, wrapped or not.
        cfg: Its configuration.
        use_train_input: Frames of DATA.TRAIN_CROP_SIZE, else of TEST_CROP_SIZE.
    """
    side = cfg.DATA.TRAIN_CROP_SIZE if use_train_input else cfg.DATA.TEST_CROP_SIZE
    logger.info("%s; %s", describe_model(unwrap_model(model)), describe_complexity(cfg, side))
