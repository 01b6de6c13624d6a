"""How clips are read from video files: their frames and their audio.

Legend: A temporal clips, T frames, N audio samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from slowfast.config import CfgNode
from slowfast.datasets.annotations.manifest import VideoRecord
from slowfast.datasets.decoding.audio_clip import MIN_VALID_AUDIO, load_audio_clip
from slowfast.datasets.decoding.clip_reader import ClipReader, open_row
from slowfast.datasets.decoding.decode_cache import DecodedFiles
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
from slowfast.utils.random import STREAM_SAMPLING_RATE, sample_rng

__all__ = ["ClipSettings"]


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
