"""Trivial baselines: how far colour, change and loudness alone tell the classes apart.

Each is a handful of numbers per clip and a linear classifier fitted on the train split. A learned
representation that does no better has learned nothing worth having.

Legend: B batch, V views, A sound clips, T frames, F mel bins, S spectrogram steps, N videos,
D features, M classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from slowfast.config import CfgNode, UserError
from slowfast.engine.features import average_views, gather_rows
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, Evidence, Result

__all__ = [
    "baselines",
    "fit_linear_classifier",
    "mean_colour",
    "mean_frame_difference",
    "mel_statistics",
]

_STEPS = 100


def mean_colour(video: Tensor) -> Tensor:
    """Average each frame's colour.

    Args:
        video: uint8 (B, V, T, H, W, 3).

    Returns:
        float32 (B, V, T * 3), in grey levels.
    """
    return video.float().mean(dim=(3, 4)).flatten(2)


def mean_frame_difference(video: Tensor) -> Tensor:
    """Average the absolute change from each frame to the next.

    Args:
        video: uint8 (B, V, T, H, W, 3), T >= 2.

    Returns:
        float32 (B, V, T - 1), in grey levels.
    """
    frames = video.float()
    return (frames[:, :, 1:] - frames[:, :, :-1]).abs().mean(dim=(3, 4, 5))


def mel_statistics(spectrogram: Tensor) -> Tensor:
    """Describe a spectrogram by each band's mean and standard deviation over time.

    Args:
        spectrogram: float (B, A, 1, F, S).

    Returns:
        float32 (B, A, 2 * F).
    """
    bands = spectrogram.float().squeeze(2)  # (B, A, F, S)
    return torch.cat([bands.mean(dim=-1), bands.std(dim=-1, correction=0)], dim=-1)


def fit_linear_classifier(features: Tensor, label: Tensor, decay: float = 1e-3) -> Tensor:
    """Fit multinomial logistic regression by LBFGS, deterministically.

    Args:
        features: float64 (N, D), standardised.
        label: int64 (N,), 0 to M - 1.
        decay: Weight of the squared norm of the weights.

    Returns:
        float64 (D + 1, M), the last row being the bias.
    """
    classes = int(label.max()) + 1
    inputs = F.pad(features, (0, 1), value=1.0)  # (N, D + 1)
    weight = torch.zeros(inputs.shape[1], classes, dtype=inputs.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(inputs @ weight, label) + decay * weight[:-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach()


@PROTOCOL_REGISTRY.register()
def baselines(evidence: Evidence, cfg: CfgNode) -> dict[str, Result]:
    """Measure what a linear classifier makes of three trivial descriptions.

    Args:
        evidence: Batches of the train split (as a gallery) and of the test split.
        cfg: AUDIO.ENABLE.

    Returns:
        ``baseline_mean_colour``, ``baseline_frame_difference`` and, with sound,
        ``baseline_mel_statistics``: accuracy on the test split. Chance is one over the classes.

    Raises:
        UserError: If a video has no label.
    """
    train, test = (_describe(evidence, split) for split in ("gallery", "test"))
    (inputs, label), (queries, target) = train, test
    if (label < 0).any() or (target < 0).any():
        raise UserError("TEST.PROTOCOLS: 'baselines' needs a label for every video.")
    classes = int(max(label.max(), target.max())) + 1
    results = {}
    for name, features in inputs.items():
        mean, deviation = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
        weight = fit_linear_classifier((features - mean) / deviation, label)
        standardised = F.pad((queries[name] - mean) / deviation, (0, 1), value=1.0)
        accuracy = ((standardised @ weight).argmax(dim=1) == target).double().mean()
        results[f"baseline_{name}"] = Result(float(accuracy), 1 / classes)
    return results


baselines.needs_model = False


def _describe(evidence: Evidence, split: str) -> tuple[dict[str, Tensor], Tensor]:
    """Describe every video of a split: name -> float64 (N, D), and the labels (N,)."""
    rows = []
    for batch in evidence.batches(split):
        described = {
            "mean_colour": mean_colour(batch["raw_video"]),
            "frame_difference": mean_frame_difference(batch["raw_video"]),
        }
        if "audio" in batch:
            described["mel_statistics"] = mel_statistics(batch["audio"]).cpu()
        rows.append((described, {k: v for k, v in batch.items() if "video" not in k}))
    table = average_views(gather_rows(rows))
    return {name: values.double() for name, values in table.features.items()}, table.label
