"""Audio-only datasets: windows of audio files as samples.

Legend: A windows of a file, N audio samples.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np

from slowfast.config import CfgNode
from slowfast.datasets.annotations.labels import encode_label, take_per_class
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.base import EvalDataset, TrainDataset
from slowfast.datasets.decoding.audio_clip import MIN_VALID_AUDIO, load_audio_clip
from slowfast.datasets.decoding.clip_reader import ClipReader, open_row
from slowfast.datasets.decoding.decode_cache import DecodedFiles
from slowfast.datasets.views.sampling import even_clip_starts, random_clip_start
from slowfast.utils.random import STREAM_AUG_SEED, STREAM_CLIP, sample_rng

__all__ = ["AudioEvalDataset", "AudioSettings", "AudioTrainDataset", "build_audio_dataset"]

logger = logging.getLogger(__name__)


class AudioSettings(NamedTuple):
    """Settings of reading windows from files.

    Attributes:
        clip_sec: Length of a window, in seconds.
        sample_rate_hz: Sample rate that the audio is resampled to.
        decoded: The cache of decoded files; None: no cache.
    """

    clip_sec: float = 1.0
    sample_rate_hz: int = 24000
    decoded: DecodedFiles | None = None

    def open(self, row: VideoRecord) -> ClipReader:
        """Open the file of a row; the caller closes it."""
        return open_row(row) if self.decoded is None else self.decoded.open(row)

    def read(self, reader: ClipReader, starts_sec: list[float]) -> dict[str, np.ndarray]:
        """Read ``audio`` (A, N) and ``audio_valid`` (A,) of windows.

        For a file shorter than a window, validity is relative to the length of the file.
        """
        first, last = reader.audio_extent_sec
        return load_audio_clip(
            reader,
            starts_sec,
            clip_sec=self.clip_sec,
            sample_rate_hz=self.sample_rate_hz,
            min_share=MIN_VALID_AUDIO * min(1.0, (last - first) / self.clip_sec),
        )


class AudioTrainDataset(TrainDataset):
    """Random windows of audio files.

    Args:
        manifest: The files.
        settings: How windows are read.
        seed: RNG_SEED; a sample depends only on (seed, epoch, index).
        clips_per_video: Number of windows sampled from each file per epoch.
    """

    def __init__(
        self, manifest: Manifest, settings: AudioSettings, *, seed: int, clips_per_video: int = 1
    ) -> None:
        super().__init__(manifest, seed, clips_per_video)
        self.settings = settings

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        row = self.manifest.row(self.row(index))
        with self.settings.open(row) as reader:
            first, last = reader.audio_extent_sec
            rng = sample_rng(self.seed, epoch, index, STREAM_CLIP)
            start = random_clip_start(first, last, self.settings.clip_sec, rng)
            audio = self.settings.read(reader, [start])
        seed_rng = sample_rng(self.seed, epoch, index, STREAM_AUG_SEED)
        return {
            **audio,
            **row.fields,
            "label": encode_label(row, self.label_width),
            "index": self.row(index),
            "clip_start_sec": np.array([start], np.float32),
            "view": np.arange(1),
            "aug_seed": int(seed_rng.integers(2**62)),
        }


class AudioEvalDataset(EvalDataset):
    """Evenly spaced windows of every file; a sample holds a chunk of them.

    Args:
        manifest: The files.
        settings: How windows are read.
        seed: RNG_SEED; only ``aug_seed`` depends on it.
        num_clips: Windows per file, evenly spaced from its start to its end.
        views_per_chunk: Largest number of windows in a sample; a sample has at least one.
    """

    def __init__(
        self,
        manifest: Manifest,
        settings: AudioSettings,
        *,
        seed: int,
        num_clips: int,
        views_per_chunk: int,
    ) -> None:
        super().__init__(
            manifest, seed, num_clips=num_clips, views_per_clip=1, views_per_chunk=views_per_chunk
        )
        self.settings, self._num_clips = settings, num_clips

    def open(self, row: VideoRecord) -> ClipReader:
        """Open the file of a row; the caller closes it."""
        return self.settings.open(row)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        index, clips = self.row(key[1]), self.clips(key[1])
        row = self.manifest.row(index)
        with self.open(row) as reader:
            first, last = reader.audio_extent_sec
            all_starts = even_clip_starts(first, last, self.settings.clip_sec, self._num_clips)
            starts = [float(all_starts[clip]) for clip in clips]
            audio = self.settings.read(reader, starts)
        ends = [min(start + self.settings.clip_sec, last) for start in starts]
        return {
            **audio,
            **row.fields,
            "label": encode_label(row, self.label_width),
            "index": index,
            "clip_start_sec": np.array(starts, np.float32),
            "clip_end_sec": np.array(ends, np.float32),
            "view": np.arange(clips.start, clips.stop),
            "aug_seed": int(sample_rng(self.seed, 0, index, STREAM_AUG_SEED).integers(2**62)),
        }


def build_audio_dataset(
    cfg: CfgNode, manifest: Manifest, split: str
) -> AudioTrainDataset | AudioEvalDataset:
    """Build the audio-only dataset of a split from its manifest.

    Args:
        cfg: The configuration.
        manifest: The files of the split.
        split: "train" for random windows; "val" for the center window; "test" and "gallery" for
            TEST.NUM_ENSEMBLE_VIEWS evenly spaced windows.

    Returns:
        The dataset.
    """
    decoded = DecodedFiles.from_cfg(cfg, with_video=False)
    manifest.require_fields(cfg.DATA.ROW_FIELDS)
    settings = AudioSettings(cfg.AUDIO.CLIP_SEC, cfg.AUDIO.SAMPLE_RATE, decoded)
    if split == "train":
        return AudioTrainDataset(
            take_per_class(manifest, cfg.DATA.TRAIN_VIDEOS_PER_CLASS, cfg.RNG_SEED),
            settings,
            seed=cfg.RNG_SEED,
            clips_per_video=cfg.DATA.TRAIN_CLIPS_PER_VIDEO,
        )
    if split == "test" and cfg.TEST.SPATIAL_JITTER:
        strength = cfg.TEST.SPATIAL_JITTER
        logger.warning("TEST.SPATIAL_JITTER %g has no effect: the dataset is audio only", strength)
    return AudioEvalDataset(
        manifest,
        settings,
        seed=cfg.RNG_SEED,
        num_clips=1 if split == "val" else cfg.TEST.NUM_ENSEMBLE_VIEWS,
        views_per_chunk=cfg.TEST.VIEWS_PER_CHUNK,
    )
