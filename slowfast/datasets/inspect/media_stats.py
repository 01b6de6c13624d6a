"""How the media checker finds things out: looking at frames, listening to audio.

Everything is read by the reader of ``media``, as the loader reads it, so that what is found here is
what training will meet.

Legend: T frames, H W height and width, n samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.inspect.packets import Beat
from slowfast.datasets.media.reader import MediaError, MediaInfo, MediaReader

__all__ = [
    "AudioStats",
    "DecodeStats",
    "FrameStats",
    "audio_stats",
    "av_offset",
    "decode_all",
    "sample_frames",
]

_NUM_PLACES = 5
_FRAMES_PER_PLACE = 3
_LOOK_SIDE, _SCAN_SIDE = 32, 16
_DEFAULT_FPS = 30.0

_LISTEN_WHOLE_SEC = 60.0
"""Audio up to that length is listened to from end to end."""

_PIECES, _PIECE_SEC = 12, 5.0
"""Of longer audio, so many pieces of that length."""

_CHUNK_SEC = 30.0
_BLOCK_SEC = 0.02
_DIGITAL_SILENCE = 2.0**-15  # one step of 16 bits
_QUIET = 1e-3  # -60 dB

_MAX_PARTS = 20


class FrameStats(NamedTuple):
    """Frames looked at.

    Attributes:
        pictures: uint8 (H, W, 3), small; one per place, None where nothing could be read.
        fault: What the first place that could not be read raised, or None.
    """

    pictures: list[NDArray[np.uint8] | None]
    fault: MediaError | None

    @property
    def num_lost(self) -> int:
        """Places where nothing could be read."""
        return sum(picture is None for picture in self.pictures)

    @property
    def readable_share(self) -> float:
        """Share of the places where frames could be read, in [0, 1]."""
        return 1 - self.num_lost / len(self.pictures)


class AudioStats(NamedTuple):
    """Audio listened to.

    Attributes:
        readable_share: Share of the pieces that could be read, in [0, 1].
        heard_sec: Their length.
        silent_share: Share of it that is digital silence, in [0, 1].
        quiet_share: Share of it below -60 dB, in [0, 1].
        peak: Largest absolute sample.
        wave: float32 (n,), of the pieces that were sampled, one after the other.
        is_whole: Whether they are all of the audio.
        fault: What the first piece that could not be read raised, or None.
    """

    readable_share: float
    heard_sec: float
    silent_share: float
    quiet_share: float
    peak: float
    wave: NDArray[np.float32]
    is_whole: bool
    fault: MediaError | None


class DecodeStats(NamedTuple):
    """What decoding every frame has shown.

    Attributes:
        num_frames: Frames that are whole.
        num_damaged: Frames that are not, or are built upon such.
        missing_sec: From when to when frames are missing, the first few; empty without damage.
    """

    num_frames: int
    num_damaged: int
    missing_sec: tuple[tuple[float, float], ...]


def sample_frames(reader: MediaReader, fps: float, beat: Beat) -> FrameStats:
    """Read a few frames at places from the start to the very end of the video.

    Args:
        reader: The open file; it has video.
        fps: Its frame rate, in Hz; 0 where unknown.
        beat: Called now and then.

    Returns:
        What was seen.
    """
    start, end = reader.video_extent_sec
    step = 1.0 / (fps or _DEFAULT_FPS)
    span = max(0.0, end - start - _FRAMES_PER_PLACE * step)
    pictures: list[NDArray[np.uint8] | None] = []
    fault: MediaError | None = None
    for place in range(_NUM_PLACES):
        beat()
        first = start + span * place / (_NUM_PLACES - 1)
        times = first + (np.arange(_FRAMES_PER_PLACE) + 0.5) * step
        try:
            pictures.append(reader.read_video(times, short_side=_LOOK_SIDE)[0])
        except MediaError as error:
            pictures.append(None)
            fault = fault or error
    return FrameStats(pictures, fault)


def decode_all(reader: MediaReader, beat: Beat) -> DecodeStats:
    """Decode every frame of the video.

    Args:
        reader: The open file; it has video.
        beat: Called now and then.

    Returns:
        What came of it.

    Raises:
        MediaError: If the file goes away meanwhile.
    """
    before = reader.num_damaged_frames
    seen: list[float] = []
    for start_sec, _ in reader.iter_video(short_side=_SCAN_SIDE):
        seen.append(start_sec)
        beat()
    num_damaged = reader.num_damaged_frames - before
    start, end = reader.video_extent_sec
    edges = np.array([start, *seen, end])
    gaps = np.diff(edges)
    usual = float(np.median(gaps))
    wide = np.flatnonzero(gaps > 1.5 * usual)[: _MAX_PARTS if num_damaged else 0]
    parts = tuple((round(float(edges[k]), 3), round(float(edges[k + 1]), 3)) for k in wide)
    return DecodeStats(len(seen), num_damaged, parts)


def audio_stats(
    reader: MediaReader, info: MediaInfo, *, everywhere: bool, beat: Beat
) -> AudioStats:
    """Listen to the audio: to all of it, or to pieces from its start to its end.

    Args:
        reader: The open file; it has audio.
        info: Its facts.
        everywhere: Listen to all of it, however long.
        beat: Called now and then.

    Returns:
        What was heard.
    """
    extent = info.audio_start_sec, info.audio_end_sec
    sampled = _Hearing(reader, info.sample_rate_hz, beat)
    waves = [sampled.hear(*piece) for piece in _pieces(*extent)]
    whole = sampled
    is_whole = extent[1] - extent[0] <= _LISTEN_WHOLE_SEC
    if everywhere and not is_whole:
        whole = _Hearing(reader, info.sample_rate_hz, beat)
        for piece in _chunks(*extent):
            whole.hear(*piece)
    return whole.result(np.concatenate([*waves, np.zeros(0, np.float32)]), is_whole)


def av_offset(wave: NDArray[np.float32], rate_hz: int, offset_sec: float) -> NDArray[np.float32]:
    """Move audio to where the picture starts: containers differ in how much leads in.

    Args:
        wave: float32 (n,).
        rate_hz: Samples per second.
        offset_sec: How much later than the picture it starts.

    Returns:
        float32 (n',): cut, or with zeros before it.
    """
    shift = round(offset_sec * rate_hz)
    if shift <= 0:
        return wave[-shift:]
    return np.concatenate([np.zeros(shift, np.float32), wave])


def _pieces(start: float, end: float) -> Iterator[tuple[float, float]]:
    """Yield start and length of what is sampled."""
    if end - start <= _LISTEN_WHOLE_SEC:
        yield from _chunks(start, end)
        return
    for number in range(_PIECES):
        yield start + (end - start - _PIECE_SEC) * number / (_PIECES - 1), _PIECE_SEC


def _chunks(start: float, end: float) -> Iterator[tuple[float, float]]:
    for number in range(math.ceil((end - start) / _CHUNK_SEC)):
        first = start + number * _CHUNK_SEC
        yield first, min(_CHUNK_SEC, end - first)


class _Hearing:
    """Adds up what is heard, piece by piece."""

    def __init__(self, reader: MediaReader, rate_hz: int, beat: Beat) -> None:
        self._reader, self._rate, self._beat = reader, rate_hz, beat
        self._fault: MediaError | None = None
        self._heard_sec = self._read_sec = self._peak = 0.0
        self._blocks = self._silent = self._quiet = 0

    def hear(self, start_sec: float, length_sec: float) -> NDArray[np.float32]:
        """Listen to a piece; zeros where it cannot be read."""
        self._beat()
        count = max(1, round(length_sec * self._rate))
        self._heard_sec += length_sec
        try:
            wave, share = self._reader.read_audio(start_sec, count, self._rate)
        except MediaError as error:
            self._fault = self._fault or error
            return np.zeros(count, np.float32)
        self._read_sec += share * length_sec
        self._add_levels(np.abs(wave))
        return wave

    def _add_levels(self, level: NDArray[np.float32]) -> None:
        size = min(len(level), max(1, round(_BLOCK_SEC * self._rate)))
        blocks = level[: len(level) // size * size].reshape(-1, size)
        self._peak = max(self._peak, float(level.max()))
        self._blocks += len(blocks)
        self._silent += int((blocks.max(axis=1) < _DIGITAL_SILENCE).sum())
        self._quiet += int((np.square(blocks).mean(axis=1) < _QUIET**2).sum())

    def result(self, wave: NDArray[np.float32], is_whole: bool) -> AudioStats:
        """Sum up."""
        blocks = max(1, self._blocks)
        return AudioStats(
            readable_share=self._read_sec / self._heard_sec if self._heard_sec else 0.0,
            heard_sec=self._heard_sec,
            silent_share=self._silent / blocks,
            quiet_share=self._quiet / blocks,
            peak=self._peak,
            wave=wave,
            is_whole=is_whole,
            fault=self._fault,
        )
