"""Clips of a manifest's files as samples: one file opened, one window decoded, views cut from it.

Legend: V views, A temporal clips, T frames, N audio samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from slowfast.config import CfgNode
from slowfast.datasets.audio_clip import load_audio_clip
from slowfast.datasets.clip_reader import ClipReader, open_row
from slowfast.datasets.decode_cache import DecodedFiles
from slowfast.datasets.labels import take_per_class
from slowfast.datasets.manifest import Manifest, VideoRecord
from slowfast.datasets.rows import EvalDataset, TrainDataset
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

__all__ = ["ClipSettings", "VideoEvalDataset", "VideoTrainDataset", "build_video_dataset"]


class ClipSettings(NamedTuple):
    """What is read of each file.

    Attributes:
        num_frames: T, frames of a clip.
        sampling_rate: Distance of two frames, in frames at ``target_fps``.
        target_fps: Frame rate that both refer to, in Hz.
        short_side: Frames are scaled to it while decoding, in pixels; None: full size.
        audio_sec: Length of the audio, in seconds; 0: no audio is read.
        sample_rate_hz: Rate that audio is resampled to.
        decoded: Where files are cached decoded; None: they are not.
        frame_folder_fps: Of folders of extracted frames, in Hz.
    """

    num_frames: int
    sampling_rate: int
    target_fps: float
    short_side: int | None
    audio_sec: float = 0.0
    sample_rate_hz: int = 24000
    decoded: DecodedFiles | None = None
    frame_folder_fps: float = 30.0

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
            decoded=DecodedFiles.from_cfg(cfg),
            frame_folder_fps=float(cfg.DATA.FRAME_FOLDER_FPS),
        )

    @property
    def duration_sec(self) -> float:
        """The longer of video and audio, in seconds: what has to fit into the video."""
        frames = clip_duration_sec(self.num_frames, self.sampling_rate, self.target_fps)
        return max(frames, self.audio_sec)

    def open(self, row: VideoRecord) -> ClipReader:
        """Open a row's file, to be closed."""
        if self.decoded is not None:
            return self.decoded.open(row)
        return open_row(row, self.frame_folder_fps)

    def read_frames(self, reader: ClipReader, start_sec: float) -> np.ndarray:
        """Read the frames of a clip: uint8 (T, H, W, 3)."""
        times = frame_times(start_sec, self.num_frames, self.sampling_rate, self.target_fps)
        return reader.read_video(times, short_side=self.short_side)

    def load_audio_clip(
        self, reader: ClipReader, starts_sec: Sequence[float], shift_sec: float = 0.0
    ) -> dict[str, np.ndarray]:
        """Read ``audio`` (A, N) and ``audio_valid`` (A,) of clips, if audio is wanted at all."""
        return load_audio_clip(
            reader,
            starts_sec,
            clip_sec=self.audio_sec,
            sample_rate_hz=self.sample_rate_hz,
            shift_sec=shift_sec,
        )


class VideoTrainDataset(TrainDataset):
    """Random clips of videos, each in V views that are augmented independently.

    Args:
        manifest: The files.
        settings: What is read of each.
        seed: RNG_SEED; a sample depends on (seed, epoch, index) alone.
        transform: Augments one view: uint8 (T, S, S, 3).
        num_views: V.
        clips_per_video: Times that each video is visited in an epoch.
    """

    def __init__(
        self,
        manifest: Manifest,
        settings: ClipSettings,
        *,
        seed: int,
        transform: TrainTransform,
        num_views: int,
        clips_per_video: int = 1,
    ) -> None:
        super().__init__(manifest, seed, clips_per_video)
        self.settings, self._transform, self._num_views = settings, transform, num_views

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        row = self.manifest.row(self.row(index))
        with self.settings.open(row) as reader:
            first, last = reader.video_extent_sec
            rng = sample_rng(self.seed, epoch, index, STREAM_CLIP)
            start = random_clip_start(first, last, self.settings.duration_sec, rng)
            frames = self.settings.read_frames(reader, start)
            sound = self.settings.load_audio_clip(reader, [start])
        views = [
            self._transform(frames, sample_rng(self.seed, epoch, index, STREAM_VIEW + view))
            for view in range(self._num_views)
        ]
        seed_rng = sample_rng(self.seed, epoch, index, STREAM_AUG_SEED)
        return {
            "video": np.stack(views),
            **sound,
            "label": row.label,
            "index": self.row(index),
            "clip_start_sec": np.full(self._num_views, start, np.float32),
            "view": np.arange(self._num_views),
            "aug_seed": int(seed_rng.integers(2**62)),
        }


class VideoEvalDataset(EvalDataset):
    """Every video in a fixed grid of views, a chunk of them per sample.

    Args:
        manifest: The files.
        settings: What is read of each.
        seed: RNG_SEED; only ``aug_seed`` depends on it.
        transform: Cuts the spatial crops of a clip.
        num_clips: Clips per video, from its very start to its very end.
        views_per_chunk: Views that travel together, at most; whole clips, at least one.
        shift_sec: Audio is taken so much later than the picture, its track being a loop.
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
        shift_sec: float = 0.0,
    ) -> None:
        super().__init__(
            manifest,
            seed,
            num_clips=num_clips,
            views_per_clip=transform.num_crops,
            views_per_chunk=views_per_chunk,
        )
        self.settings, self._transform, self._num_clips = settings, transform, num_clips
        self._shift_sec = shift_sec

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        index, clips = self.row(key[1]), self.clips(key[1])
        row = self.manifest.row(index)
        with self.settings.open(row) as reader:
            first, last = reader.video_extent_sec
            all_starts = test_clip_starts(first, last, self.settings.duration_sec, self._num_clips)
            starts = [float(all_starts[clip]) for clip in clips]
            views = []
            for start in starts:
                frames = self.settings.read_frames(reader, start)
                views.append(self._transform.all_crops(frames))
            sound = self.settings.load_audio_clip(reader, starts, self._shift_sec)
        crops = self._transform.num_crops
        return {
            "video": np.concatenate(views),
            **sound,
            "label": row.label,
            "index": index,
            "clip_start_sec": np.repeat(np.array(starts, np.float32), crops),
            "view": np.arange(clips.start * crops, clips.stop * crops),
            "aug_seed": int(sample_rng(self.seed, 0, index, STREAM_AUG_SEED).integers(2**62)),
        }


def build_video_dataset(
    cfg: CfgNode, manifest: Manifest, split: str
) -> VideoTrainDataset | VideoEvalDataset:
    """Make a split's dataset from its manifest.

    Args:
        cfg: The configuration.
        manifest: The files of the split.
        split: "train" for random clips; "val" for one center view; "test" and "gallery" for the
            grid of TEST.NUM_ENSEMBLE_VIEWS x TEST.NUM_SPATIAL_CROPS.

    Returns:
        The dataset.
    """
    settings = ClipSettings.from_cfg(cfg)
    if split == "train":
        return VideoTrainDataset(
            take_per_class(manifest, cfg.DATA.TRAIN_VIDEOS_PER_CLASS, cfg.RNG_SEED),
            settings,
            seed=cfg.RNG_SEED,
            transform=build_train_transform(cfg),
            num_views=cfg.DATA.TRAIN_CROP_NUM_SPATIAL,
            clips_per_video=cfg.DATA.TRAIN_CLIPS_PER_VIDEO,
        )
    is_val = split == "val"
    return VideoEvalDataset(
        manifest,
        settings,
        seed=cfg.RNG_SEED,
        transform=build_val_transform(cfg) if is_val else build_test_transform(cfg),
        num_clips=1 if is_val else cfg.TEST.NUM_ENSEMBLE_VIEWS,
        views_per_chunk=cfg.TEST.VIEWS_PER_CHUNK,
        shift_sec=cfg.AUDIO.EVAL_OFFSET_SEC,
    )
