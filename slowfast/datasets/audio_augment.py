"""Augmentation of audio on the device: loudness and masks, drawn from each sample's seed alone.

Legend: B batch, N samples of a waveform, F mel bands, S spectrogram steps.
"""

from __future__ import annotations

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from slowfast.config.problems import ParameterError, keys
from slowfast.utils.random import STREAM_SPECAUG, STREAM_VOLUME, uniform

__all__ = ["SpecAugment", "build_spec_augment", "volume_jitter"]


def volume_jitter(audio: Tensor, aug_seed: Tensor, low: float, high: float) -> Tensor:
    """Multiply every waveform by a factor from U(low, high). Nothing is clipped.

    Args:
        audio: float (B, N), waveforms.
        aug_seed: int64 (B,), decides the factors.
        low: Smallest factor.
        high: Largest factor.

    Returns:
        float (B, N), of the same type.
    """
    factor = low + (high - low) * uniform(aug_seed, STREAM_VOLUME, 1)  # (B, 1)
    return audio * factor.to(audio.dtype)


class SpecAugment(nn.Module):
    """Masks bands and steps of a spectrogram (Park et al., Interspeech 2019; without time warp).

    A mask covers int(U(0, widest)) neighboring bands or steps (so at most ``widest`` - 1, and none
    at times) at a uniform place. Masked values become the mean of their own spectrogram: a
    neutral level whatever the units, where 0 would be a loud or a silent patch, depending on the
    normalization.

    Args:
        num_freq: Masks over bands.
        num_time: Masks over steps.
        freq_width: Bound of a mask's width, in bands.
        time_width: Bound of a mask's width, in steps.

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
            aug_seed: int64 (B,), decides the masks.

        Returns:
            float (B, 1, F, S), of the same type.
        """
        bands, steps = spectrogram.shape[2:]
        in_freq = _draw_masks(aug_seed, STREAM_SPECAUG, *self.freq, bands)  # (B, F)
        in_time = _draw_masks(aug_seed, STREAM_SPECAUG + 1, *self.time, steps)  # (B, S)
        masked = in_freq[:, None, :, None] | in_time[:, None, None, :]  # (B, 1, F, S)
        return torch.where(masked, spectrogram.mean(dim=(2, 3), keepdim=True), spectrogram)


def _draw_masks(aug_seed: Tensor, stream: int, num: int, widest: int, length: int) -> Tensor:
    """Draw masks on an axis of that length: bool (B, length), True where any of them lies."""
    draws = uniform(aug_seed, stream, 2 * num)  # (B, 2 num)
    width = (draws[:, :num] * widest).floor().clamp(max=length)  # (B, num)
    start = (draws[:, num:] * (length - width + 1)).floor()
    position = torch.arange(length, device=aug_seed.device)
    start, end = start[:, :, None], (start + width)[:, :, None]  # (B, num, 1)
    return ((start <= position) & (position < end)).any(dim=1)


def build_spec_augment(cfg: CfgNode) -> SpecAugment | None:
    """Build the masks that ``AUDIO.SPECAUG`` describes.

    Args:
        cfg: The configuration.

    Returns:
        The module, or None when it is off.

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
