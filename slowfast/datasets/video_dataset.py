"""Datasets of video clips: a sample is decoded from one file and holds the views of its clips.

Legend: V views, A temporal clips, T frames, N audio samples.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from slowfast.config import CfgNode
from slowfast.datasets.annotations.labels import encode_label, take_per_class
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.base import EvalDataset, TrainDataset
from slowfast.datasets.clip_settings import ClipSettings
from slowfast.datasets.decoding.clip_reader import ClipReader
from slowfast.datasets.decoding.frame_list import FrameList
from slowfast.datasets.views.clip_sampling import (
    TIME_BINS,
)
from slowfast.datasets.views.eval_transform import (
    SpatialTransform,
    build_test_transform,
    build_val_transform,
)
from slowfast.datasets.views.sample_views import (
    AUDIO,
    SampleViews,
    ViewSpec,
    apply_temporal,
    build_views,
    stack_labels,
    view_rng,
)
from slowfast.utils.multigrid import MultigridSchedule, at_shape
from slowfast.utils.random import (
    STREAM_AUG_SEED,
    STREAM_FRAMES,
    STREAM_TEST_JITTER,
    sample_rng,
)

__all__ = ["VideoEvalDataset", "VideoTrainDataset", "build_video_dataset"]

logger = logging.getLogger(__name__)


class VideoTrainDataset(TrainDataset):
    """Random clips of videos, with the views of ``SampleViews``.

    Args:
        manifest: The files.
        settings: How clips are read.
        seed: RNG_SEED; a sample depends only on (seed, epoch, index).
        views: The clips of a sample and the views of each.
        clips_per_video: Number of samples of each video per epoch.
        num_sample: AUG.NUM_SAMPLE; if it is more than 1, an item is a list of as many samples,
            which share their clips and are augmented independently.
        first_is_clean: The first of them has no random erasing.
    """

    def __init__(
        self,
        manifest: Manifest,
        settings: ClipSettings,
        *,
        seed: int,
        views: SampleViews,
        clips_per_video: int = 1,
        num_sample: int = 1,
        first_is_clean: bool = False,
    ) -> None:
        super().__init__(manifest, seed, clips_per_video)
        self.settings, self._views, self.num_sample = settings, views, num_sample
        self._first_is_clean = first_is_clean

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any] | list[dict[str, Any]]:
        epoch, index = key
        rng_key = (self.seed, epoch, index)
        with self.settings.open(self.manifest.row(self.row(index))) as reader:
            clip_sec = self.settings.with_random_rate(rng_key).duration_sec
            starts = self._views.clip_starts(reader.video_extent_sec, clip_sec, rng_key)
            decoded: dict[tuple[int, float], np.ndarray] = {}
            samples = [
                self._read_sample(reader, decoded, starts, rng_key, repeat)
                for repeat in range(self.num_sample)
            ]
        return samples if self.num_sample > 1 else samples[0]

    def _read_sample(
        self,
        reader: ClipReader,
        decoded: dict[tuple[int, float], np.ndarray],
        starts: list[float],
        rng_key: tuple[int, int, int],
        repeat: int,
    ) -> dict[str, Any]:
        """Read one of the ``num_sample`` samples; ``decoded`` caches frames by clip and start."""
        row = self.manifest.row(self.row(rng_key[2]))
        sample: dict[str, Any] = {}
        for field, views in self._views.fields.items():
            if field == AUDIO:
                sample |= self._read_audio(reader, field, views, starts, rng_key, repeat)
            else:
                sample |= self._read_video(reader, decoded, field, views, starts, rng_key, repeat)
        if isinstance(reader, FrameList):  # each frame has classes of its own
            row = row._replace(labels=reader.labels_read())
        return {
            **sample,
            **row.fields,
            "label": encode_label(row, self.label_width),
            "index": self.row(rng_key[2]),
            "view": np.arange(len(sample["clip_start_sec"])),
            "aug_seed": int(sample_rng(*rng_key, STREAM_AUG_SEED + repeat).integers(2**62)),
        }

    def _rng(self, rng_key: tuple[int, int, int], number: int, repeat: int) -> np.random.Generator:
        """Return the random generator of a view of one of the ``num_sample`` samples."""
        return view_rng(rng_key, repeat * len(self._views.views) + number)

    def _read_video(
        self,
        reader: ClipReader,
        decoded: dict[tuple[int, float], np.ndarray],
        field: str,
        views: list[tuple[int, ViewSpec]],
        clip_starts: list[float],
        rng_key: tuple[int, int, int],
        repeat: int,
    ) -> dict[str, np.ndarray]:
        """Read the views of a field of frames: uint8 (V, T, S, S, 3), start times and labels."""
        settings = self.settings.with_random_rate(rng_key)
        pixels, starts, labels = [], [], []
        for number, view in views:
            rng = self._rng(rng_key, number, repeat)
            start = self._views.view_start(number, clip_starts[view.clip], rng)
            clip = (view.clip, start)
            if clip not in decoded:
                frames_rng = sample_rng(*rng_key, STREAM_FRAMES + view.clip)
                decoded[clip] = settings.read_frames(reader, start, frames_rng)
            frames, view_labels = apply_temporal(view, decoded[clip], rng_key)
            if view.num_frames:
                first = int(rng.integers(len(frames) - view.num_frames + 1))
                frames = frames[first : first + view.num_frames]
            transform = view.transform
            if transform is not None and self._first_is_clean and repeat == 0:
                transform = transform.without_erasing()
            pixels.append(frames if transform is None else transform(frames, rng))
            starts.append(start)
            labels.append(view_labels)
        name = "clip_start_sec" if field == "video" else f"{field}_start_sec"
        return {
            field: np.stack(pixels),
            name: np.array(starts, np.float32),
            **stack_labels(field, labels),
        }

    def _read_audio(
        self,
        reader: ClipReader,
        field: str,
        views: list[tuple[int, ViewSpec]],
        clip_starts: list[float],
        rng_key: tuple[int, int, int],
        repeat: int,
    ) -> dict[str, np.ndarray]:
        """Read the waveforms of the views: float32 (A, N), validity, start times and labels."""
        starts = [
            self._views.view_start(
                number, clip_starts[view.clip], self._rng(rng_key, number, repeat)
            )
            for number, view in views
        ]
        distinct = sorted(set(starts))
        sample = self.settings.load_audio_clip(reader, distinct)
        rows = [distinct.index(start) for start in starts]
        waves, labels = zip(
            *(
                apply_temporal(view, sample["audio"][row], rng_key)
                for row, (_, view) in zip(rows, views, strict=True)
            ),
            strict=True,
        )
        return {
            "audio": np.stack(waves),
            "audio_valid": sample["audio_valid"][rows],
            "audio_start_sec": np.array(starts, np.float32),
            **stack_labels(field, labels),
        }


class VideoEvalDataset(EvalDataset):
    """A fixed grid of views of every video; a sample holds a chunk of them.

    Args:
        manifest: The files.
        settings: How clips are read.
        seed: RNG_SEED; ``aug_seed`` and TEST.SPATIAL_JITTER depend on it.
        transform: Returns the spatial crops of a clip.
        num_clips: Clips per video; ``settings.sampling`` says where they start.
        views_per_chunk: Largest number of views in a sample; a sample has all spatial crops of at
            least one clip.
        shift_sec: Offset of the audio relative to the video, in seconds; the audio stream is
            looped.
        centered: A single clip is in the middle of the video, whatever the sampling.
    """

    def __init__(
        self,
        manifest: Manifest,
        settings: ClipSettings,
        *,
        seed: int,
        transform: SpatialTransform,
        num_clips: int,
        views_per_chunk: int,
        shift_sec: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            manifest,
            seed,
            num_clips=num_clips,
            views_per_clip=transform.num_crops,
            views_per_chunk=views_per_chunk,
        )
        self.settings, self.transform, self._num_clips = settings, transform, num_clips
        self._shift_sec, self._centered = shift_sec, centered

    def open(self, row: VideoRecord) -> ClipReader:
        """Open the file of a row; the caller closes it."""
        return self.settings.open(row)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        index, clips = self.row(key[1]), self.clips(key[1])
        row = self.manifest.row(index)
        with self.open(row) as reader:
            span = self.settings.span(reader)
            all_starts = self.settings.sampling.test_starts(
                span,
                self._num_clips,
                audio_sec=self.settings.audio_sec,
                centered=self._centered,
            )
            starts = [float(all_starts[clip]) for clip in clips]
            views = []
            for start in starts:
                frames = self.settings.read_frames(reader, start)
                rng = sample_rng(self.seed, 0, index, STREAM_TEST_JITTER)  # the same for all clips
                views.append(self.transform.all_crops(frames, rng))
            audio = self.settings.load_audio_clip(reader, starts, self._shift_sec)
        crops = self.transform.num_crops
        ends = [min(start + self.settings.sampling.duration_sec, span.end_sec) for start in starts]
        return {
            "video": np.concatenate(views),
            **audio,
            **row.fields,
            "label": encode_label(row, self.label_width),
            "index": index,
            "clip_start_sec": np.repeat(np.array(starts, np.float32), crops),
            "clip_end_sec": np.repeat(np.array(ends, np.float32), crops),
            "view": np.arange(clips.start * crops, clips.stop * crops),
            "aug_seed": int(sample_rng(self.seed, 0, index, STREAM_AUG_SEED).integers(2**62)),
        }


def build_video_dataset(
    cfg: CfgNode, manifest: Manifest, split: str, *, sampling: str = TIME_BINS
) -> VideoTrainDataset | VideoEvalDataset:
    """Build the dataset of a split from its manifest.

    Args:
        cfg: The configuration.
        manifest: The files of the split.
        split: "train" for random clips; "val" for one center view; "test" and "gallery" for a grid
            of TEST.NUM_ENSEMBLE_VIEWS x TEST.NUM_SPATIAL_CROPS views.
        sampling: The dataset's own value for DATA.SAMPLING auto.

    Returns:
        The dataset.
    """
    manifest.require_fields(cfg.DATA.ROW_FIELDS)
    if split == "train":
        manifest = take_per_class(manifest, cfg.DATA.TRAIN_VIDEOS_PER_CLASS, cfg.RNG_SEED)
        dataset = _build_train(cfg, manifest, sampling)
        shapes = MultigridSchedule.from_cfg(cfg).clip_shapes()
        dataset.variants = {
            clip: _build_train(at_shape(cfg, clip), manifest, sampling) for clip in shapes
        }
        return dataset
    is_val = split == "val"
    if split == "test" and cfg.TEST.SPATIAL_JITTER:
        strength = cfg.TEST.SPATIAL_JITTER
        logger.info("test clips are shifted and scaled (TEST.SPATIAL_JITTER %g)", strength)
    return VideoEvalDataset(
        manifest,
        ClipSettings.from_cfg(cfg, split, sampling=sampling),
        seed=cfg.RNG_SEED,
        transform=build_val_transform(cfg) if is_val else build_test_transform(cfg, split),
        num_clips=1 if is_val else cfg.TEST.NUM_ENSEMBLE_VIEWS,
        views_per_chunk=cfg.TEST.VIEWS_PER_CHUNK,
        shift_sec=cfg.AUDIO.EVAL_OFFSET_SEC,
        centered=is_val,
    )


def _build_train(cfg: CfgNode, manifest: Manifest, sampling: str) -> VideoTrainDataset:
    return VideoTrainDataset(
        manifest,
        ClipSettings.from_cfg(cfg, sampling=sampling),
        seed=cfg.RNG_SEED,
        views=build_views(cfg),
        clips_per_video=cfg.DATA.TRAIN_CLIPS_PER_VIDEO,
        num_sample=cfg.AUG.NUM_SAMPLE,
        first_is_clean=cfg.AUG.ENABLE and cfg.AUG.RE_SPLIT,
    )
