"""Statistics of frames, audio and full decoding for the media checker.

Everything is read by the reader of ``media``, as the loader reads it, so that what is found here is
what training will meet.

Legend: H W height and width, n samples.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.decoding.reader import MediaError, MediaInfo, MediaReader
from slowfast.datasets.inspect.report import AudioFacts, VideoFacts

__all__ = ["FrameStats", "audio_stats", "decode_all", "sample_frames"]

_NUM_PLACES = 5
_FRAMES_PER_PLACE = 3
_LOOK_SIDE, _SCAN_SIDE = 32, 16
_DEFAULT_FPS = 30.0

_DECODED_FULLY_SEC = 60.0
"""Audio up to that length is decoded from end to end."""

_PIECES, _PIECE_SEC = 12, 5.0
"""Of longer audio, so many pieces of that length."""

_CHUNK_SEC = 30.0
_MAX_RATE_HZ = 192_000
_BLOCK_SEC = 0.02
_DIGITAL_SILENCE = 2.0**-15  # one step of 16 bits
_QUIET = 1e-3  # -60 dB

_MAX_PARTS = 20


class FrameStats(NamedTuple):
    """Frames looked at.

    Attributes:
        frames: uint8 (H, W, 3), small; one per place, None where nothing could be read.
        fault: What the first place that could not be read raised, or None.
    """

    frames: list[NDArray[np.uint8] | None]
    fault: MediaError | None

    @property
    def num_lost(self) -> int:
        """Places where nothing could be read."""
        return sum(frame is None for frame in self.frames)

    @property
    def readable_share(self) -> float:
        """Share of the places where frames could be read, in [0, 1]."""
        return 1 - self.num_lost / len(self.frames)


def sample_frames(reader: MediaReader, fps: float) -> FrameStats:
    """Read a few frames at places from the start to the very end of the video.

    Args:
        reader: The open file; it has video.
        fps: Its frame rate, in Hz; 0 where unknown.

    Returns:
        What was seen.
    """
    start, end = reader.video_extent_sec
    step = 1.0 / (fps or _DEFAULT_FPS)
    span = max(0.0, end - start - _FRAMES_PER_PLACE * step)
    frames: list[NDArray[np.uint8] | None] = []
    fault: MediaError | None = None
    for place in range(_NUM_PLACES):
        first = start + span * place / (_NUM_PLACES - 1)
        times = first + (np.arange(_FRAMES_PER_PLACE) + 0.5) * step
        try:
            frames.append(reader.read_video(times, short_side=_LOOK_SIDE)[0])
        except MediaError as error:
            frames.append(None)
            fault = fault or error
    return FrameStats(frames, fault)


def decode_all(reader: MediaReader, facts: VideoFacts) -> VideoFacts:
    """Decode every frame of the video.

    Returns:
        The same with the complete frames, those that are not, and when they are missing.

    Raises:
        MediaError: If the file goes away meanwhile.
    """
    before = reader.num_damaged_frames
    seen = [start_sec for start_sec, _ in reader.iter_video(short_side=_SCAN_SIDE)]
    num_damaged = reader.num_damaged_frames - before
    start, end = reader.video_extent_sec
    edges = np.array([start, *seen, end])
    gaps = np.diff(edges)
    usual = float(np.median(gaps))
    wide = np.flatnonzero(gaps > 1.5 * usual)[: _MAX_PARTS if num_damaged else 0]
    parts = tuple((round(float(edges[k]), 3), round(float(edges[k + 1]), 3)) for k in wide)
    return dataclasses.replace(
        facts, num_frames=len(seen), damaged_frames=num_damaged, damaged_sec=parts
    )


def audio_stats(
    reader: MediaReader, facts: AudioFacts, *, everywhere: bool
) -> tuple[AudioFacts, NDArray[np.float32]]:
    """Measure the audio: all of it, or pieces from its start to its end.

    Args:
        reader: The open file.
        facts: What is known of its audio.
        everywhere: Decode all of it, however long.

    Returns:
        The facts with the statistics, and the waveform for the fingerprint: float32 (n,), the
        pieces one after the other; of short audio, all within the video.
    """
    info = reader.info
    start, end = info.audio_start_sec, info.audio_end_sec
    is_short = end - start <= _DECODED_FULLY_SEC
    rate_hz = min(info.sample_rate_hz, _MAX_RATE_HZ)
    meter = _AudioMeter(reader, rate_hz)
    waves = [meter.add(*piece) for piece in _pieces(start, end)]
    if everywhere and not is_short:
        meter.add_all(end - start)
    wave = np.concatenate([*waves, np.zeros(0, np.float32)])
    if is_short and info.has_video:
        wave = _within_video(wave, info, rate_hz)
    return meter.add_to(facts), wave


def _within_video(wave: NDArray[np.float32], info: MediaInfo, rate_hz: int) -> NDArray[np.float32]:
    """Cut audio, or put zeros before it, as containers differ in how much leads in: (n,), (n',)."""
    offset_sec = info.audio_start_sec - info.video_start_sec
    if abs(offset_sec) > _DECODED_FULLY_SEC:
        return wave
    shift = round(offset_sec * rate_hz)
    wave = np.concatenate([np.zeros(max(0, shift), np.float32), wave[max(0, -shift) :]])
    return wave[: round((info.video_end_sec - info.video_start_sec) * rate_hz)]


def _pieces(start: float, end: float) -> Iterator[tuple[float, float]]:
    """Yield start and length of what is sampled."""
    if end - start <= _DECODED_FULLY_SEC:
        yield from _chunks(start, end)
        return
    for number in range(_PIECES):
        yield start + (end - start - _PIECE_SEC) * number / (_PIECES - 1), _PIECE_SEC


def _chunks(start: float, end: float) -> Iterator[tuple[float, float]]:
    for number in range(math.ceil((end - start) / _CHUNK_SEC)):
        first = start + number * _CHUNK_SEC
        yield first, min(_CHUNK_SEC, end - first)


class _AudioMeter:
    """Statistics of audio, piece by piece."""

    def __init__(self, reader: MediaReader, rate_hz: int) -> None:
        self._reader, self._rate = reader, rate_hz
        self._failed_sec = self._asked_sec = 0.0
        self._forget_levels()

    def _forget_levels(self) -> None:
        self._heard_sec = self._read_sec = self._peak = self._power = 0.0
        self._blocks = self._silent = self._quiet = 0

    def add(self, start_sec: float, length_sec: float) -> NDArray[np.float32]:
        """Decode a piece and add it; zeros where it cannot be read."""
        count = max(1, round(length_sec * self._rate))
        self._heard_sec += length_sec
        self._asked_sec += length_sec
        try:
            wave, share = self._reader.read_audio(start_sec, count, self._rate)
        except MediaError:
            self._failed_sec += length_sec
            return np.zeros(count, np.float32)
        self._read_sec += share * length_sec
        self._add_levels(np.abs(wave), self._rate)
        return wave

    def add_all(self, length_sec: float) -> None:
        """Measure everything that the file holds instead; ``length_sec``: what it declares."""
        self._forget_levels()
        self._heard_sec = length_sec
        for rate_hz, wave in self._reader.iter_audio():
            self._read_sec += len(wave) / rate_hz
            self._add_levels(np.abs(wave), rate_hz)

    def _add_levels(self, level: NDArray[np.float32], rate_hz: int) -> None:
        size = min(len(level), max(1, round(_BLOCK_SEC * rate_hz)))
        blocks = level[: len(level) // size * size].reshape(-1, size)
        power = np.square(blocks).mean(axis=1)
        self._power += float(power.sum())
        self._peak = max(self._peak, float(level.max()))
        self._blocks += len(blocks)
        self._silent += int((blocks.max(axis=1) < _DIGITAL_SILENCE).sum())
        self._quiet += int((power < _QUIET**2).sum())

    def add_to(self, facts: AudioFacts) -> AudioFacts:
        """Sum up."""
        blocks = max(1, self._blocks)
        share = min(1.0, self._read_sec / self._heard_sec) if self._heard_sec else 0.0
        failed = self._failed_sec / self._asked_sec if self._asked_sec else 0.0
        return dataclasses.replace(
            facts,
            heard_sec=round(self._heard_sec, 3),
            silent_share=round(self._silent / blocks, 4),
            quiet_share=round(self._quiet / blocks, 4),
            peak=round(self._peak, 6),
            rms=round(math.sqrt(self._power / blocks), 6),
            readable_share=round(share, 4),
            failed_share=round(failed, 4),
        )
