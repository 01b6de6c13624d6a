"""From decoded audio frames to one channel, and to another sample rate.

Legend: N samples that come out, n samples that go in, C channels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slowfast.utils.media_libraries import av

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

__all__ = ["FloatArray", "downmix", "resample"]

FloatArray = NDArray[np.float32]

_FRONT_GAIN, _SURROUND_GAIN = math.sqrt(0.5), 0.5
_GAINS = {
    **dict.fromkeys(("FC",), 1.0),
    **dict.fromkeys(("FL", "FR", "DL", "DR", "FLC", "FRC", "WL", "WR"), _FRONT_GAIN),
    **dict.fromkeys(("LFE", "LFE2"), 0.0),
}
"""Share of a channel in the mono mix, before the shares are scaled to sum to one; others count as
surround (the mono downmix of ITU-R BS.775)."""

_OVERSHOOT = 4.0
"""Lossy codecs pass full scale by far less."""

_FULL_SCALE = {
    "u8": (128.0, 2.0**7),
    "s16": (0.0, 2.0**15),
    "s32": (0.0, 2.0**31),
    "flt": (0.0, 1.0),
    "dbl": (0.0, 1.0),
}
"""Zero and full scale of the sample formats, packed or planar (the same name with a p)."""

_MAX_PLANES = 7
"""Of planar samples of more channels PyAV (18.1) counts too many planes, and reads memory that is
not the frame's: FFmpeg's list of planes has no end mark then."""


def downmix(frames: list[AudioFrame]) -> FloatArray:
    """Join frames and mix their channels to one, by name; two channels become their mean.

    Args:
        frames: Decoded frames of one sample format and layout, whichever; at least one.

    Returns:
        float32 (n,), finite, in [-1, 1] unless the codec overshoots.
    """
    channels, sample_format = frames[0].layout.channels, frames[0].format
    packed = sample_format.name.removesuffix("p")
    is_readable = not sample_format.is_planar or len(channels) <= _MAX_PLANES
    if packed not in _FULL_SCALE or not is_readable:
        packed = packed if packed in _FULL_SCALE else "flt"
        frames = [av.AudioResampler(format=packed).resample(frame)[0] for frame in frames]
    offset, scale = _FULL_SCALE[packed]
    values = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    if not frames[0].format.is_planar:
        values = values.reshape(-1, len(channels)).T  # (C, n)
    gains = np.array([_GAINS.get(channel.name, _SURROUND_GAIN) for channel in channels])
    if not gains.any():
        gains[:] = 1.0
    gains = (gains / gains.sum() / scale).astype(np.float32)
    with np.errstate(all="ignore"):
        mixed = gains @ (values.astype(np.float32) - np.float32(offset))  # (n,)
    # Float samples of a damaged file may be anything.
    return np.nan_to_num(mixed, copy=False, nan=0.0).clip(-_OVERSHOOT, _OVERSHOOT)


def resample(wave: FloatArray, rate: int, out_rate: int) -> FloatArray:
    """Resample mono audio; the first output sample has the time of the first input sample.

    Args:
        wave: float32 (N,).
        rate: Its sample rate, in Hz.
        out_rate: Sample rate of the output, in Hz.

    Returns:
        float32, ``out_rate / rate`` times as long.
    """
    if rate == out_rate:
        return wave
    frame = av.AudioFrame.from_ndarray(wave[np.newaxis], format="fltp", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=out_rate)
    parts = [
        part.to_ndarray()[0] for part in [*resampler.resample(frame), *resampler.resample(None)]
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
