"""Where the time of a step goes: each part by itself, forward and backward.

A part gets its inputs as leaves, so that its backward pass ends there; the model after its
backbones is the model's own code on maps that are given.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from stica.model import SpaceTimeCropAttend
from torch import Tensor, nn

from crop_cost.cases import Step
from crop_cost.measure import time_ms
from slowfast.models.contracts import BackboneOutput

__all__ = ["PARTS", "measure_shares"]

PARTS = {
    "backbone": "backbone",
    "audio": "audio branch",
    "full": "pooling and heads, full clips",
    "crops": "crops, their pooling and head",
    "loss": "loss",
}


class _Given(nn.Module):
    """A backbone that returns what it was given."""

    def __init__(self, maps: Sequence[Tensor]) -> None:
        super().__init__()
        self.maps = [m.detach().requires_grad_() for m in maps]

    def forward(self, _: Tensor) -> BackboneOutput:
        return BackboneOutput(self.maps)


def measure_shares(step: Step, repeats: int) -> dict[str, Any]:
    """Measure the parts of a step with the config's own crops.

    Args:
        step: The step.
        repeats: Rounds, in each of which every part runs once.

    Returns:
        Of each part the median ``ms`` and its ``share`` of their sum; ``crops_per_view``. What
        crops take is the difference of the model's end with and without them, within a round.
    """
    calls = _calls(step)
    for name in ("full", "end", "loss"):  # warm up; the backbones are warm
        calls[name]()
    rounds: list[dict[str, float]] = []
    for _ in range(repeats):
        ms = {name: time_ms(call, step.device) for name, call in calls.items()}
        ms["crops"] = max(0.0, ms.pop("end") - ms["full"])
        rounds.append(ms)
    medians = {name: statistics.median(ms[name] for ms in rounds) for name in PARTS}
    total = sum(medians.values())
    parts = {
        name: {"ms": round(ms, 2), "share": round(ms / total, 4)} for name, ms in medians.items()
    }
    return {
        "crops_per_view": sum(kind.num for kind in step.own_crops.kinds.values()),
        "parts": parts,
    }


def _calls(step: Step) -> dict[str, Callable[[], object]]:
    """Make a call of each part; ``end`` is all between backbones and loss."""
    model, batch = step.model, step.batch
    video, audio = batch["video"].flatten(0, 1), batch["audio"][:, 0]
    with torch.no_grad(), step.precision.autocast():
        maps, audio_maps = model.backbone(video).maps, model.audio_backbone(audio).maps

    def end_of_model(crops: nn.Module | None) -> nn.Module:
        return SpaceTimeCropAttend(
            _Given(maps),
            model.pooling,
            model.head_video,
            feature_aug=crops,
            audio_backbone=_Given(audio_maps),
            head_audio=model.head_audio,
        )

    full, end = end_of_model(None), end_of_model(step.own_crops)
    with torch.no_grad(), step.precision.autocast():
        outputs = end(batch)
    leaves = type(outputs)(*(x if x is None else x.detach().requires_grad_() for x in outputs))
    forward = {
        "backbone": lambda: model.backbone(video).maps,
        "audio": lambda: model.audio_backbone(audio).maps,
        "full": lambda: full(batch),
        "end": lambda: end(batch),
        "loss": lambda: [step.criterion(leaves, batch)["loss"]],
    }
    return {name: _with_backward(step, call) for name, call in forward.items()}


def _with_backward(step: Step, forward: Callable[[], Sequence[Tensor]]) -> Callable[[], None]:
    """Run a forward pass and the backward pass of gradients of one."""

    def run() -> None:
        step.model.zero_grad(set_to_none=True)
        with step.precision.autocast():
            outputs = [x for x in forward() if x is not None and x.requires_grad]
        torch.autograd.backward(outputs, [torch.ones_like(x) for x in outputs])

    return run
