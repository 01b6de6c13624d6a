"""Log-mel spectrograms of waveforms, computed on the device of the model.

Two front ends with the same shapes, (B, N) -> (B, 1, F, S):

* ``LogMelSpectrogram``, the default: Hann window and triangular mel filters, none of them empty.
  Values have a physical scale (white noise with mean square p gives ln p in every mel bin) and are
  finite on silence.
* ``LogFilterbank``, equal to ``python_speech_features.logfbank`` on int16 samples; for weights that
  were trained on it.

Legend: B batch, N samples of a waveform, F mel bins, S time frames.
"""

from __future__ import annotations

import math

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config.problems import ParameterError, keys
from slowfast.datasets.decoding.audio_clip import sec_to_num_samples
from slowfast.utils.env import full_precision

__all__ = [
    "LOG_FLOOR",
    "LogFilterbank",
    "LogMelSpectrogram",
    "Spectrogram",
    "build_spectrogram",
    "logfbank_filterbank",
    "mel_filterbank",
    "num_time_frames",
]

# Added to every energy before the logarithm: the power of the rounding noise of 16-bit audio,
# 2**-30 / 12 = 7.8e-11, rounded up. Digital silence gives ln(1e-10) = -23.03.
LOG_FLOOR = 1e-10

_INT16_SCALE = 32768.0
_PARITY_FFT_SIZE = 1024


def num_time_frames(num_samples: int, window: int, hop: int) -> int:
    """Return the number of windows that cover a waveform, the last one padded with zeros.

    ``S = 1 + ceil(max(N - window, 0) / hop)``, e.g. 99 for one second with a window of 20 ms and a
    hop of 10 ms.

    Args:
        num_samples: Length N of the waveform, at least 1.
        window: Length of a window, in samples.
        hop: Distance between the starts of two windows, in samples.

    Returns:
        The number of time frames, S.

    Raises:
        ValueError: If the waveform is empty.
    """
    if num_samples < 1:
        raise ValueError("audio: got an empty waveform; expected at least one sample.")
    return 1 + math.ceil(max(num_samples - window, 0) / hop)


class Spectrogram(nn.Module):
    """Base class of the front ends: window, Fourier transform, filter bank, logarithm.

    It has no parameters, and its buffers are not saved. They are kept in float64 and converted to
    the dtype of the waveform, so that one object serves float32 and float64.

    Args:
        filterbank: float64 (F, fft_size // 2 + 1), weights of the power spectrum.
        window: float64 (window,), multiplied with each time frame before the transform.
        hop: Distance between the starts of two windows, in samples.
    """

    filterbank: Tensor
    window: Tensor

    def __init__(self, *, filterbank: Tensor, window: Tensor, hop: int) -> None:
        super().__init__()
        self.register_buffer("filterbank", filterbank, persistent=False)
        self.register_buffer("window", window, persistent=False)
        self.num_mel, self.hop = len(filterbank), hop
        self.fft_size = 2 * (filterbank.shape[1] - 1)

    def num_time_frames(self, num_samples: int) -> int:
        """Return the number of time frames, S, of a waveform with N = ``num_samples``."""
        return num_time_frames(num_samples, len(self.window), self.hop)

    def forward(self, audio: Tensor) -> Tensor:
        """Compute log energies.

        Args:
            audio: float32 or float64 (B, N), waveforms in [-1, 1].

        Returns:
            (B, 1, F, S), natural logarithms, with the dtype of ``audio``.

        Raises:
            ValueError: If ``audio`` has another dtype or shape.
        """
        if audio.dtype not in (torch.float32, torch.float64) or audio.dim() != 2:
            raise ValueError(
                f"audio: got {audio.dtype} of shape {tuple(audio.shape)}; expected float32 or "
                "float64 (B, N)."
            )
        # No mixed precision here: energies span ten orders of magnitude.
        with full_precision(audio.device):
            energies = self._power(self.filter(audio)) @ self.filterbank.to(audio.dtype).T
            return self.compress(energies).transpose(1, 2).unsqueeze(1)  # (B, 1, F, S)

    def filter(self, audio: Tensor) -> Tensor:
        """Filter the waveforms before they are cut into windows: (B, N) -> (B, N)."""
        return audio

    def compress(self, energies: Tensor) -> Tensor:
        """Take the logarithm of energies; each front end handles zeros in its own way."""
        raise NotImplementedError

    def _power(self, audio: Tensor) -> Tensor:
        """Compute power spectra: (B, N) -> (B, S, fft_size // 2 + 1)."""
        window = len(self.window)
        length = (self.num_time_frames(audio.shape[1]) - 1) * self.hop + window
        padded = F.pad(audio, (0, length - audio.shape[1]))
        frames = padded.unfold(1, window, self.hop) * self.window.to(audio.dtype)  # (B, S, window)
        spectrum = torch.fft.rfft(frames, n=self.fft_size)
        return spectrum.real.square() + spectrum.imag.square()


class LogMelSpectrogram(Spectrogram):
    """Log-mel spectrogram: the logarithm of the mean power in each mel bin.

    Power is divided by the energy of the window, and the weights of each mel filter sum to one.
    White noise with mean square p therefore gives ln p in every bin, whatever the window and the
    FFT size. Halving the volume subtracts ln 4. The value is ``ln(energy + 1e-10)``.

    Args:
        sample_rate_hz: Samples per second.
        num_mel: Mel bins F, spaced evenly on the HTK mel scale from 0 to half the sample rate.
        window_sec: Length of the Hann window.
        hop_sec: Distance between the starts of two windows.
        fft_size: Points of the FFT. 0: the smallest power of two that is at least one window long
            and puts two FFT bins into the narrowest mel filter.

    Raises:
        ValueError: If a size is out of range, or if ``fft_size`` leaves a mel filter empty.
    """

    def __init__(
        self,
        *,
        sample_rate_hz: int = 24000,
        num_mel: int = 80,
        window_sec: float = 0.02,
        hop_sec: float = 0.01,
        fft_size: int = 0,
    ) -> None:
        window, hop = _window_and_hop(window_sec, hop_sec, sample_rate_hz)
        fft_size = fft_size or _smallest_fft(window, num_mel, sample_rate_hz)
        _check_fft(fft_size, window)
        hann = torch.hann_window(window, dtype=torch.float64)
        super().__init__(
            filterbank=mel_filterbank(num_mel, fft_size, sample_rate_hz),
            window=hann / hann.square().sum().sqrt(),
            hop=hop,
        )

    def compress(self, energies: Tensor) -> Tensor:
        """Return ln(energy + floor)."""
        return (energies + LOG_FLOOR).log()


class LogFilterbank(Spectrogram):
    """The log filter bank of python_speech_features 0.6, on samples at int16 scale.

    Pre-emphasis of the full waveform, rectangular windows, power spectrum divided by the FFT size,
    triangular filters with corners rounded down to FFT bins, exact zeros replaced by the epsilon of
    float64 (ln = -36.04). With 257 mel bins and an FFT of 1024 points, 38 filters are empty and
    their bins constant. Weights trained on this front end expect these constants.

    Args:
        sample_rate_hz: Samples per second.
        num_mel: Mel bins F.
        window_sec: Length of the window.
        hop_sec: Distance between the starts of two windows.
        fft_size: Points of the FFT; 0 means 1024.
        preemphasis: Factor of the previous sample that is subtracted.

    Raises:
        ValueError: If a size is out of range.
    """

    def __init__(
        self,
        *,
        sample_rate_hz: int = 24000,
        num_mel: int = 257,
        window_sec: float = 0.02,
        hop_sec: float = 0.01,
        fft_size: int = 0,
        preemphasis: float = 0.97,
    ) -> None:
        window, hop = _window_and_hop(window_sec, hop_sec, sample_rate_hz)
        fft_size = fft_size or _PARITY_FFT_SIZE
        _check_fft(fft_size, window)
        # int16 scale and the division of the power by fft_size, both folded into the window.
        scale = torch.full((window,), _INT16_SCALE / math.sqrt(fft_size), dtype=torch.float64)
        filterbank = logfbank_filterbank(num_mel, fft_size, sample_rate_hz)
        super().__init__(filterbank=filterbank, window=scale, hop=hop)
        self.preemphasis = preemphasis

    def forward(self, audio: Tensor) -> Tensor:
        """Compute log energies in float64, as the original does.

        Where a tone fits the window exactly, the mel bins next to it hold only rounding errors; in
        float32 their logarithms would be 20 units off.

        Args:
            audio: float32 or float64 (B, N), waveforms in [-1, 1].

        Returns:
            (B, 1, F, S), natural logarithms, with the dtype of ``audio``.

        Raises:
            ValueError: If ``audio`` has another dtype or shape.
        """
        if audio.dtype != torch.float32:
            return super().forward(audio)
        return super().forward(audio.double()).float()

    def filter(self, audio: Tensor) -> Tensor:
        """Apply pre-emphasis with factor p: y[0] = x[0], y[n] = x[n] - p x[n - 1]."""
        return torch.cat([audio[:, :1], audio[:, 1:] - self.preemphasis * audio[:, :-1]], dim=1)

    def compress(self, energies: Tensor) -> Tensor:
        """Return ln(energy), with epsilon where the energy is exactly zero."""
        return energies.masked_fill(energies == 0, torch.finfo(torch.float64).eps).log()


def mel_filterbank(num_mel: int, fft_size: int, sample_rate_hz: int) -> Tensor:
    """Build triangular filters on the HTK mel scale, each with weights that sum to one.

    The corners of the triangles are not rounded: the triangles are evaluated at the frequencies of
    the FFT bins.

    Args:
        num_mel: Mel bins F.
        fft_size: Points of the FFT.
        sample_rate_hz: Samples per second.

    Returns:
        float64 (F, fft_size // 2 + 1), every row sums to 1.

    Raises:
        ValueError: If a filter holds no frequency of the FFT.
    """
    corners = _mel_corners_hz(num_mel, sample_rate_hz)  # (F + 2,)
    low, peak, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]  # (F, 1)
    freq = torch.arange(fft_size // 2 + 1, dtype=torch.float64) * (sample_rate_hz / fft_size)
    rise, fall = (freq - low) / (peak - low), (high - freq) / (high - peak)
    weights = torch.minimum(rise, fall).clamp(min=0)  # (F, fft_size // 2 + 1)
    empty = (weights.sum(dim=1) == 0).nonzero().flatten().tolist()
    if empty:
        enough = _smallest_fft(1, num_mel, sample_rate_hz)
        raise ParameterError(
            "fft_size",
            f"got {fft_size}; {len(empty)} of {num_mel} mel bins contain no FFT "
            f"frequency (the first is bin {empty[0]}). Use 0 (automatic), {enough} or more, or "
            "a smaller num_mel.",
        )
    return weights / weights.sum(dim=1, keepdim=True)


def logfbank_filterbank(num_mel: int, fft_size: int, sample_rate_hz: int) -> Tensor:
    """Build the filters of python_speech_features: corners rounded down to bins, peak weight one.

    Args:
        num_mel: Mel bins F.
        fft_size: Points of the FFT.
        sample_rate_hz: Samples per second.

    Returns:
        float64 (F, fft_size // 2 + 1). Rows whose corners fall into one FFT bin are zero.
    """
    corners = _mel_corners_hz(num_mel, sample_rate_hz)
    bins = ((fft_size + 1) * corners / sample_rate_hz).floor()  # (F + 2,)
    low, peak, high = bins[:-2, None], bins[1:-1, None], bins[2:, None]
    index = torch.arange(fft_size // 2 + 1, dtype=torch.float64)
    # A side of width zero has no bins; the clamp only avoids 0 / 0.
    rise = (index - low) / (peak - low).clamp(min=1) * ((low <= index) & (index < peak))
    fall = (high - index) / (high - peak).clamp(min=1) * ((peak <= index) & (index < high))
    return rise + fall


def _mel_corners_hz(num_mel: int, sample_rate_hz: int) -> Tensor:
    """Space F + 2 frequencies evenly on the mel scale of HTK, 2595 log10(1 + f / 700).

    They reach from 0 to half the sample rate.
    """
    if not 1 <= num_mel <= _MAX_MEL:
        raise ParameterError("num_mel", f"got {num_mel}; expected 1 to {_MAX_MEL}.")
    top = 2595 * math.log10(1 + sample_rate_hz / 2 / 700)
    mel = torch.linspace(0, top, num_mel + 2, dtype=torch.float64)
    return 700 * (10 ** (mel / 2595) - 1)


def _smallest_fft(window: int, num_mel: int, sample_rate_hz: int) -> int:
    """Find the power of two that holds a window and puts two bins into the narrowest filter."""
    # The first filter is the narrowest; it reaches from 0 Hz to the third corner.
    bins = 2 * sample_rate_hz / _mel_corners_hz(num_mel, sample_rate_hz)[2].item()
    return 1 << math.ceil(math.log2(max(window, bins)))


_MAX_WINDOW = 1 << 18
"""In samples: several seconds, far more than the usual windows of 10 to 50 ms."""
_MAX_FFT = 1 << 20
_MAX_MEL = 4096


def _window_and_hop(window_sec: float, hop_sec: float, sample_rate_hz: int) -> tuple[int, int]:
    """Convert both to samples; raise an error if one is too short or far too long."""
    window = sec_to_num_samples(window_sec, sample_rate_hz)
    hop = sec_to_num_samples(hop_sec, sample_rate_hz)
    # A Hann window of one or two samples has at most one value that is not zero.
    for name, sec, samples, least in (
        ("window_sec", window_sec, window, 3),
        ("hop_sec", hop_sec, hop, 1),
    ):
        if not least <= samples <= _MAX_WINDOW:
            raise ParameterError(
                name,
                f"got {sec} s, which is {samples} samples at {sample_rate_hz} Hz; "
                f"expected {least} to {_MAX_WINDOW} samples.",
            )
    return window, hop


def _check_fft(fft_size: int, window: int) -> None:
    if not window <= fft_size <= _MAX_FFT or fft_size % 2:
        raise ParameterError(
            "fft_size",
            f"got {fft_size}; expected 0 (automatic) or an even number >= {window}, "
            f"the window in samples, and at most {_MAX_FFT}.",
        )


def build_spectrogram(cfg: CfgNode) -> Spectrogram:
    """Build the front end that the config section ``AUDIO`` describes.

    Returns:
        LogMelSpectrogram, or LogFilterbank if ``AUDIO.PSF_COMPAT``.

    Raises:
        ValueError: If a setting is out of range.
    """
    audio = cfg.AUDIO
    sizes = {
        "sample_rate_hz": audio.SAMPLE_RATE,
        "num_mel": audio.NUM_MEL,
        "window_sec": audio.WINDOW_SEC,
        "hop_sec": audio.HOP_SEC,
        "fft_size": audio.FFT_SIZE,
    }
    with keys(
        num_mel="AUDIO.NUM_MEL",
        window_sec="AUDIO.WINDOW_SEC",
        hop_sec="AUDIO.HOP_SEC",
        fft_size="AUDIO.FFT_SIZE",
    ):
        if audio.PSF_COMPAT:
            return LogFilterbank(**sizes, preemphasis=audio.PREEMPHASIS)
        return LogMelSpectrogram(**sizes)
