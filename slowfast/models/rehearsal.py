"""One training step and one test clip in shapes alone, before anything is decoded.

A configuration may be right key by key and still not work: too few frames for a kernel or for crops
in time, one sample for batch statistics. Torch's fake tensors tell: they have shapes and no values,
so that a step of any size costs about a second and no memory.

Legend: B batch, V views, T frames, F mel bands, S spectrogram steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    unset_fake_temporarily,
)

from slowfast.config import CfgNode, Problem
from slowfast.config.load import flatten
from slowfast.models.build import LOSS_REGISTRY, build_model
from slowfast.models.optimizer import construct_optimizer

__all__ = ["clip_batch", "rehearse"]

_COLORS = 3
_UNNAMED = "MODEL"
_MISTAKES = (ValueError, RuntimeError, AssertionError, IndexError, ZeroDivisionError)
_NO_MISTAKES = (DataDependentOutputException, DynamicOutputShapeException, NotImplementedError)
"""What is raised where a model needs values, which is no mistake of the user's."""


def clip_batch(
    cfg: CfgNode, *, samples: int = 1, views: int = 1, side: int = 0
) -> dict[str, Tensor]:
    """Make a batch of zeros as ``prepare_batch`` would give it, on the current device.

    Args:
        cfg: The configuration.
        samples: B.
        views: V.
        side: Of the frames, in pixels; 0: DATA.TRAIN_CROP_SIZE.

    Returns:
        The batch.
    """
    side = side or cfg.DATA.TRAIN_CROP_SIZE
    batch = {
        "video": torch.zeros(samples, views, _COLORS, cfg.DATA.NUM_FRAMES, side, side),
        "label": torch.zeros(samples, dtype=torch.int64),
        "index": torch.zeros(samples, dtype=torch.int64),
        "aug_seed": torch.zeros(samples, dtype=torch.int64),
    }
    if cfg.AUDIO.ENABLE:
        steps = max(1, round(cfg.AUDIO.CLIP_SEC / cfg.AUDIO.HOP_SEC))
        batch["audio"] = torch.zeros(samples, views, 1, cfg.AUDIO.NUM_MEL, steps)  # (B, V, 1, F, S)
        batch["audio_valid"] = torch.ones(samples, views, dtype=torch.bool)
    return batch


def rehearse(cfg: CfgNode, batch_size: int, *, only_named: bool = False) -> list[Problem]:
    """Find out whether a training step and a test clip fit the model.

    Args:
        cfg: The configuration.
        batch_size: Clips of a step in one process.
        only_named: Leave out faults that no key is named for: where the configuration has other
            mistakes, they mostly follow from those.

    Returns:
        A problem for each of the two that fails.
    """
    problems = []
    if cfg.TRAIN.ENABLE:
        what = f"TRAIN.BATCH_SIZE ({batch_size} in a process), {_shape(cfg, 'TRAIN_CROP_SIZE')}"
        problems += _try(lambda: _train_step(cfg, batch_size), what, cfg)
    if cfg.TEST.ENABLE:
        problems += _try(lambda: _test_clip(cfg), _shape(cfg, "TEST_CROP_SIZE"), cfg)
    return [problem for problem in problems if problem.key != _UNNAMED or not only_named]


def _shape(cfg: CfgNode, side: str) -> str:
    text = f"DATA.NUM_FRAMES ({cfg.DATA.NUM_FRAMES}), DATA.{side} ({cfg.DATA[side]})"
    if cfg.AUDIO.ENABLE:
        text += f", AUDIO.CLIP_SEC ({cfg.AUDIO.CLIP_SEC:g}), AUDIO.NUM_MEL ({cfg.AUDIO.NUM_MEL})"
    return text


def _train_step(cfg: CfgNode, batch_size: int) -> None:
    model = _build_fake(cfg).train()
    construct_optimizer(model, cfg)
    views = cfg.DATA.TRAIN_CROP_NUM_SPATIAL
    batch = clip_batch(cfg, samples=batch_size, views=views)
    LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(cfg)(model(batch), batch)


def _test_clip(cfg: CfgNode) -> None:
    model: Any = _build_fake(cfg).eval()
    model.embed(clip_batch(cfg, side=cfg.DATA.TEST_CROP_SIZE))


def _build_fake(cfg: CfgNode) -> nn.Module:
    """Build the model with fake weights; on the meta device, as their first values do not count."""
    with unset_fake_temporarily(), torch.device("meta"):
        model = build_model(cfg)
    return model.to_empty(device="cpu")


def _try(run: Callable[[], None], keys: str, cfg: CfgNode) -> list[Problem]:
    try:
        with (
            torch.random.fork_rng(devices=[]),
            torch.no_grad(),
            FakeTensorMode(allow_non_fake_inputs=True),
        ):
            run()
    except Exception as error:
        # Anything else is a fault of the code: it shows itself where it happens for real.
        if isinstance(error, _NO_MISTAKES) or not isinstance(error, _MISTAKES):
            return []
        reason = " ".join(str(error).split())[:400]
        key, _, message = reason.partition(": ")
        if re.fullmatch(r"[A-Z][A-Z0-9_.]+", key) and _is_key(key, cfg):
            return [Problem(key, message)]
        return [Problem(_UNNAMED, f"cannot take clips of this size: {reason} See {keys}.")]
    return []


def _is_key(key: str, cfg: CfgNode) -> bool:
    return any(name == key or name.startswith(f"{key}.") for name in flatten(cfg))
