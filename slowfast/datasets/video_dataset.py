"""Datasets of video clips: a sample is decoded from one file and holds the views of its clips.

Legend: V views, A temporal clips, T frames, N audio samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from slowfast.config import CfgNode
from slowfast.datasets.annotations.labels import encode_label, take_per_class
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.base import EvalDataset, TrainDataset
from slowfast.datasets.decoding.audio_clip import MIN_VALID_AUDIO, load_audio_clip
from slowfast.datasets.decoding.clip_reader import ClipReader, open_row
from slowfast.datasets.decoding.decode_cache import DecodedFiles
from slowfast.datasets.decoding.frame_list import FrameList
from slowfast.datasets.decoding.reader import LOOP_FILTER_SKIPS
from slowfast.datasets.decoding.still_image import StillImage
from slowfast.datasets.views.clip_sampling import (
    TIME_BINS,
    ClipSampling,
    PySlowFastClips,
    TimeBins,
    VideoSpan,
    build_clip_sampling,
)
from slowfast.datasets.views.decoding_size import decoding_short_side
from slowfast.datasets.views.sample_views import (
    AUDIO,
    SampleViews,
    ViewSpec,
    apply_temporal,
    build_views,
    stack_labels,
    view_rng,
)
from slowfast.datasets.views.transform import (
    SpatialTransform,
    build_test_transform,
    build_val_transform,
)
from slowfast.utils.multigrid import MultigridSchedule, at_shape
from slowfast.utils.random import (
    STREAM_AUG_SEED,
    STREAM_FRAMES,
    STREAM_SAMPLING_RATE,
    STREAM_TEST_JITTER,
    sample_rng,
)

__all__ = ["ClipSettings", "VideoEvalDataset", "VideoTrainDataset", "build_video_dataset"]


class ClipSettings(NamedTuple):
    """Settings of reading clips from files.

    Attributes:
        sampling: Where clips start, and which frames they have.
        target_fps: Frame rate of a file that does not state it, in Hz.
        short_side: Short side that frames are resized to while decoding, in pixels; None: full
            size.
        audio_sec: Length of the audio, in seconds; 0: no audio is read.
        sample_rate_hz: Sample rate that the audio is resampled to.
        decoded: The cache of decoded files; None: no cache.
        frame_folder_fps: Frame rate of folders of extracted frames, in Hz.
        still_images: Whether files are images instead of videos.
        path_prefix: DATA.PATH_PREFIX, the folder of the images of a frame list.
        highest_rate: If above the sampling rate, that of a training clip is a random integer from
            the sampling rate to this one, in frames; segments of a video have none.
        skip_loop_filter: DATA.SKIP_LOOP_FILTER in training, else "none".
    """

    sampling: ClipSampling
    target_fps: float
    short_side: int | None
    audio_sec: float = 0.0
    sample_rate_hz: int = 24000
    decoded: DecodedFiles | None = None
    frame_folder_fps: float = 30.0
    still_images: bool = False
    path_prefix: str = ""
    highest_rate: int = 0
    skip_loop_filter: str = LOOP_FILTER_SKIPS[0]

    @classmethod
    def from_cfg(
        cls, cfg: CfgNode, split: str = "train", *, sampling: str = TIME_BINS
    ) -> ClipSettings:
        """Read the settings of a split from DATA and AUDIO; ``sampling``: the dataset's own."""
        short_side = decoding_short_side(cfg, split)
        return cls(
            sampling=build_clip_sampling(cfg, default=sampling),
            target_fps=float(cfg.DATA.TARGET_FPS),
            short_side=short_side,
            audio_sec=cfg.AUDIO.CLIP_SEC if cfg.AUDIO.ENABLE else 0.0,
            sample_rate_hz=cfg.AUDIO.SAMPLE_RATE,
            decoded=DecodedFiles.from_cfg(cfg, short_side=short_side),
            frame_folder_fps=float(cfg.DATA.FRAME_FOLDER_FPS),
            path_prefix=cfg.DATA.PATH_PREFIX,
            highest_rate=cfg.MULTIGRID.LONG_CYCLE_SAMPLING_RATE,
            skip_loop_filter=cfg.DATA.SKIP_LOOP_FILTER
            if split == "train"
            else LOOP_FILTER_SKIPS[0],
        )

    @property
    def duration_sec(self) -> float:
        """Duration of the video or the audio of a clip, whichever is longer, in seconds."""
        return max(self.sampling.duration_sec, self.audio_sec)

    def with_random_rate(self, key: tuple[int, int, int]) -> ClipSettings:
        """Sample the distance between the frames of a training sample; see ``highest_rate``.

        Args:
            key: (seed, epoch, index) of the sample.

        Returns:
            Settings with that distance.
        """
        sampling = self.sampling
        if not isinstance(sampling, TimeBins | PySlowFastClips):
            return self
        if self.highest_rate <= sampling.sampling_rate:
            return self
        rng = sample_rng(*key, STREAM_SAMPLING_RATE)
        rate = int(rng.integers(int(sampling.sampling_rate), self.highest_rate + 1))
        return self._replace(sampling=replace(sampling, sampling_rate=rate))

    def open(self, row: VideoRecord) -> ClipReader:
        """Open the file of a row; the caller closes it."""
        if self.still_images:
            return StillImage(row.path)
        if self.decoded is not None:
            return self.decoded.open(row)
        return open_row(row, self.frame_folder_fps, self.path_prefix, self.skip_loop_filter)

    def span(self, reader: ClipReader) -> VideoSpan:
        """Return the time that the video of a file lasts."""
        return VideoSpan(*reader.video_extent_sec, reader.video_fps or self.target_fps)

    def read_frames(
        self, reader: ClipReader, start_sec: float, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Read the frames of a clip, in training with a generator: uint8 (T, H, W, 3)."""
        times = self.sampling.frame_times(self.span(reader), start_sec, rng)
        return reader.read_video(times, short_side=self.short_side)

    def load_audio_clip(
        self, reader: ClipReader, starts_sec: Sequence[float], shift_sec: float = 0.0
    ) -> dict[str, np.ndarray]:
        """Read ``audio`` (A, N) and ``audio_valid`` (A,) of clips; empty if ``audio_sec`` is 0.

        For a video shorter than a clip, validity is relative to the length of the video.
        """
        if not self.audio_sec:
            return {}
        first, last = reader.video_extent_sec
        return load_audio_clip(
            reader,
            starts_sec,
            clip_sec=self.audio_sec,
            sample_rate_hz=self.sample_rate_hz,
            shift_sec=shift_sec,
            min_share=MIN_VALID_AUDIO * min(1.0, (last - first) / self.audio_sec),
        )


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
