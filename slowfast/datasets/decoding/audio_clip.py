"""The audio of clips: windows of the audio stream, optionally with the stream looped.

Legend: A clips, N samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.decoding.clip_reader import ClipReader
from slowfast.datasets.decoding.reader import MediaError

__all__ = ["MIN_VALID_AUDIO", "load_audio_clip", "load_audio_looped", "sec_to_num_samples"]

MIN_VALID_AUDIO = 0.5
"""Fraction of a window that must overlap the audio stream for its audio to be valid."""


def sec_to_num_samples(sec: float, sample_rate_hz: int) -> int:
    """Convert a duration to samples, rounding half up.

    Args:
        sec: Duration in seconds.
        sample_rate_hz: Samples per second.

    Returns:
        The number of samples.
    """
    return math.floor(sec * sample_rate_hz + 0.5)


def load_audio_clip(
    reader: ClipReader,
    starts_sec: Sequence[float],
    *,
    clip_sec: float,
    sample_rate_hz: int,
    shift_sec: float = 0.0,
    min_share: float = MIN_VALID_AUDIO,
) -> dict[str, np.ndarray]:
    """Read the audio of clips as entries of a sample.

    Args:
        reader: The open file.
        starts_sec: Start of each of the A clips, in seconds of presentation time (PTS).
        clip_sec: Length of a clip, in seconds; 0: no audio is read.
        sample_rate_hz: Sample rate that the audio is resampled to.
        shift_sec: Offset of the audio relative to the video, in seconds; the audio stream is
            looped. 0: no offset.
        min_share: Audio is valid if at least this fraction of the clip overlaps the audio stream.

    Returns:
        ``audio``: float32 (A, N), and ``audio_valid``: bool (A,); empty if ``clip_sec`` is 0.

    Raises:
        MediaError: If nothing of a window inside the audio stream can be decoded.
    """
    if not clip_sec:
        return {}
    num_samples = sec_to_num_samples(clip_sec, sample_rate_hz)
    audio = np.zeros((len(starts_sec), num_samples), np.float32)
    valid = np.zeros(len(starts_sec), bool)
    for clip, start in enumerate(starts_sec):
        if shift_sec:
            audio[clip], share = load_audio_looped(
                reader, start + shift_sec, num_samples, sample_rate_hz
            )
        else:
            audio[clip], share = reader.read_audio(start, num_samples, sample_rate_hz)
        valid[clip] = share >= min_share
    return {"audio": audio, "audio_valid": valid}


def load_audio_looped(
    reader: ClipReader, start_sec: float, num_samples: int, sample_rate_hz: int
) -> tuple[NDArray[np.float32], float]:
    """Read a window of the audio stream, which is looped.

    Args:
        reader: The open file.
        start_sec: Start of the window, in seconds of presentation time; any value.
        num_samples: N.
        sample_rate_hz: Sample rate of the output.

    Returns:
        float32 (N,), and the fraction of it that was decoded; zeros and 0 if there is no audio.

    Raises:
        MediaError: If nothing of the window can be decoded.
    """
    try:
        first_sec, last_sec = reader.audio_extent_sec
    except MediaError:  # as for a plain window: a video without audio is not a bad file
        return np.zeros(num_samples, np.float32), 0.0
    length = sec_to_num_samples(last_sec - first_sec, sample_rate_hz)
    if not length:
        return np.zeros(num_samples, np.float32), 0.0
    position = sec_to_num_samples(start_sec - first_sec, sample_rate_hz) % length
    if length <= num_samples:
        audio, share = reader.read_audio(first_sec, length, sample_rate_hz)
        return np.take(audio, np.arange(position, position + num_samples), mode="wrap"), share
    head = min(num_samples, length - position)
    audio, share = reader.read_audio(first_sec + position / sample_rate_hz, head, sample_rate_hz)
    if head == num_samples:
        return audio, share
    rest, rest_share = reader.read_audio(first_sec, num_samples - head, sample_rate_hz)
    mean_share = (share * head + rest_share * (num_samples - head)) / num_samples
    return np.concatenate([audio, rest]), mean_share
