"""Feature maps, tokens and attention inside a model, read by forward hooks while it embeds.

No model is known here: a backbone is a module that returns a ``BackboneOutput``, and a pooling
shows its attention by the method ``attention_weights`` (see POOLING_REGISTRY).

Legend: N rows (B * V), C channels, T' H' W' feature map, F' S' map of audio, L tokens, M heads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from slowfast.models.contracts import BackboneOutput, CropRegions, Tokens

__all__ = ["Attention", "Inside", "grad_cam", "look_inside", "step_attention"]

_VIDEO_DIMS = 5


class Attention(NamedTuple):
    """Attention of the pooling of the first pathway.

    Attributes:
        weights: float (N, M, L); rows of valid tokens sum to 1.
        positions: int64 (N, L), time step of each token on the feature map.
    """

    weights: Tensor
    positions: Tensor


class Inside(NamedTuple):
    """What was read while a batch was embedded.

    Attributes:
        embedded: Result of ``embed``.
        maps: Feature maps of the first video backbone, one (N, C, T', H', W') per pathway; None if
            the model has none.
        regions: Regions of the feature crops that training would take of the maps; None without.
        attention: None for a pooling without attention.
    """

    embedded: dict[str, Tensor]
    maps: list[Tensor] | None
    regions: CropRegions | None
    attention: Attention | None


@contextlib.contextmanager
def _hooked(model: nn.Module, hook: Callable[..., Any], *, before: bool = False) -> Iterator[None]:
    """Call a hook before or after every module of a model."""
    handles = [
        module.register_forward_pre_hook(hook) if before else module.register_forward_hook(hook)
        for module in model.modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def look_inside(model: nn.Module, batch: Mapping[str, Any]) -> Inside:
    """Embed a batch and read what is inside. The model must be in evaluation mode.

    Args:
        model: A model with ``embed``, not wrapped.
        batch: A prepared batch.

    Returns:
        What was found.
    """
    backbones: list[BackboneOutput] = []
    attentions: list[Attention] = []

    def read_maps(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, BackboneOutput) and output.maps[0].dim() == _VIDEO_DIMS:
            backbones.append(output)

    def read_tokens(module: nn.Module, args: Any) -> None:
        weights = getattr(module, "attention_weights", None)
        if weights is not None and args and isinstance(args[0], Tokens) and not attentions:
            attentions.append(Attention(weights(args[0]), args[0].positions))

    with _hooked(model, read_maps), _hooked(model, read_tokens, before=True):
        embedded = model.embed(batch)  # type: ignore[operator]
    maps = backbones[0].maps if backbones else None
    regions = None
    describe = next(filter(None, (getattr(m, "regions", None) for m in model.modules())), None)
    if describe is not None and maps is not None and "aug_seed" in batch:
        regions = describe(maps, batch["aug_seed"])
    return Inside(embedded, maps, regions, next(iter(attentions), None))


def step_attention(attention: Attention, num_steps: int) -> Tensor:
    """Add up the attention of all tokens of a time step.

    Args:
        attention: Attention to tokens.
        num_steps: T', time steps of the feature map; more if tokens have more.

    Returns:
        float (N, M, T'); rows sum to 1.
    """
    weights, positions = attention
    num_steps = max(num_steps, int(positions.max()) + 1)
    index = positions[:, None].expand_as(weights)
    total = weights.new_zeros(*weights.shape[:2], num_steps)
    return total.scatter_add_(2, index, weights)


def grad_cam(
    model: nn.Module, batch: Mapping[str, Any], target: Tensor | None = None
) -> tuple[Tensor, Tensor] | None:
    """Compute Grad-CAM on the last feature map of the backbone (of its first pathway).

    Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2: the map of each channel is weighted
    by the mean gradient of the logit of the class, and the sum is clipped at 0.

    Args:
        model: A classifier in evaluation mode, not wrapped.
        batch: A prepared batch.
        target: int64 (N,), class of each row; None: the predicted class.

    Returns:
        float (N, T', H', W'), (N, F', S') for audio, at least 0, not scaled; and the classes. None
        if the model has no logits, or if they do not depend on a feature map, such as those of a
        class token.
    """
    found: list[Tensor] = []

    def cut(module: nn.Module, args: Any, output: Any) -> BackboneOutput | None:
        """Start the gradient at the feature maps: the backbone itself needs none."""
        if not isinstance(output, BackboneOutput) or found:
            return None
        maps = [feature_map.detach().requires_grad_() for feature_map in output.maps]
        found.append(maps[0])
        return output._replace(maps=maps)

    with torch.enable_grad(), _hooked(model, cut):
        embedded = model.embed(batch)  # type: ignore[operator]
        if "logits" not in embedded or not found:
            return None
        logits = embedded["logits"].flatten(0, 1)  # (N, classes)
        target = logits.argmax(dim=1) if target is None else target.to(logits.device)
        score = logits.gather(1, target[:, None]).sum()
        if not score.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(score, [found[0]], allow_unused=True)
    if gradient is None:
        return None
    weights = gradient.flatten(2).mean(dim=2)  # (N, C)
    cam = torch.einsum("nc,nc...->n...", weights, found[0].detach()).relu()
    return cam, target
