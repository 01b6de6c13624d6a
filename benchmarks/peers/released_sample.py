"""A training sample in the order of work of the released code.

Decode the frames of the window, all at full size; decode the audio of the whole file with a
subprocess and cut it; crop, resize, jitter, flip, blur and normalize in float, twice; compute the
log-mel spectrogram. One thread.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from peers.float_views import float_view
from slowfast.datasets.views.transform import TrainTransform

EMPTY = 2.220446049250313e-16  # in place of an energy of zero
PRE_EMPHASIS = 0.97


class Sizes(NamedTuple):
    """What a sample holds; the defaults are those of the paper's script."""

    num_frames: int = 30
    crop: int = 112
    views: int = 2
    audio_sec: float = 1.0
    sample_rate_hz: int = 24000
    window_sec: float = 0.02
    hop_sec: float = 0.01
    num_mel: int = 80
    fft_size: int = 1024


def make_sample(
    path: Path, start_sec: float, sizes: Sizes, transform: TrainTransform, seed: int
) -> tuple[Tensor, Tensor]:
    """Make a sample.

    Args:
        path: The file.
        start_sec: When the clip starts.
        sizes: What it holds.
        transform: Samples the parameters of the views, so that they are distributed as ours.
        seed: Of the views.

    Returns:
        Video, float (V, 3, T, S, S), and log-mel spectrogram, float (1, F, S').
    """
    frames = decode_video(path, start_sec, sizes.num_frames)
    wave = decode_audio(path, sizes.sample_rate_hz)
    first = round(start_sec * sizes.sample_rate_hz)
    wave = wave[first : first + round(sizes.audio_sec * sizes.sample_rate_hz)]
    rng = np.random.default_rng(seed)
    views = [transform.sample(*frames.shape[1:3], rng) for _ in range(sizes.views)]
    video = torch.stack([float_view(frames, view, sizes.crop) for view in views])
    return video, log_mel(wave, sizes)


def decode_video(path: Path, start_sec: float, num_frames: int) -> NDArray[np.uint8]:
    """Decode frames from an instant on at full size: uint8 (T, H, W, 3)."""
    frames: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "NONE", 1
        container.seek(max(int(start_sec / stream.time_base) - 1024, 0), stream=stream)
        for frame in container.decode(stream):
            if frame.time + 1e-3 < start_sec:
                continue
            frames.append(frame.to_rgb().to_ndarray())
            if len(frames) == num_frames:
                break
    return np.stack(frames)


def decode_audio(path: Path, sample_rate_hz: int) -> NDArray[np.float32]:
    """Decode all audio of the file: float32 (N,)."""
    words = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i", str(path), "-vn"]
    words += ["-f", "s16le", "-ac", "1", "-ar", str(sample_rate_hz), "-"]
    raw = subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(raw, "<i2").astype(np.float32) / 2**15


def log_mel(wave: NDArray[np.float32], sizes: Sizes) -> Tensor:
    """Compute log energies of mel filters on rectangular windows, the filters made each time."""
    rate, count = sizes.sample_rate_hz, sizes.fft_size
    wave = np.append(wave[:1], wave[1:] - PRE_EMPHASIS * wave[:-1]).astype(np.float64)
    length, hop = round(sizes.window_sec * rate), round(sizes.hop_sec * rate)
    frames = np.lib.stride_tricks.sliding_window_view(wave, length)[::hop]
    power = np.abs(np.fft.rfft(frames, count)) ** 2 / count
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, sizes.num_mel + 2) / 2595) - 1)
    bins = np.floor((count + 1) * edges / rate)
    filters = np.zeros((sizes.num_mel, count // 2 + 1))
    for number, (low, middle, high) in enumerate(zip(bins, bins[1:], bins[2:], strict=False)):
        for place in range(int(low), int(middle)):
            filters[number, place] = (place - low) / (middle - low)
        for place in range(int(middle), int(high)):
            filters[number, place] = (high - place) / (high - middle)
    energy = power @ filters.T
    return torch.from_numpy(np.log(np.where(energy == 0, EMPTY, energy)).T[None]).float()
