"""Re-encoding one media file for training: small, with many keyframes, in step with its audio.

Frames and audio come from ``MediaReader``: upright, with square pixels, on a shared PTS timeline.
Each frame keeps its time (start-time offsets, variable frame rates), and the audio keeps its start
time. Only complete files are kept: a copy is written under a temporary name with a lock, opened for
a check, and then renamed. Its comment records the original and the settings, so that a later run
can skip it.

Legend: H W height and width.
"""

from __future__ import annotations

import fcntl
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.decoding.error_codes import JOIN
from slowfast.datasets.decoding.file import (
    Beat,
    MediaLocation,
    open_container,
    translate_av_errors,
)
from slowfast.datasets.decoding.reader import MediaError, MediaInfo, MediaReader, open_media
from slowfast.datasets.inspect.packets import find_restart
from slowfast.datasets.prepare.settings import EncodeSettings
from slowfast.utils.io import atomic_path
from slowfast.utils.media_libraries import av

__all__ = [
    "TranscodeResult",
    "encode_media",
    "expected_provenance_tag",
    "read_provenance_tag",
    "remove_leftovers",
]

_TAG = "slowfast prepare_data"
_VERSION = 1

_TICKS_PER_SEC = 90_000
_MAX_FPS = 240.0
_DEFAULT_FPS = 30.0
_FAST_TO_READ = {"tune": "fastdecode"}
"""x264 without CABAC and in-loop filter: reading takes 0.7 of the time, files are 1.08 as large."""
_AAC_FRAME = 1024
_CHUNK_SEC = 5.0
_BT601, _LIMITED_RANGE = 6, 1
_LENGTH_TOLERANCE_SEC = 0.1


class TranscodeResult(NamedTuple):
    """What came of one file.

    Attributes:
        num_frames: Frames written.
        num_damaged: Frames of the original that were left out, being damaged.
        lost_audio_sec: Audio of the original that could not be decoded; silent in the copy.
        last_frame_sec: When the last frame appears; None without video.
        audio_end_sec: When the audio ends; None without audio.
    """

    num_frames: int
    num_damaged: int
    lost_audio_sec: float
    last_frame_sec: float | None
    audio_end_sec: float | None


def encode_media(
    source: Path, target: Path, settings: EncodeSettings, beat: Beat
) -> TranscodeResult:
    """Write a copy of a media file for training; H.264 and AAC in mp4.

    Args:
        source: The original; it is only read.
        target: The copy; its folder is created. A file there is replaced in the end.
        settings: What the copy is like.
        beat: Called regularly, to report progress.

    Returns:
        What came of it.

    Raises:
        MediaError: If the original cannot be used.
        OSError: If the copy cannot be written.
    """
    tag = expected_provenance_tag(source, settings)
    with _write_target(target) as temporary:
        restart_sec = find_restart(source, beat)
        if restart_sec is not None:
            raise MediaError(
                source, f"its time starts again after {restart_sec:.1f} s. {JOIN}", "restarts"
            )
        with (
            open_media(source, beat=beat) as video_reader,
            open_media(source, beat=beat) as audio_reader,
        ):
            copy = _write(video_reader, audio_reader, temporary, settings, tag)
        _verify(temporary, copy)
    return copy


@contextmanager
def _write_target(target: Path) -> Iterator[Path]:
    """Give a temporary path that replaces a copy when the block ends well.

    It is locked until the process ends, so that an unlocked temporary file is known to be stale.
    """
    with atomic_path(target) as temporary, temporary.open("ab") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        yield temporary


def _write(
    video_reader: MediaReader,
    audio_reader: MediaReader,
    file: Path,
    settings: EncodeSettings,
    tag: str,
) -> TranscodeResult:
    """Write the copy. Each track has a reader of its own: a change between them costs a seek."""
    info = video_reader.info
    options = {"movflags": "faststart"}
    with av.open(str(file), "w", format="mp4", options=options) as out:
        out.metadata["comment"] = tag
        frames = video_reader.iter_video(short_side=settings.short_side) if info.has_video else None
        first = next(frames, None) if frames is not None else None
        if info.has_video and first is None:
            raise MediaError(video_reader.path, "damaged: it has no complete frame", "undecodable")
        video = _VideoWriter(out, first[1], info, settings) if first is not None else None
        audio = _AudioWriter(out, audio_reader, info, settings) if info.has_audio else None
        if video is not None and first is not None and frames is not None:
            video.write(*first)
            for start_sec, pixels in frames:
                video.write(start_sec, pixels)
                if audio is not None:
                    audio.write_until(start_sec)
            video.finish()
        if audio is not None:
            audio.finish()
    return TranscodeResult(
        num_frames=0 if video is None else video.num_frames,
        num_damaged=video_reader.num_damaged_frames,
        lost_audio_sec=0.0 if audio is None else audio.lost_sec,
        last_frame_sec=None if video is None else video.last_sec,
        audio_end_sec=None if audio is None else audio.end_sec,
    )


class _VideoWriter:
    """Encodes frames at the instants they appear.

    Args:
        out: The container.
        pixels: The first frame, uint8 (H, W, 3).
        info: Facts of the original.
        settings: What the copy is like.
    """

    def __init__(
        self, out: Any, pixels: NDArray[np.uint8], info: MediaInfo, settings: EncodeSettings
    ) -> None:
        fps = info.fps if 0 < info.fps <= _MAX_FPS else _DEFAULT_FPS
        self._out, self._end_sec = out, info.video_end_sec
        self._period = max(1, round(_TICKS_PER_SEC / fps))
        options = {"preset": settings.preset, "crf": str(settings.crf), "g": str(settings.gop)}
        options |= _FAST_TO_READ
        self._stream = out.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1001), options=options
        )
        height, width = pixels.shape[:2]
        self._size = width - width % 2, height - height % 2  # color is stored by twos
        context = self._stream.codec_context
        context.width, context.height = self._size
        context.pix_fmt, context.thread_count = "yuv420p", 1
        context.time_base = Fraction(1, _TICKS_PER_SEC)
        context.colorspace, context.color_range = _BT601, _LIMITED_RANGE
        self._converter = (
            av.video.reformatter.VideoReformatter()
        )  # one for all frames: it is built once
        self._waiting: tuple[int, NDArray[np.uint8]] | None = None
        self._durations: dict[int, int] = {}
        self._longest = 0
        self.num_frames = 0
        self.last_sec = 0.0

    def write(self, start_sec: float, pixels: NDArray[np.uint8]) -> None:
        """Encode the frame before this one, whose length is known by now."""
        ticks = round(start_sec * _TICKS_PER_SEC)
        if self._waiting is not None:
            self._encode(ticks)
        self._waiting = ticks, pixels

    def finish(self) -> None:
        """Encode the last frame, which is shown to the end of the track."""
        if self._waiting is not None:
            start = self._waiting[0]
            end = round(self._end_sec * _TICKS_PER_SEC)
            if not 0 < end - start <= 2 * max(self._period, self._longest):  # what followed is lost
                end = start + self._period
            self._encode(end)
            self.last_sec = start / _TICKS_PER_SEC
        self._mux(None)

    def _encode(self, end: int) -> None:
        if self._waiting is None or end <= self._waiting[0]:
            return
        start, pixels = self._waiting
        width, height = self._size
        rgb = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(pixels[:height, :width]), format="rgb24"
        )
        frame = self._converter.reformat(
            rgb,
            format="yuv420p",
            dst_colorspace=av.video.reformatter.Colorspace.ITU601,
            threads=1,
        )
        frame.pts, frame.time_base = start, Fraction(1, _TICKS_PER_SEC)
        self._durations[start] = end - start
        self._longest = max(self._longest, end - start)
        self.num_frames += 1
        self._mux(frame)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            packet.duration = self._durations.pop(packet.pts, self._period)
            self._out.mux(packet)


class _AudioWriter:
    """Encodes the audio, mixed to one channel, from the instant it starts at."""

    def __init__(
        self, out: Any, reader: MediaReader, info: MediaInfo, settings: EncodeSettings
    ) -> None:
        self._out, self._reader = out, reader
        self._rate = settings.audio_rate_hz
        self._chunk = round(_CHUNK_SEC * self._rate) // _AAC_FRAME * _AAC_FRAME
        self._stream = out.add_stream("aac", rate=self._rate, layout="mono")
        self._stream.bit_rate = 1000 * settings.audio_kbps
        self._first = math.floor(info.audio_start_sec * self._rate)
        self._last = math.ceil(info.audio_end_sec * self._rate)
        self._read_to = self._taken_to = self._first
        self._left = np.zeros(0, np.float32)  # taken, and less than a frame
        self._fault: MediaError | None = None
        self.lost_sec = 0.0

    @property
    def end_sec(self) -> float | None:
        """Where what was written ends; None when there was nothing."""
        return self._taken_to / self._rate if self._taken_to > self._first else None

    def write_until(self, instant_sec: float) -> None:
        """Encode the audio up to an instant, and a little more."""
        while self._read_to < min(self._last, instant_sec * self._rate):
            self._encode_chunk()

    def finish(self) -> None:
        """Encode the rest.

        Raises:
            MediaError: If nothing of the audio could be decoded.
        """
        self.write_until(math.inf)
        if self._fault is not None and self.end_sec is None:
            raise self._fault
        if len(self._left):
            self._encode(self._taken_to - len(self._left), self._left)
        self._out.mux(self._stream.encode(None))

    def _encode_chunk(self) -> None:
        """Encode the next few seconds.

        What is missing at their end is held back: silence if more follows, and else nothing.
        """
        count = min(self._chunk, self._last - self._read_to)
        try:
            wave, share = self._reader.read_audio(self._read_to / self._rate, count, self._rate)
        except MediaError as error:
            self._fault = self._fault or error
            wave, share = np.zeros(count, np.float32), 0.0
        missing = round((1 - share) * count)
        self.lost_sec += missing / self._rate
        zeros = count - int(np.flatnonzero(wave).max(initial=-1)) - 1
        kept = wave[: count - min(missing, zeros)]
        gap = np.zeros(self._read_to - self._taken_to, np.float32)
        self._read_to += count
        if len(kept):
            self._take(np.concatenate([self._left, gap, kept]))

    def _take(self, wave: NDArray[np.float32]) -> None:
        """Encode full AAC frames of what follows the last one; keep the rest for later."""
        first = self._taken_to - len(self._left)
        length = len(wave) // _AAC_FRAME * _AAC_FRAME
        for start in range(0, length, _AAC_FRAME):
            self._encode(first + start, wave[start : start + _AAC_FRAME])
        self._left = wave[length:]
        self._taken_to = first + len(wave)

    def _encode(self, start: int, wave: NDArray[np.float32]) -> None:
        frame = av.AudioFrame.from_ndarray(wave[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        frame.pts = start
        self._out.mux(self._stream.encode(frame))


def _verify(file: Path, copy: TranscodeResult) -> None:
    """Open a copy and read its end.

    Raises:
        OSError: If it is not complete.
    """
    try:
        with open_media(file) as reader:
            info = reader.info
            if copy.last_frame_sec is not None:
                reader.read_video([copy.last_frame_sec], short_side=16)
    except MediaError as error:
        raise OSError(f"the copy cannot be read: {error.reason}") from error
    tracks = [
        ("video", info.video_end_sec, copy.last_frame_sec),
        ("audio", info.audio_end_sec, copy.audio_end_sec),
    ]
    for name, found, wanted in tracks:
        if wanted is not None and found < wanted - _LENGTH_TOLERANCE_SEC:
            raise OSError(f"the {name} of the copy ends at {found:.2f} s instead of {wanted:.2f} s")


def read_provenance_tag(file: Path) -> str:
    """Read what a copy was made from and how.

    Returns:
        Its tag; "" for a file that ``encode_media`` did not write.

    Raises:
        MediaError: If it cannot be opened.
    """
    with open_container(MediaLocation(file)) as container:
        comment = str(container.metadata.get("comment", ""))
    return comment if comment.startswith(_TAG) else ""


def expected_provenance_tag(source: Path, settings: EncodeSettings) -> str:
    """Return the tag of a copy that is up to date.

    Raises:
        MediaError: If the original cannot be looked up.
    """
    with translate_av_errors(source):
        status = source.stat()
    how = " ".join(f"{name}={value}" for name, value in settings._asdict().items())
    return f"{_TAG} {_VERSION}: {how} source={status.st_size}:{status.st_mtime_ns}"


def remove_leftovers(target: Path) -> None:
    """Remove what killed runs have left of a copy; not what another is writing just now."""
    name = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in target.name)
    for file in target.parent.glob(f".{name}.*.tmp"):
        with suppress(OSError), file.open("rb") as claim:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()
