"""Trivial baselines: classification from color, frame differences, pixels and loudness alone.

Each has a few numbers per clip and a linear classifier fitted on the train split. Learned features
should be better than these.

Legend: B batch, V views, A audio clips, T frames, F mel bins, S time frames, N files.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from slowfast.config import CfgNode
from slowfast.engine.features import FeatureTable, average_views, gather_rows, sum_views
from slowfast.engine.linear import fit_with_cv
from slowfast.engine.protocols.build import PROTOCOL_REGISTRY, FeatureProvider, Result
from slowfast.engine.protocols.linear_probe import log_selected
from slowfast.engine.protocols.probe import need_labels, remap_labels
from slowfast.utils.metrics import topk_accuracy

__all__ = [
    "baselines",
    "gray_frames",
    "mean_color",
    "mean_frame_difference",
    "mel_moments",
    "mel_statistics",
]

_GRAY_FRAMES, _GRAY_SIDE = 8, 12


def mean_color(video: Tensor) -> Tensor:
    """Compute the mean color of each frame.

    video: uint8 (B, V, T, H, W, 3) -> float32 (B, V, T * 3), in pixel values (0 to 255).
    """
    return video.float().mean(dim=(3, 4)).flatten(2)


def mean_frame_difference(video: Tensor) -> Tensor:
    """Compute the mean absolute difference of consecutive frames.

    video: uint8 (B, V, T, H, W, 3), T >= 2 -> float32 (B, V, T - 1), in pixel values (0 to 255).
    """
    frames = video.float()
    return (frames[:, :, 1:] - frames[:, :, :-1]).abs().mean(dim=(3, 4, 5))


def gray_frames(video: Tensor) -> Tensor:
    """Scale up to 8 frames, at equal distances, to 12 x 12 gray pixels.

    video: uint8 (B, V, T, H, W, 3) -> float32 (B, V, min(T, 8) * 144), in pixel values (0 to 255).
    """
    num_frames = min(video.shape[2], _GRAY_FRAMES)
    picked = torch.linspace(0, video.shape[2] - 1, num_frames).round().long()
    gray = video[:, :, picked].float().mean(dim=-1)  # (B, V, T, H, W)
    small = functional.adaptive_avg_pool2d(gray.flatten(0, 1), _GRAY_SIDE)
    return small.unflatten(0, video.shape[:2]).flatten(2)


def mel_moments(spectrogram: Tensor) -> Tensor:
    """Average each mel bin, and its square, over time.

    Args:
        spectrogram: float (B, A, 1, F, S).

    Returns:
        float32 (B, A, 2 * F). Unlike deviations, these may be averaged over the clips of a file.
    """
    mel = spectrogram.float().squeeze(2)  # (B, A, F, S)
    return torch.cat([mel.mean(dim=-1), mel.square().mean(dim=-1)], dim=-1)


def mel_statistics(moments: Tensor) -> Tensor:
    """Convert moments to the mean and standard deviation of each mel bin.

    moments: float (N, 2 * F), averaged over the clips of each file -> float (N, 2 * F).
    """
    mean, square = moments.chunk(2, dim=1)
    return torch.cat([mean, (square - mean.square()).clamp(min=0).sqrt()], dim=1)


@PROTOCOL_REGISTRY.register(needs_model=False, one_label=True)
def baselines(provider: FeatureProvider, cfg: CfgNode) -> dict[str, Result]:
    """Measure a linear classifier on trivial features of video and audio.

    The classifier is that of ``linear_probe``: standardized features, weight decay selected by
    cross-validation within the train split.

    Args:
        provider: Batches of the train split (as a gallery) and of the test split.
        cfg: PROBE.WEIGHT_DECAY_GRID, VALIDATION_FOLDS.

    Returns:
        With video ``baseline_mean_color``, ``baseline_frame_difference`` and
        ``baseline_gray_frames``, with audio ``baseline_mel_statistics``: accuracy on the test
        split. The chance level is 1 / classes.

    Raises:
        UserError: If a video has no label.
    """
    gallery, test = (_describe(provider, split) for split in ("gallery", "test"))
    need_labels("baselines", gallery.label, test.label)
    split = remap_labels(provider, gallery.label, test.label)
    results = {}
    for name, inputs in gallery.features.items():
        classifier, choice = fit_with_cv(
            inputs,
            split.label,
            len(split.classes),
            cfg.PROBE.WEIGHT_DECAY_GRID,
            cfg.PROBE.VALIDATION_FOLDS,
        )
        log_selected(f"baseline_{name}", "PROBE.WEIGHT_DECAY_GRID", choice)
        scores = classifier.scores(test.features[name])
        value = topk_accuracy(scores, split.target, 1)
        results[f"baseline_{name}"] = Result(value, split.chance(1), count=len(test))
    return results


def _describe(provider: FeatureProvider, split: str) -> FeatureTable:
    """Compute the trivial features of every video of a split."""
    rows = []
    for batch in provider.batches(split):
        described = {}
        if "raw_video" in batch:
            described["mean_color"] = mean_color(batch["raw_video"])
            if batch["raw_video"].shape[2] > 1:
                described["frame_difference"] = mean_frame_difference(batch["raw_video"])
            described["gray_frames"] = gray_frames(batch["raw_video"])
        if "audio" in batch:
            described["mel_moments"] = mel_moments(batch["audio"])
        rows.append(sum_views(described, batch))
    table = average_views(gather_rows(rows))
    if "mel_moments" in table.features:
        table.features["mel_statistics"] = mel_statistics(table.features.pop("mel_moments"))
    return table
