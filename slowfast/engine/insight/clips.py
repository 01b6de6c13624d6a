"""Clips of single videos of the test split, read again to be shown.

Legend: T frames, H W height and width, F mel bins, S time frames of the spectrogram.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slowfast.config import CfgNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.collate import collate
from slowfast.datasets.fault_tolerant import FaultTolerantDataset
from slowfast.datasets.views.clip_sampling import build_clip_sampling

__all__ = ["ShownClip", "read_clips"]

_PER_CLIP = ("video", "clip_start_sec", "view")


class ShownClip(NamedTuple):
    """The center view of the middle clip of a video.

    Attributes:
        row: Row of the manifest.
        frames: uint8 (T, H, W, 3); None without video.
        start_sec: Start of the clip in the file, in seconds.
        video_sec: Duration of its video; None if its frames are spread over the file.
        log_mel: float (F, S); None without audio.
        audio_sec: Duration of its audio, in seconds; 0 without.
        batch: The prepared batch of this view alone, on the device.
    """

    row: int
    frames: NDArray[np.uint8] | None
    start_sec: float
    video_sec: float | None
    log_mel: NDArray[np.float32] | None
    audio_sec: float
    batch: dict[str, Any]


def read_clips(
    cfg: CfgNode, prepare: Callable[[Any], dict[str, Any]], rows: Sequence[int]
) -> Iterator[ShownClip]:
    """Read a clip of each of some videos of the test split.

    Args:
        cfg: The configuration.
        prepare: Preprocessing of batches.
        rows: Rows of the manifest.

    Yields:
        The clips; a file that cannot be read now is left out.
    """
    dataset = FaultTolerantDataset(
        build_dataset(cfg.TEST.DATASET, cfg, "test"), policy="drop", seed=cfg.RNG_SEED
    )
    samples: dict[int, list[int]] = {row: [] for row in rows}
    for sample in range(len(dataset)):
        if (row := dataset.row(sample)) in samples:
            samples[row].append(sample)
    settings = getattr(dataset.dataset, "settings", None)
    sampling = getattr(settings, "sampling", None) or build_clip_sampling(cfg)
    video_sec = float(sampling.duration_sec)
    for row in rows:
        chunks = samples[row]
        if not chunks:
            continue
        batch = collate([dataset[0, chunks[len(chunks) // 2]]]).batch
        # A dataset without ``row`` may still number its files in another way.
        if batch is not None and int(batch["index"][0]) == row:
            yield _show(cfg, _middle_view(batch), prepare, video_sec)


def _middle_view(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keep the center crop of the middle clip, and its audio, of the one sample of a batch."""
    starts = batch["clip_start_sec"][0]  # one per view, the crops of a clip next to each other
    clips = batch["audio"].shape[1] if "audio" in batch else len(starts.unique_consecutive())
    crops = len(starts) // clips
    clip = clips // 2
    kept = dict(batch)
    for name in _PER_CLIP:
        if name in batch:
            view = clip * crops + crops // 2
            kept[name] = batch[name][:, view : view + 1]
    for name in ("audio", "audio_valid"):
        if name in batch:
            kept[name] = batch[name][:, clip : clip + 1]
    return kept


def _show(
    cfg: CfgNode,
    batch: dict[str, Tensor],
    prepare: Callable[[Any], dict[str, Any]],
    video_sec: float,
) -> ShownClip:
    with torch.no_grad():
        prepared = prepare(batch)
    frames = batch["video"][0, 0].numpy() if "video" in batch else None
    has_audio = "audio" in batch and bool(batch["audio_valid"].all())
    log_mel, audio_sec = None, 0.0
    if has_audio and prepared["audio"].dim() == 5:  # (1, 1, 1, F, S)
        log_mel = prepared["audio"][0, 0, 0].float().cpu().numpy()
        audio_sec = batch["audio"].shape[-1] / cfg.AUDIO.SAMPLE_RATE
    return ShownClip(
        int(batch["index"][0]),
        frames,
        float(batch["clip_start_sec"][0, 0]),
        None if math.isinf(video_sec) else video_sec,
        log_mel,
        audio_sec,
        prepared,
    )
