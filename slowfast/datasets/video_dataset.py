"""Clips of a manifest's files as samples: one file opened, one window decoded, views cut from it.

Legend: V views, A temporal clips, T frames, N sound samples.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from slowfast.config import CfgNode
from slowfast.datasets.audio import sec_to_num_samples
from slowfast.datasets.manifest import Manifest
from slowfast.datasets.media import MediaReader, open_media
from slowfast.datasets.sampling import (
    clip_duration_sec,
    frame_times,
    random_clip_start,
    test_clip_starts,
)
from slowfast.datasets.transform import (
    EvalTransform,
    TrainTransform,
    build_test_transform,
    build_train_transform,
    build_val_transform,
)
from slowfast.utils.random import STREAM_AUG_SEED, STREAM_CLIP, STREAM_VIEW, sample_rng

__all__ = ["ClipSettings", "TestVideos", "TrainVideos", "build_video_dataset"]

MIN_VALID_SOUND = 0.5
"""Share of the window that must lie inside the sound track for the sound to count as there."""


class ClipSettings(NamedTuple):
    """What is read of each file.

    Attributes:
        num_frames: T, frames of a clip.
        sampling_rate: Distance of two frames, in frames at ``target_fps``.
        target_fps: Frame rate that both refer to, in Hz.
        short_side: Frames are scaled to it while decoding, in pixels; None: full size.
        audio_sec: Length of the sound, in seconds; 0: no sound is read.
        sample_rate_hz: Rate that sound is resampled to.
    """

    num_frames: int
    sampling_rate: int
    target_fps: float
    short_side: int | None
    audio_sec: float = 0.0
    sample_rate_hz: int = 24000

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> ClipSettings:
        """Read the settings from DATA and AUDIO."""
        return cls(
            num_frames=cfg.DATA.NUM_FRAMES,
            sampling_rate=cfg.DATA.SAMPLING_RATE,
            target_fps=float(cfg.DATA.TARGET_FPS),
            short_side=cfg.DATA.DECODING_SHORT_SIZE or None,
            audio_sec=cfg.AUDIO.CLIP_SEC if cfg.AUDIO.ENABLE else 0.0,
            sample_rate_hz=cfg.AUDIO.SAMPLE_RATE,
        )

    @property
    def duration_sec(self) -> float:
        """The longer of picture and sound, in seconds: what has to fit into the video."""
        frames = clip_duration_sec(self.num_frames, self.sampling_rate, self.target_fps)
        return max(frames, self.audio_sec)


class _ManifestDataset(Dataset[dict[str, Any]]):
    """What both data sets share: the manifest and how a clip is read."""

    def __init__(self, manifest: Manifest, settings: ClipSettings, seed: int) -> None:
        self.manifest, self.settings, self.seed = manifest, settings, seed

    def _frames(self, reader: MediaReader, start_sec: float) -> np.ndarray:
        s = self.settings
        times = frame_times(start_sec, s.num_frames, s.sampling_rate, s.target_fps)
        return reader.read_video(times, short_side=s.short_side)

    def _sound(self, reader: MediaReader, starts_sec: list[float]) -> dict[str, np.ndarray]:
        s = self.settings
        if not s.audio_sec:
            return {}
        num_samples = sec_to_num_samples(s.audio_sec, s.sample_rate_hz)
        audio = np.zeros((len(starts_sec), num_samples), np.float32)
        valid = np.zeros(len(starts_sec), bool)
        for row, start in enumerate(starts_sec):
            audio[row], share = reader.read_audio(start, num_samples, s.sample_rate_hz)
            valid[row] = share >= MIN_VALID_SOUND
        return {"audio": audio, "audio_valid": valid}


class TrainVideos(_ManifestDataset):
    """One random clip per video, in V views that are augmented independently.

    Args:
        manifest: The files.
        settings: What is read of each.
        seed: RNG_SEED; a sample depends on (seed, epoch, index) alone.
        transform: Augments one view: uint8 (T, S, S, 3).
        num_views: V.
    """

    def __init__(
        self,
        manifest: Manifest,
        settings: ClipSettings,
        *,
        seed: int,
        transform: TrainTransform,
        num_views: int,
    ) -> None:
        super().__init__(manifest, settings, seed)
        self._transform, self._num_views = transform, num_views

    def __len__(self) -> int:
        return len(self.manifest)

    def path(self, index: int) -> str:
        """Return the file of a sample."""
        return self.manifest.path(index)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        with open_media(self.manifest.path(index)) as reader:
            first, last = reader.video_extent_sec
            rng = sample_rng(self.seed, epoch, index, STREAM_CLIP)
            start = random_clip_start(first, last, self.settings.duration_sec, rng)
            frames = self._frames(reader, start)
            sound = self._sound(reader, [start])
        views = [
            self._transform(frames, sample_rng(self.seed, epoch, index, STREAM_VIEW + view))
            for view in range(self._num_views)
        ]
        seed_rng = sample_rng(self.seed, epoch, index, STREAM_AUG_SEED)
        return {
            "video": np.stack(views),
            **sound,
            "label": self.manifest.label(index),
            "index": index,
            "clip_start_sec": np.full(self._num_views, start, np.float32),
            "view": np.arange(self._num_views),
            "aug_seed": int(seed_rng.integers(2**62)),
        }


class TestVideos(_ManifestDataset):
    """Every video in a fixed grid of views, a chunk of them per sample.

    Args:
        manifest: The files.
        settings: What is read of each.
        seed: RNG_SEED; only ``aug_seed`` depends on it.
        transform: Cuts the spatial crops of a clip.
        num_clips: Clips per video, from its very start to its very end.
        views_per_chunk: Views that travel together, at most; whole clips, at least one.
    """

    __test__ = False  # Not a test case, whatever its name suggests to pytest.

    def __init__(
        self,
        manifest: Manifest,
        settings: ClipSettings,
        *,
        seed: int,
        transform: EvalTransform,
        num_clips: int,
        views_per_chunk: int,
    ) -> None:
        super().__init__(manifest, settings, seed)
        self._transform, self._num_clips = transform, num_clips
        self._num_crops = transform.num_crops
        most = max(1, views_per_chunk // self._num_crops)
        self._chunk = max(n for n in range(1, num_clips + 1) if num_clips % n == 0 and n <= most)
        self.chunks_per_video = num_clips // self._chunk

    def __len__(self) -> int:
        return len(self.manifest) * self.chunks_per_video

    def path(self, index: int) -> str:
        """Return the file of a sample."""
        return self.manifest.path(index // self.chunks_per_video)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        row, chunk = divmod(key[1], self.chunks_per_video)
        clips = range(chunk * self._chunk, (chunk + 1) * self._chunk)
        with open_media(self.manifest.path(row)) as reader:
            first, last = reader.video_extent_sec
            all_starts = test_clip_starts(first, last, self.settings.duration_sec, self._num_clips)
            starts = [float(all_starts[clip]) for clip in clips]
            views = []
            for start in starts:
                frames = self._frames(reader, start)
                views.append(self._transform.all_crops(frames))
            sound = self._sound(reader, starts)
        return {
            "video": np.concatenate(views),
            **sound,
            "label": self.manifest.label(row),
            "index": row,
            "clip_start_sec": np.repeat(np.array(starts, np.float32), self._num_crops),
            "view": np.arange(clips.start * self._num_crops, clips.stop * self._num_crops),
            "aug_seed": int(sample_rng(self.seed, 0, row, STREAM_AUG_SEED).integers(2**62)),
        }


def build_video_dataset(cfg: CfgNode, manifest: Manifest, split: str) -> TrainVideos | TestVideos:
    """Make a split's data set from its manifest.

    Args:
        cfg: The configuration.
        manifest: The files of the split.
        split: "train" for random clips; "val" for one centre view; "test" and "gallery" for the
            grid of TEST.NUM_ENSEMBLE_VIEWS x TEST.NUM_SPATIAL_CROPS.

    Returns:
        The data set.
    """
    settings = ClipSettings.from_cfg(cfg)
    if split == "train":
        return TrainVideos(
            manifest,
            settings,
            seed=cfg.RNG_SEED,
            transform=build_train_transform(cfg),
            num_views=cfg.DATA.TRAIN_CROP_NUM_SPATIAL,
        )
    is_val = split == "val"
    return TestVideos(
        manifest,
        settings,
        seed=cfg.RNG_SEED,
        transform=build_val_transform(cfg) if is_val else build_test_transform(cfg),
        num_clips=1 if is_val else cfg.TEST.NUM_ENSEMBLE_VIEWS,
        views_per_chunk=cfg.TEST.VIEWS_PER_CHUNK,
    )
