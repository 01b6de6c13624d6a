"""Opens media files and reads windows of frames and audio, on a shared PTS timeline.

>>> with open_media("clip.mp4") as reader:
...     times = frame_times(1.0, num_frames=16, sampling_rate=2, target_fps=30.0)
...     frames = reader.read_video(times, short_side=144)  # uint8 (16, 144, 192, 3)
...     audio, share = reader.read_audio(1.0, num_samples=24000, sample_rate_hz=24000)

Conventions for all files:

* Times are in seconds of presentation time (PTS), relative to the first frame or audio sample that
  is presented. Frames and audio are placed by their timestamps, which covers streams with a
  start-time offset, edit lists and containers that start at 1.4 s. AVI and similar formats store
  only decoding times: there, the n-th displayed frame gets the n-th of these times.
* Frames are returned upright and with square pixels: rotation metadata and sample aspect ratio are
  applied (the height of coded frames stays, their width is scaled). Mirroring is not applied.
* Colors are converted with the file's matrix and range; the default matrix is BT.601, as in FFmpeg.
* The first track that is marked default is read. Covers, thumbnails and subtitles are ignored. A
  still image is not a video.
* Every fault of a file raises MediaError, and no other error. Frames that the decoder reports as
  damaged are dropped, together with frames that refer to them.

Legend: T frames, N samples, H W height and width.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.decoding.audio import AudioTrack
from slowfast.datasets.decoding.file import (
    Beat,
    MediaError,
    MediaFile,
    MediaLocation,
    translate_av_errors,
)
from slowfast.datasets.decoding.formats import WITHOUT_TIMES
from slowfast.datasets.decoding.packets import PacketSource
from slowfast.datasets.decoding.probe import MediaInfo, track_spans
from slowfast.datasets.decoding.video import VideoTrack
from slowfast.utils.io import Closing

__all__ = [
    "LOOP_FILTER_SKIPS",
    "MediaError",
    "MediaInfo",
    "MediaReader",
    "open_media",
    "probe_media",
]

LOOP_FILTER_SKIPS = ("none", "noref", "all")
"""In which frames the decoder leaves out the in-loop filter: none, those that no other frame refers
to, all. FFmpeg follows it for H.264, HEVC and others, not for VP9 and AV1."""


class MediaReader(Closing):
    """An open media file, to be used in a ``with`` block. It is not thread-safe.

    Each track has one decoder thread. Reading is fastest in ascending order of time, and all video
    before the audio: each change between the two costs a seek.

    Attributes:
        path: The file.

    Raises:
        MediaError: If nothing in the file can be decoded.
    """

    def __init__(
        self,
        location: MediaLocation,
        beat: Beat | None = None,
        skip_loop_filter: str = LOOP_FILTER_SKIPS[0],
    ) -> None:
        self.path = str(location.path)
        with translate_av_errors(self.path):
            self._file = MediaFile(location, beat)
            if skip_loop_filter != LOOP_FILTER_SKIPS[0]:
                own = {"skip_loop_filter": skip_loop_filter}
                self._file.video_options = {**self._file.video_options, **own}
            self._is_open = True
            try:
                self._open_tracks()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the file; it cannot be read afterwards."""
        self._is_open = False
        self._file.close()

    def read_video(
        self, times_sec: Sequence[float] | NDArray[np.floating], *, short_side: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the frame displayed at each time.

        That is the last frame that starts at or before it (within half a millisecond), the first
        frame before the video's start, and the last frame after its end. Only timestamps decide
        whether frames are repeated or skipped; the nominal frame rate is not used.

        Args:
            times_sec: (T,), ascending, in seconds of presentation time; T >= 1.
            short_side: Short side that frames are downscaled to, in pixels; smaller frames keep
                their size. None: full size.

        Returns:
            uint8 (T, H, W, 3), RGB.

        Raises:
            MediaError: If there is no video, or if no frame of the window can be decoded. In a
                partly damaged window, the complete frames are repeated.
            ValueError: If the times are not ascending or empty.
        """
        times = np.asarray(times_sec, np.float64)
        if times.ndim != 1 or not len(times) or not (np.diff(times, prepend=-np.inf) >= 0).all():
            raise ValueError(f"times_sec: got {times}; expected one or more instants, ascending.")
        if short_side is not None and short_side < 1:
            raise ValueError(f"short_side: got {short_side}; expected pixels >= 1, or None.")
        video = self._require_video()
        with translate_av_errors(self.path):
            return video.read(times + self._zero_sec, short_side)

    def iter_video(
        self, *, short_side: int | None = None
    ) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Yield every complete frame of the video, in order. Do not read anything else meanwhile.

        Args:
            short_side: As for ``read_video``.

        Yields:
            Start of the frame, in seconds of presentation time, and uint8 (H, W, 3), RGB.

        Raises:
            MediaError: If there is no video, or if the file disappears.
        """
        video = self._require_video()
        with translate_av_errors(self.path):
            for start_sec, frame in video.read_all(short_side):
                yield start_sec - self._zero_sec, frame

    @property
    def num_damaged_frames(self) -> int:
        """Number of frames dropped so far, damaged or referring to damaged frames."""
        return 0 if self._video is None else self._video.num_damaged

    def read_audio(
        self, start_sec: float, num_samples: int, sample_rate_hz: int
    ) -> tuple[NDArray[np.float32], float]:
        """Return a window of the audio, mixed to one channel.

        A window equals the same section of the full track, decoded and resampled at once, so
        consecutive windows join seamlessly.

        Args:
            start_sec: Start of the window, in seconds of presentation time; rounded to a sample.
            num_samples: N.
            sample_rate_hz: Sample rate of the output.

        Returns:
            float32 (N,) in [-1, 1], zero outside the track, and the fraction of the window inside
            the track, in [0, 1]. Zeros and 0 if there is no audio track.

        Raises:
            MediaError: If nothing of a window inside the track can be decoded.
            ValueError: If the start is not finite or a number not positive.
        """
        if num_samples < 1 or sample_rate_hz < 1 or not math.isfinite(start_sec):
            raise ValueError(
                f"start_sec, num_samples, sample_rate_hz: got {start_sec}, {num_samples}, "
                f"{sample_rate_hz}; expected a finite instant and numbers >= 1."
            )
        self._check_open()
        if self._audio is None:
            return np.zeros(num_samples, np.float32), 0.0
        with translate_av_errors(self.path):
            return self._audio.read(
                float(start_sec), num_samples, sample_rate_hz, zero_sec=self._zero_sec
            )

    def iter_audio(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the audio that the file holds, in order. Do not read anything else meanwhile.

        Yields:
            Sample rate of a decoded frame, in Hz, and its mono mix, float32 (N,); frames that are
            missing or damaged are left out.

        Raises:
            MediaError: If the file disappears.
        """
        self._check_open()
        if self._audio is not None:
            with translate_av_errors(self.path):
                yield from self._audio.read_all()

    def _open_tracks(self) -> None:
        file = self._file
        spans = track_spans(file)
        self._video: VideoTrack | None = None
        self._audio: AudioTrack | None = None
        for index, span in spans.items():
            source = PacketSource(file, index)
            if index == file.video_index:
                self._video = VideoTrack(source, span)
            else:
                self._audio = AudioTrack(source, span)
        name = file.container.format.name
        if self._video is None and file.video_index is not None and name in WITHOUT_TIMES:
            raise MediaError(
                self.path,
                f"it is a raw {name} stream without timestamps. Put it into a container: "
                "ffmpeg -i FILE OUT.mp4",
                "raw_stream",
            )
        if self._video is None and self._audio is None:
            raise MediaError(
                self.path, "it has neither video nor audio that can be decoded", "no_tracks"
            )
        self._zero_sec = min(span.start_sec for span in spans.values())

    @property
    def video_extent_sec(self) -> tuple[float, float]:
        """Start and end of the video, in seconds of presentation time.

        As in ``info``, but nothing has to be decoded for it.

        Raises:
            MediaError: If there is no video.
        """
        span = self._require_video().span
        return span.start_sec - self._zero_sec, span.end_sec - self._zero_sec

    @property
    def video_fps(self) -> float:
        """Average frame rate, in Hz; 0 if the container does not state it.

        Raises:
            MediaError: If there is no video.
        """
        return self._require_video().fps

    @property
    def audio_extent_sec(self) -> tuple[float, float]:
        """Start and end of the audio, in seconds of presentation time.

        As in ``info``, but nothing has to be decoded for it.

        Raises:
            MediaError: If there is no audio.
        """
        self._check_open()
        if self._audio is None:
            raise MediaError(self.path, "it has no audio that can be decoded")
        span = self._audio.span
        return span.start_sec - self._zero_sec, span.end_sec - self._zero_sec

    @functools.cached_property
    def info(self) -> MediaInfo:
        """Properties of the file; the first call decodes the first frame to find its rotation."""
        self._check_open()
        facts: dict[str, Any] = {"container": self._file.container.format.name}
        with translate_av_errors(self.path):
            if self._video is not None:
                facts["video_start_sec"] = self._video.probe() - self._zero_sec
                facts["video_end_sec"] = self._video.span.end_sec - self._zero_sec
                facts |= self._video.facts()
            if self._audio is not None:
                facts["audio_start_sec"] = self._audio.span.start_sec - self._zero_sec
                facts["audio_end_sec"] = self._audio.span.end_sec - self._zero_sec
                facts |= self._audio.facts()
        return MediaInfo(
            has_video=self._video is not None,
            has_audio=self._audio is not None,
            zero_sec=self._zero_sec,
            num_video_tracks=self._file.count_tracks("video"),
            num_audio_tracks=self._file.count_tracks("audio"),
            **facts,
        )

    def _check_open(self) -> None:
        if not self._is_open:
            raise ValueError(f"{self.path}: the reader was closed; read inside its with block.")

    def _require_video(self) -> VideoTrack:
        self._check_open()
        if self._video is None:
            raise MediaError(self.path, "it has no video that can be decoded")
        return self._video


def open_media(
    path: str | Path,
    *,
    offset: int = 0,
    size: int | None = None,
    beat: Beat | None = None,
    skip_loop_filter: str = LOOP_FILTER_SKIPS[0],
) -> MediaReader:
    """Open a media file, or one that is a slice of another file.

    Args:
        path: The file.
        offset: Offset of the media file in ``path``, in bytes, for members of a tar.
        size: Size of the media file, in bytes; None: to the end of ``path``.
        beat: Called for each packet that is read, to report progress.
        skip_loop_filter: DATA.SKIP_LOOP_FILTER, one of LOOP_FILTER_SKIPS.

    Returns:
        A reader; the caller closes it.

    Raises:
        MediaError: If the file is missing, damaged or has no stream that can be decoded.
    """
    return MediaReader(MediaLocation(Path(path), offset, size), beat, skip_loop_filter)


def probe_media(path: str | Path) -> MediaInfo:
    """Return the properties of a media file.

    Args:
        path: The file.

    Returns:
        The properties.

    Raises:
        MediaError: As ``open_media``.
    """
    with open_media(path) as reader:
        return reader.info
