"""Runs one training step and one test clip on shapes only, before any video is decoded.

A configuration may have valid keys and still fail: too few frames for a kernel or temporal crops,
one sample for batch statistics. Tensors without values reveal this: a step of any size takes less
than a second and no memory. First those of the meta device; what fails there is tried again with
torch's fake tensors, which know the device as well, but take two to four times as long.

Legend: B batch, V views, T frames, F mel bins, S time frames.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    unset_fake_temporarily,
)

from slowfast.config import CfgNode, ConfigValueError, Problem
from slowfast.models.build import LOSS_REGISTRY, construct_model
from slowfast.models.method import DatasetInfo, call_hook
from slowfast.models.optimizer import construct_optimizer

__all__ = ["clip_batch", "rehearse"]

_COLORS = 3
_ROWS = 10_000  # of the training data
_UNNAMED = "MODEL"
_MISTAKES = (ValueError, RuntimeError, AssertionError, IndexError, ZeroDivisionError)
_NO_MISTAKES = (DataDependentOutputException, DynamicOutputShapeException, NotImplementedError)
"""Errors of models that need values, which are not errors of the user."""


def clip_batch(
    cfg: CfgNode,
    *,
    samples: int = 1,
    side: int = 0,
    fields: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, Tensor]:
    """Create a batch of zeros with the shapes of ``prepare_batch``, on the current device.

    Args:
        cfg: The configuration.
        samples: B.
        side: Side of the frames, in pixels; 0: DATA.TRAIN_CROP_SIZE.
        fields: (V, T, S) of each field of frames, (A,) of ``audio``, (V,) of a number per view;
            None: one view of one clip, with its audio.

    Returns:
        The batch.
    """
    if fields is None:
        fields = {"video": (1, cfg.DATA.NUM_FRAMES, side or cfg.DATA.TRAIN_CROP_SIZE)}
        fields |= {"audio": (1,)} if cfg.AUDIO.ENABLE else {}
    batch = {
        name: torch.zeros(samples, dtype=torch.int64) for name in ("label", "index", "aug_seed")
    }
    if cfg.DATA.MULTI_LABEL:
        batch["label"] = torch.zeros(samples, cfg.MODEL.NUM_CLASSES)
    for name, shape in fields.items():
        if name == "audio":
            steps = max(1, round(cfg.AUDIO.CLIP_SEC / cfg.AUDIO.HOP_SEC))
            batch[name] = torch.zeros(samples, *shape, 1, cfg.AUDIO.NUM_MEL, steps)
            batch["audio_valid"] = torch.ones(samples, *shape, dtype=torch.bool)
        elif len(shape) > 1:
            views, frames, size = shape
            batch[name] = torch.zeros(samples, views, _COLORS, frames, size, size)
        else:
            batch[name] = torch.zeros(samples, *shape, dtype=torch.int64)
    return batch


def rehearse(
    cfg: CfgNode,
    batch_size: int,
    fields: Mapping[str, tuple[int, ...]] | None,
    *,
    other_clips: Sequence[tuple[str, Mapping[str, tuple[int, ...]]]] = (),
    only_named: bool = False,
) -> list[Problem]:
    """Check whether the model accepts a training step and a test clip.

    Args:
        cfg: The configuration.
        batch_size: Samples per step and process.
        fields: Shapes of a training sample, as in ``clip_batch``; None: unknown, so that training
            is skipped.
        other_clips: Shapes of training samples that also occur, each with the key that causes it.
        only_named: Ignore errors without a config key, which mostly follow from other problems of
            the configuration.

    Returns:
        A problem for each that failed; other shapes are skipped if the first training step fails.
    """
    problems: list[Problem] = []
    if cfg.TRAIN.ENABLE and fields is not None:
        what = f"TRAIN.BATCH_SIZE ({batch_size} in a process), {_shape(cfg, 'TRAIN_CROP_SIZE')}"
        problems += _try(lambda: _train_step(cfg, batch_size, fields), what)
        if not problems:
            problems += _other_clips(cfg, batch_size, other_clips)
    if cfg.TEST.ENABLE:
        problems += _try(lambda: _test_clip(cfg), _shape(cfg, "TEST_CROP_SIZE"))
    return [problem for problem in problems if problem.key != _UNNAMED or not only_named]


def _other_clips(
    cfg: CfgNode, batch_size: int, clips: Sequence[tuple[str, Mapping[str, tuple[int, ...]]]]
) -> list[Problem]:
    problems = []
    for key, fields in clips:
        _, frames, side = fields["video"]
        of = f"got True, but clips of {frames} frames and {side} pixels fail"
        for problem in _try(functools.partial(_train_step, cfg, batch_size, fields), key):
            where = "the model" if problem.key == _UNNAMED else f"{problem.key}:"
            problems.append(Problem(key, f"{of}: {where} {problem.message}"))
    return problems


def _shape(cfg: CfgNode, side: str) -> str:
    text = f"DATA.NUM_FRAMES ({cfg.DATA.NUM_FRAMES}), DATA.{side} ({cfg.DATA[side]})"
    if cfg.AUDIO.ENABLE:
        text += f", AUDIO.CLIP_SEC ({cfg.AUDIO.CLIP_SEC:g}), AUDIO.NUM_MEL ({cfg.AUDIO.NUM_MEL})"
    return text


def _train_step(cfg: CfgNode, batch_size: int, fields: Mapping[str, tuple[int, ...]]) -> None:
    model = _build_fake(cfg, batch_size).train()
    construct_optimizer(model, cfg)
    batch = clip_batch(cfg, samples=batch_size, fields=fields)
    LOSS_REGISTRY.get(cfg.MODEL.LOSS_FUNC)(cfg)(model(batch), batch)


def _test_clip(cfg: CfgNode) -> None:
    model: Any = _build_fake(cfg).eval()
    model.embed(clip_batch(cfg, side=cfg.DATA.TEST_CROP_SIZE))


def _build_fake(cfg: CfgNode, batch_size: int = 0) -> nn.Module:
    """Build the model on the meta device, as initial values do not matter, for the current mode.

    Args:
        cfg: The configuration.
        batch_size: Samples of a step, to set a method up with some training data; 0: not set up.

    Returns:
        The model.
    """
    with unset_fake_temporarily(), torch.device("meta"):
        model = _construct(cfg)
        if batch_size:
            call_hook(model, "setup", DatasetInfo(_ROWS, _ROWS, 1, batch_size, 1))
    return model.to_empty(device=torch.get_default_device())


def _construct(cfg: CfgNode) -> nn.Module:
    try:
        return construct_model(cfg)
    except (RuntimeError, NotImplementedError) as error:
        if "meta tensor" not in str(error).lower():
            raise
    with torch.device("cpu"):  # a constructor that reads values, such as drop path rates
        return construct_model(cfg).to("meta")


def _try(run: Callable[[], None], keys: str) -> list[Problem]:
    error = _attempt(run, torch.device("meta"))
    if error is not None:
        error = _attempt(run, FakeTensorMode(allow_non_fake_inputs=True))
    # Other errors are bugs, which will appear in the actual run.
    if isinstance(error, _NO_MISTAKES) or not isinstance(error, _MISTAKES):
        return []
    if isinstance(error, ConfigValueError):
        return [error.problem]
    reason = " ".join(str(error).split())[:400]
    return [Problem(_UNNAMED, f"cannot take clips of this size: {reason} See {keys}.")]


def _attempt(
    run: Callable[[], None], mode: contextlib.AbstractContextManager[Any]
) -> Exception | None:
    """Run with tensors of a mode; return the error, if any."""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), mode:
            run()
    except Exception as error:
        return error
    return None
