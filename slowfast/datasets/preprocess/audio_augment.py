"""Augmentation of audio on the device: volume jitter and SpecAugment.

All random numbers follow from ``aug_seed``, the seed of each sample.

Legend: B batch, N samples of a waveform, F mel bins, S time frames.
"""

from __future__ import annotations

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.config.problems import ParameterError, keys
from slowfast.utils.random import STREAM_SPECAUG, STREAM_VOLUME, uniform

__all__ = ["SpecAugment", "build_spec_augment", "volume_jitter"]


def volume_jitter(audio: Tensor, aug_seed: Tensor, low: float, high: float) -> Tensor:
    """Multiply every waveform by a factor sampled from U(low, high), without clipping.

    Args:
        audio: float (B, N), waveforms.
        aug_seed: int64 (B,), the seeds that the factors are sampled from.
        low: Smallest factor.
        high: Largest factor.

    Returns:
        float (B, N), with the dtype of ``audio``.
    """
    factor = low + (high - low) * uniform(aug_seed, STREAM_VOLUME, 1)  # (B, 1)
    return audio * factor.to(audio.dtype)


class SpecAugment(nn.Module):
    """Masks mel bins and time frames of a spectrogram, without time warping.

    Source: Park et al., "SpecAugment", Interspeech 2019. A mask covers int(U(0, width))
    neighboring mel bins or time frames, at most ``width`` - 1 and possibly none, at a uniformly
    sampled position. Masked values become the mean of their spectrogram. The mean is neutral
    whatever the normalization; 0 could be a loud or a silent patch.

    Args:
        num_freq: Number of frequency masks.
        num_time: Number of time masks.
        freq_width: Bound of the width of a frequency mask, in mel bins.
        time_width: Bound of the width of a time mask, in time frames.

    Raises:
        ValueError: If a number is negative.
    """

    def __init__(self, *, num_freq: int, num_time: int, freq_width: int, time_width: int) -> None:
        super().__init__()
        sizes = {
            "num_freq": num_freq,
            "num_time": num_time,
            "freq_width": freq_width,
            "time_width": time_width,
        }
        for name, size in sizes.items():
            if size < 0:
                raise ParameterError(name, f"got {size}; expected at least 0.")
        self.freq, self.time = (num_freq, freq_width), (num_time, time_width)

    def forward(self, spectrogram: Tensor, aug_seed: Tensor) -> Tensor:
        """Mask a batch.

        Args:
            spectrogram: float (B, 1, F, S).
            aug_seed: int64 (B,), the seeds that the masks are sampled from.

        Returns:
            float (B, 1, F, S), with the dtype of ``spectrogram``.
        """
        num_mel, num_frames = spectrogram.shape[2:]
        in_freq = _sample_masks(aug_seed, STREAM_SPECAUG, *self.freq, num_mel)  # (B, F)
        in_time = _sample_masks(aug_seed, STREAM_SPECAUG + 1, *self.time, num_frames)  # (B, S)
        masked = in_freq[:, None, :, None] | in_time[:, None, None, :]  # (B, 1, F, S)
        return torch.where(masked, spectrogram.mean(dim=(2, 3), keepdim=True), spectrogram)


def _sample_masks(aug_seed: Tensor, stream: int, num: int, widest: int, length: int) -> Tensor:
    """Sample the masks of an axis: bool (B, length), True where at least one mask covers it."""
    numbers = uniform(aug_seed, stream, 2 * num)  # (B, 2 num)
    width = (numbers[:, :num] * widest).floor().clamp(max=length)  # (B, num)
    start = (numbers[:, num:] * (length - width + 1)).floor()
    position = torch.arange(length, device=aug_seed.device)
    start, end = start[:, :, None], (start + width)[:, :, None]  # (B, num, 1)
    return ((start <= position) & (position < end)).any(dim=1)


def build_spec_augment(cfg: CfgNode) -> SpecAugment | None:
    """Build SpecAugment from ``AUDIO.SPECAUG``.

    Returns:
        The module, or None if ``AUDIO.SPECAUG.ENABLE`` is False.

    Raises:
        ValueError: If a setting is out of range.
    """
    spec = cfg.AUDIO.SPECAUG
    if not spec.ENABLE:
        return None
    with keys(
        num_freq="AUDIO.SPECAUG.NUM_FREQ",
        num_time="AUDIO.SPECAUG.NUM_TIME",
        freq_width="AUDIO.SPECAUG.FREQ_WIDTH",
        time_width="AUDIO.SPECAUG.TIME_WIDTH",
    ):
        return SpecAugment(
            num_freq=spec.NUM_FREQ,
            num_time=spec.NUM_TIME,
            freq_width=spec.FREQ_WIDTH,
            time_width=spec.TIME_WIDTH,
        )
