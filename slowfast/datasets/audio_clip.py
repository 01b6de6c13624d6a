"""The audio of clips: windows of a track, plain or with the track taken as a loop.

Legend: A clips, N samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slowfast.datasets.audio import sec_to_num_samples
from slowfast.datasets.clip_reader import ClipReader
from slowfast.datasets.media.reader import MediaError

__all__ = ["MIN_VALID_SOUND", "load_audio_clip", "load_audio_looped"]

MIN_VALID_SOUND = 0.5
"""Share of the window that must lie inside the audio track for the audio to count as there."""


def load_audio_clip(
    reader: ClipReader,
    starts_sec: Sequence[float],
    *,
    clip_sec: float,
    sample_rate_hz: int,
    shift_sec: float = 0.0,
    min_share: float = MIN_VALID_SOUND,
) -> dict[str, np.ndarray]:
    """Read the audio of clips as the entries of a sample.

    Args:
        reader: The open file.
        starts_sec: Where the A clips start, in seconds on the file's clock.
        clip_sec: Length of a clip; 0: nothing is read.
        sample_rate_hz: Rate that audio is resampled to.
        shift_sec: Read from so much later, the track being a loop. 0: where the clips are.
        min_share: A clip has audio when at least this share of it lies inside the track.

    Returns:
        ``audio``: float32 (A, N), and ``audio_valid``: bool (A,); nothing if ``clip_sec`` is 0.

    Raises:
        MediaError: If damage leaves nothing of a window inside the track.
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
    """Read a window of a track that goes on at its start when it is over.

    Args:
        reader: The open file.
        start_sec: Where the window starts, in seconds on the file's clock; anywhere.
        num_samples: N.
        sample_rate_hz: Wanted rate.

    Returns:
        float32 (N,), and the share of it that there is; zeros and 0 without audio.

    Raises:
        MediaError: If damage leaves nothing of what has to be read.
    """
    try:
        first_sec, last_sec = reader.audio_extent_sec
    except MediaError:  # as for a plain window: no audio is no fault of a video
        return np.zeros(num_samples, np.float32), 0.0
    length = sec_to_num_samples(last_sec - first_sec, sample_rate_hz)
    if not length:
        return np.zeros(num_samples, np.float32), 0.0
    position = sec_to_num_samples(start_sec - first_sec, sample_rate_hz) % length
    if length <= num_samples:
        sound, share = reader.read_audio(first_sec, length, sample_rate_hz)
        return np.take(sound, np.arange(position, position + num_samples), mode="wrap"), share
    head = min(num_samples, length - position)
    sound, share = reader.read_audio(first_sec + position / sample_rate_hz, head, sample_rate_hz)
    if head == num_samples:
        return sound, share
    rest, rest_share = reader.read_audio(first_sec, num_samples - head, sample_rate_hz)
    mean_share = (share * head + rest_share * (num_samples - head)) / num_samples
    return np.concatenate([sound, rest]), mean_share
