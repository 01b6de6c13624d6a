"""What is shown of single clips: frames, regions of crops, spectrogram, attention and Grad-CAM.

Legend: T frames, H W height and width, K regions, M heads, T' time steps of a feature map.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config import CfgNode
from slowfast.datasets.views.sample_views import build_views, view_rng
from slowfast.engine.features import FeatureTable
from slowfast.engine.insight.clips import ShownClip
from slowfast.engine.insight.images import (
    encode_jpeg,
    log_mel_image,
    overlay_heat,
    resize_frame,
)
from slowfast.engine.insight.inside import grad_cam, look_inside, step_attention

__all__ = ["Files", "Prediction", "choose_predictions", "describe_clip", "describe_predictions"]

_STRIP_FRAMES, _FRAME_PX, _LOG_MEL_PX = 8, 112, 80
_DIGITS = 4

Files = dict[str, bytes]


class Prediction(NamedTuple):
    """A prediction of a classifier to be shown.

    Attributes:
        row: Row of the manifest.
        predicted: Class with the highest score.
        score: That score.
        is_right: Whether it is the label, or one of several; None without a label.
    """

    row: int
    predicted: int
    score: float
    is_right: bool | None


def choose_predictions(table: FeatureTable, count: int) -> list[Prediction]:
    """Choose the wrong and the right predictions with the highest scores.

    Args:
        table: Its ``scores`` and ``label``.
        count: Predictions of each kind; without any labels twice as many in all.

    Returns:
        The wrong ones first. Of the right ones, one of each class, then another one of each.
    """
    score, predicted = table.features["scores"].max(dim=1)
    if table.is_multi_label:
        right = table.label.gather(1, predicted[:, None])[:, 0] > 0
    else:
        right = table.label == predicted
    known = table.is_labeled
    groups: list[tuple[Tensor, bool | None]] = [(known & ~right, False), (known & right, True)]
    if not known.any():
        groups, count = [(~known, None)], 2 * count
    chosen = []
    for mask, is_right in groups:
        places = mask.nonzero().flatten()
        places = places[score[places].argsort(descending=True, stable=True)]
        turns: dict[int, int] = {}
        ranked = []
        for place in places.tolist():
            label = int(predicted[place])
            turns[label] = turns.get(label, 0) + 1
            ranked.append((turns[label] if is_right else 0, place))
        for _, place in sorted(ranked, key=lambda pair: pair[0])[:count]:
            row, label = int(table.index[place]), int(predicted[place])
            chosen.append(Prediction(row, label, float(score[place]), is_right))
    return chosen


def describe_clip(
    cfg: CfgNode, model: nn.Module, clip: ShownClip, name: str, files: Files
) -> dict[str, Any]:
    """Describe an example clip; its regions are those that training would use of it.

    Args:
        cfg: The configuration.
        model: The model in evaluation mode.
        clip: The clip.
        name: Start of the names of its files.
        files: Receives its images.

    Returns:
        ``start_sec``, ``video_sec``, ``audio_sec``, ``frames`` and ``log_mel`` (files or None),
        ``num_frames`` (next to each other in ``frames``),
        ``regions`` with their ``regions_of`` ("feature map", "input", None) and ``attention``:
        M rows of T' weights, or None.
    """
    inside = look_inside(model, clip.batch)
    regions, kind = _input_regions(cfg, clip), "input"
    if inside.regions is not None:
        names, extent = inside.regions
        regions, kind = list(zip(names, extent[0].tolist(), strict=True)), "feature map"
    attention = None
    if inside.attention is not None:
        steps = inside.maps[0].shape[2] if inside.maps else 1
        attention = _rounded(step_attention(inside.attention, steps)[0])
    described: dict[str, Any] = {
        "row": clip.row,
        "start_sec": round(clip.start_sec, 3),
        "video_sec": clip.video_sec,
        "audio_sec": clip.audio_sec,
        "frames": None,
        "num_frames": 0 if clip.frames is None else min(_STRIP_FRAMES, len(clip.frames)),
        "log_mel": None,
        "regions": [{"name": n, "extent": _rounded(extent)} for n, extent in regions],
        "regions_of": kind if regions else None,
        "attention": attention,
    }
    if clip.frames is not None:
        described["frames"] = f"{name}_frames.jpg"
        files[described["frames"]] = encode_jpeg(_strip(clip.frames))
    if clip.log_mel is not None:
        described["log_mel"] = f"{name}_log_mel.jpg"
        files[described["log_mel"]] = encode_jpeg(log_mel_image(clip.log_mel, _LOG_MEL_PX))
    return described


def describe_predictions(
    model: nn.Module,
    clips: Iterable[ShownClip],
    predictions: Sequence[Prediction],
    files: Files,
) -> list[dict[str, Any]]:
    """Describe predictions with the Grad-CAM of the predicted class.

    Args:
        model: The model in evaluation mode.
        clips: Clips of the videos.
        predictions: Predictions, any number of them without a clip.
        files: Receives the images.

    Returns:
        ``row``, ``predicted``, ``score``, ``is_right``, ``frames`` (file or None) and ``heat``: the
        file of the same frames, or of the spectrogram, under the heat map. Empty for a model whose
        logits do not depend on a feature map.
    """
    of_row = {prediction.row: prediction for prediction in predictions}
    described = []
    for number, clip in enumerate(clips):
        prediction = of_row[clip.row]
        found = grad_cam(model, clip.batch, torch.tensor([prediction.predicted]))
        if found is None:
            return []
        cam = found[0][0].cpu()
        entry: dict[str, Any] = {**prediction._asdict(), "frames": None, "heat": None}
        if cam.dim() == 3 and clip.frames is not None:
            entry["frames"] = f"grad_cam_{number}_frames.jpg"
            files[entry["frames"]] = encode_jpeg(_strip(clip.frames))
            heat = _strip(clip.frames, _resized(cam, len(clip.frames)))
        elif cam.dim() == 2 and clip.log_mel is not None:
            image = log_mel_image(clip.log_mel, _LOG_MEL_PX)
            heat = overlay_heat(image, _scaled(cam).numpy()[::-1])
        else:
            continue
        entry["heat"] = f"grad_cam_{number}_heat.jpg"
        files[entry["heat"]] = encode_jpeg(heat)
        described.append(entry)
    return described


def _input_regions(cfg: CfgNode, clip: ShownClip) -> list[tuple[str, list[list[float]]]]:
    """Sample the input crops that the run's training would take of the frames of a clip."""
    if clip.frames is None or not cfg.TRAIN.ENABLE:
        return []
    regions = []
    height, width = clip.frames.shape[1:3]
    for number, view in enumerate(build_views(cfg).views):
        sample = getattr(view.transform, "sample", None)
        if sample is None:
            continue
        rng = view_rng((cfg.RNG_SEED, 0, clip.row), number)
        top, left, box_height, box_width = sample(height, width, rng).box
        space = [[top / height, (top + box_height) / height]]
        space += [[left / width, (left + box_width) / width]]
        regions.append((f"{view.field}_{number}", [[0.0, 1.0], *space]))
    return regions


def _shown(num_frames: int) -> NDArray[np.int64]:
    """Return the frames of a strip: the centers of equal parts of the clip."""
    count = min(_STRIP_FRAMES, num_frames)
    return ((np.arange(count) + 0.5) * num_frames / count).astype(np.int64)


def _strip(frames: NDArray[np.uint8], heat: NDArray[np.float32] | None = None) -> NDArray[np.uint8]:
    """Place frames of a clip next to each other, maybe under their heat maps."""
    images = [resize_frame(frames[number], _FRAME_PX) for number in _shown(len(frames))]
    if heat is not None:
        images = [overlay_heat(image, own) for image, own in zip(images, heat, strict=True)]
    return np.concatenate(images, axis=1)


def _resized(cam: Tensor, num_frames: int) -> NDArray[np.float32]:
    """Interpolate a map (T', H', W') at the shown frames, and scale it: (frames, H', W')."""
    size = (num_frames, *cam.shape[1:])
    each = F.interpolate(cam[None, None].float(), size, mode="trilinear", align_corners=False)
    return _scaled(each[0, 0]).numpy()[_shown(num_frames)]


def _scaled(cam: Tensor) -> Tensor:
    """Scale a map that is at least 0 to a maximum of 1; zeros stay zeros."""
    return cam / cam.max().clamp(min=torch.finfo(cam.dtype).tiny)


def _rounded(values: Any) -> Any:
    values = values.tolist() if isinstance(values, Tensor) else values
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return round(values, _DIGITS)
