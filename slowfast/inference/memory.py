"""Videos in memory: frames and a waveform as arrays, read like a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slowfast.config import ParameterError
from slowfast.datasets.annotations.manifest import NO_LABEL, Manifest, VideoRecord
from slowfast.datasets.audio_dataset import AudioEvalDataset
from slowfast.datasets.decoding.audio_clip import sec_to_num_samples
from slowfast.datasets.decoding.clip_reader import ClipReader
from slowfast.datasets.decoding.mono import resample
from slowfast.datasets.decoding.reader import MediaError
from slowfast.datasets.video_dataset import VideoEvalDataset
from slowfast.utils.io import Closing

__all__ = ["ArrayReader", "one_row", "read_from"]

_NAME = "<frames in memory>"


class ArrayReader(Closing):
    """A ``ClipReader`` of arrays. Frame i is displayed from i / fps to (i + 1) / fps seconds.

    Args:
        frames: uint8 (T, H, W, 3), RGB; None: audio only.
        fps: Frame rate, in Hz.
        audio: float (N,) or (channels, N), in [-1, 1], starts with the video; None: no audio.
        sample_rate_hz: Sample rate of the audio.

    Raises:
        ParameterError: If an array has another dtype or shape, or a rate is not positive.
    """

    path = _NAME

    def __init__(
        self,
        frames: NDArray[np.uint8] | None,
        fps: float,
        audio: NDArray[np.floating] | None,
        sample_rate_hz: int,
    ) -> None:
        if frames is None and audio is None:
            raise ParameterError("frames", "got None, and no audio; give at least one of them.")
        if frames is not None:
            frames = np.asarray(frames)
            if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
                raise ParameterError(
                    "frames",
                    f"got {frames.dtype} of shape {frames.shape}; expected uint8 (T, H, W, 3), "
                    "RGB.",
                )
            if not frames.size:
                raise ParameterError("frames", f"got shape {frames.shape}, which has no pixels.")
        if fps <= 0:
            raise ParameterError("fps", f"got {fps}; expected a positive number, in Hz.")
        if sample_rate_hz <= 0:
            raise ParameterError("sample_rate", f"got {sample_rate_hz}; expected a positive one.")
        self._frames, self._fps, self._sample_rate_hz = frames, fps, sample_rate_hz
        self._audio = None if audio is None else _to_mono(audio)

    def close(self) -> None:
        """Do nothing."""

    @property
    def video_extent_sec(self) -> tuple[float, float]:
        """Start and end of the video, in seconds."""
        if self._frames is None:
            raise MediaError(self.path, "it has no frames")
        return 0.0, len(self._frames) / self._fps

    @property
    def video_fps(self) -> float:
        """Frame rate, in Hz."""
        return self._fps

    @property
    def audio_extent_sec(self) -> tuple[float, float]:
        """Start and end of the audio, in seconds."""
        if self._audio is None or not len(self._audio):
            raise MediaError(self.path, "it has no audio")
        return 0.0, len(self._audio) / self._sample_rate_hz

    def read_video(
        self, times_sec: NDArray[np.floating], *, short_side: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the frame displayed at each time, at full size: uint8 (T, H, W, 3)."""
        if self._frames is None:
            raise MediaError(self.path, "it has no frames")
        index = np.floor(np.asarray(times_sec, np.float64) * self._fps + 1e-6).astype(int)
        return self._frames[index.clip(0, len(self._frames) - 1)]

    def read_audio(
        self, start_sec: float, num_samples: int, sample_rate_hz: int
    ) -> tuple[NDArray[np.float32], float]:
        """Return audio, float32 (N,), and the fraction of it inside the waveform."""
        out = np.zeros(num_samples, np.float32)
        if self._audio is None:
            return out, 0.0
        if sample_rate_hz != self._sample_rate_hz:
            self._audio = resample(self._audio, self._sample_rate_hz, sample_rate_hz)
            self._sample_rate_hz = sample_rate_hz
        first = sec_to_num_samples(start_sec, sample_rate_hz)
        low, high = max(0, first), min(len(self._audio), first + num_samples)
        if low >= high:
            return out, 0.0
        out[low - first : high - first] = self._audio[low:high]
        return out, (high - low) / num_samples


def _to_mono(audio: NDArray[np.floating]) -> NDArray[np.float32]:
    audio = np.asarray(audio)
    if audio.dtype.kind != "f" or audio.ndim not in (1, 2):
        raise ParameterError(
            "audio",
            f"got {audio.dtype} of shape {audio.shape}; expected float (N,) or (channels, N) in "
            "[-1, 1].",
        )
    mono = audio if audio.ndim == 1 else audio.mean(axis=0)
    return np.ascontiguousarray(mono, np.float32)


def read_from(
    dataset: VideoEvalDataset | AudioEvalDataset, reader: ArrayReader
) -> VideoEvalDataset | AudioEvalDataset:
    """Make a dataset of one row, which reads arrays instead of a file.

    Args:
        dataset: The evaluation dataset of ``one_row()``.
        reader: The arrays.

    Returns:
        The same dataset.
    """

    def open_row(row: VideoRecord) -> ClipReader:
        return reader

    dataset.open = open_row  # type: ignore[method-assign]
    return dataset


def one_row() -> Manifest:
    """Return the manifest of a video in memory."""
    return Manifest.from_rows([VideoRecord(_NAME, NO_LABEL)], [])
