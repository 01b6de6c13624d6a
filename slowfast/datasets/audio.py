"""From waveforms to log-mel spectrograms, on the device of the model.

Two front ends with one shape contract, (B, N) -> (B, 1, F, S):

* ``LogMelSpectrogram``, the default: Hann window, triangular mel bands none of which is empty, in
  natural units (white noise of mean square p reads ln p in every band), finite on silence.
* ``LogFilterbank``, equal to ``python_speech_features.logfbank`` on int16 samples; for weights that
  were trained on it.

Legend: B batch, N samples of a waveform, F mel bands, S spectrogram steps.
"""

from __future__ import annotations

import math

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from slowfast.config.problems import ParameterError, keys

__all__ = [
    "LOG_FLOOR",
    "LogFilterbank",
    "LogMelSpectrogram",
    "Spectrogram",
    "build_spectrogram",
    "logfbank_filterbank",
    "mel_filterbank",
    "num_spectrogram_steps",
    "sec_to_num_samples",
]

# Added to every energy before the logarithm: the power of the rounding noise of 16-bit audio,
# 2**-30 / 12 = 7.8e-11, rounded up. Digital silence reads ln(1e-10) = -23.03.
LOG_FLOOR = 1e-10

_INT16_SCALE = 32768.0
_PARITY_FFT_SIZE = 1024


def sec_to_num_samples(sec: float, sample_rate_hz: int) -> int:
    """Convert a duration to samples, rounding half up.

    Args:
        sec: Duration in seconds.
        sample_rate_hz: Samples per second.

    Returns:
        The number of samples.
    """
    return math.floor(sec * sample_rate_hz + 0.5)


def num_spectrogram_steps(num_samples: int, window: int, hop: int) -> int:
    """Count the windows that cover a waveform, the last one padded with zeros.

    ``S = 1 + ceil(max(N - window, 0) / hop)``: 99 for one second at 20 ms and 10 ms.

    Args:
        num_samples: Length N of the waveform, at least 1.
        window: Length of a window, in samples.
        hop: Distance between two windows, in samples.

    Returns:
        Steps S of the spectrogram.

    Raises:
        ValueError: If there is no sample.
    """
    if num_samples < 1:
        raise ValueError("audio: got an empty waveform; expected at least one sample.")
    return 1 + math.ceil(max(num_samples - window, 0) / hop)


class Spectrogram(nn.Module):
    """What the front ends share: window, Fourier transform, bands, logarithm.

    It has no parameters, and its buffers are not saved. They are kept in float64 and converted to
    the waveform's type, so that one object serves float32 and float64.

    Args:
        filterbank: float64 (F, fft_size // 2 + 1), weights of the power spectrum.
        window: float64 (window,), multiplied with each frame before the transform.
        hop: Distance between two windows, in samples.
    """

    filterbank: Tensor
    window: Tensor

    def __init__(self, *, filterbank: Tensor, window: Tensor, hop: int) -> None:
        super().__init__()
        self.register_buffer("filterbank", filterbank, persistent=False)
        self.register_buffer("window", window, persistent=False)
        self.num_mel, self.hop = len(filterbank), hop
        self.fft_size = 2 * (filterbank.shape[1] - 1)

    def num_steps(self, num_samples: int) -> int:
        """Count the spectrogram steps of a waveform of that many samples."""
        return num_spectrogram_steps(num_samples, len(self.window), self.hop)

    def forward(self, audio: Tensor) -> Tensor:
        """Compute log energies.

        Args:
            audio: float32 or float64 (B, N), waveforms in [-1, 1].

        Returns:
            (B, 1, F, S), natural logarithms, of the same type.

        Raises:
            ValueError: If ``audio`` is something else.
        """
        if audio.dtype not in (torch.float32, torch.float64) or audio.dim() != 2:
            raise ValueError(
                f"audio: got {audio.dtype} of shape {tuple(audio.shape)}; expected float32 or "
                "float64 (B, N)."
            )
        # Mixed precision must not reach energies that span ten orders of magnitude.
        with torch.autocast(audio.device.type, enabled=False):
            energies = self._power(self.filter(audio)) @ self.filterbank.to(audio.dtype).T
            return self.compress(energies).transpose(1, 2).unsqueeze(1)  # (B, 1, F, S)

    def filter(self, audio: Tensor) -> Tensor:
        """Filter whole waveforms before they are cut into windows: (B, N) -> (B, N)."""
        return audio

    def compress(self, energies: Tensor) -> Tensor:
        """Take the logarithm of energies; each front end treats zero in its own way."""
        raise NotImplementedError

    def _power(self, audio: Tensor) -> Tensor:
        """Compute power spectra: (B, N) -> (B, S, fft_size // 2 + 1)."""
        window = len(self.window)
        length = (self.num_steps(audio.shape[1]) - 1) * self.hop + window
        padded = F.pad(audio, (0, length - audio.shape[1]))
        frames = padded.unfold(1, window, self.hop) * self.window.to(audio.dtype)  # (B, S, window)
        spectrum = torch.fft.rfft(frames, n=self.fft_size)
        return spectrum.real.square() + spectrum.imag.square()


class LogMelSpectrogram(Spectrogram):
    """Log-mel spectrogram in natural units: the mean of each band's power, then a logarithm.

    Power is divided by the window's energy and the weights of a band add up to one, so that white
    noise of mean square p reads ln p in every band, whatever the window and the FFT size. Halving
    the volume subtracts ln 4. The value is ``ln(energy + 1e-10)``.

    Args:
        sample_rate_hz: Samples per second.
        num_mel: Bands F, spaced evenly on the HTK mel scale from 0 to half the sample rate.
        window_sec: Length of the Hann window.
        hop_sec: Distance between two windows.
        fft_size: Points of the transform. 0: the smallest power of two that holds a window and puts
            two frequencies into the narrowest band.

    Raises:
        ValueError: If a size is out of range, or if ``fft_size`` leaves a band empty.
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
    """The log filterbank of python_speech_features 0.6, on samples at int16 scale.

    Pre-emphasis over the whole waveform, rectangular windows, power spectrum over the FFT size,
    triangles with corners rounded down to FFT bins, exact zeros replaced by float64's epsilon
    (ln = -36.04). At 257 bands and 1024 points 38 bands are empty and therefore constant: weights
    trained so expect them so.

    Args:
        sample_rate_hz: Samples per second.
        num_mel: Bands F.
        window_sec: Length of the window.
        hop_sec: Distance between two windows.
        fft_size: Points of the transform; 0 is 1024.
        preemphasis: Share of the previous sample that is subtracted.

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
        """Compute log energies in float64 throughout, as the original does.

        Where a tone fits the window exactly, the bands beside it hold nothing but rounding errors;
        in float32 their logarithms would be 20 units off.

        Args:
            audio: float32 or float64 (B, N), waveforms in [-1, 1].

        Returns:
            (B, 1, F, S), natural logarithms, of the same type.

        Raises:
            ValueError: If ``audio`` is something else.
        """
        if audio.dtype != torch.float32:
            return super().forward(audio)
        return super().forward(audio.double()).float()

    def filter(self, audio: Tensor) -> Tensor:
        """Subtract a share of the previous sample: y[0] = x[0], y[n] = x[n] - p x[n - 1]."""
        return torch.cat([audio[:, :1], audio[:, 1:] - self.preemphasis * audio[:, :-1]], dim=1)

    def compress(self, energies: Tensor) -> Tensor:
        """Return ln(energy), with epsilon where the energy is exactly zero."""
        return energies.masked_fill(energies == 0, torch.finfo(torch.float64).eps).log()


def mel_filterbank(num_mel: int, fft_size: int, sample_rate_hz: int) -> Tensor:
    """Build triangular bands on the HTK mel scale whose weights add up to one.

    The triangles have their exact corners, evaluated at the FFT's frequencies.

    Args:
        num_mel: Bands F.
        fft_size: Points of the transform.
        sample_rate_hz: Samples per second.

    Returns:
        float64 (F, fft_size // 2 + 1), every row sums to 1.

    Raises:
        ValueError: If a band holds no frequency of the FFT.
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
            f"got {fft_size}; of {num_mel} mel bands, {len(empty)} hold no "
            f"frequency (the first is band {empty[0]}). Use 0 (automatic), {enough} or more, or "
            "a smaller num_mel.",
        )
    return weights / weights.sum(dim=1, keepdim=True)


def logfbank_filterbank(num_mel: int, fft_size: int, sample_rate_hz: int) -> Tensor:
    """Build the bands of python_speech_features: corners rounded down to bins, peak weight one.

    Args:
        num_mel: Bands F.
        fft_size: Points of the transform.
        sample_rate_hz: Samples per second.

    Returns:
        float64 (F, fft_size // 2 + 1). Rows whose corners fall into one bin are zero.
    """
    corners = _mel_corners_hz(num_mel, sample_rate_hz)
    bins = ((fft_size + 1) * corners / sample_rate_hz).floor()  # (F + 2,)
    low, peak, high = bins[:-2, None], bins[1:-1, None], bins[2:, None]
    index = torch.arange(fft_size // 2 + 1, dtype=torch.float64)
    # A side of width zero has no bins; the clamp only keeps 0 / 0 out.
    rise = (index - low) / (peak - low).clamp(min=1) * ((low <= index) & (index < peak))
    fall = (high - index) / (high - peak).clamp(min=1) * ((peak <= index) & (index < high))
    return rise + fall


def _mel_corners_hz(num_mel: int, sample_rate_hz: int) -> Tensor:
    """Space F + 2 frequencies evenly in mel (HTK: 2595 log10(1 + f / 700)), 0 to half the rate."""
    if num_mel < 1:
        raise ParameterError("num_mel", f"got {num_mel}; expected at least 1.")
    top = 2595 * math.log10(1 + sample_rate_hz / 2 / 700)
    mel = torch.linspace(0, top, num_mel + 2, dtype=torch.float64)
    return 700 * (10 ** (mel / 2595) - 1)


def _smallest_fft(window: int, num_mel: int, sample_rate_hz: int) -> int:
    """Find the power of two that holds a window and puts two bins into the narrowest band."""
    # The first band is the narrowest; it reaches from 0 Hz to the third corner.
    bins = 2 * sample_rate_hz / _mel_corners_hz(num_mel, sample_rate_hz)[2].item()
    return 1 << math.ceil(math.log2(max(window, bins)))


_MAX_WINDOW = 1 << 18
"""In samples: seconds, where windows of a spectrogram last hundredths of one."""


def _window_and_hop(window_sec: float, hop_sec: float, sample_rate_hz: int) -> tuple[int, int]:
    """Convert both to samples and refuse what is too short or far too long."""
    window = sec_to_num_samples(window_sec, sample_rate_hz)
    hop = sec_to_num_samples(hop_sec, sample_rate_hz)
    # A Hann window of one or two samples is all zero but for one.
    for name, sec, samples, least in (
        ("window_sec", window_sec, window, 3),
        ("hop_sec", hop_sec, hop, 1),
    ):
        if not least <= samples <= _MAX_WINDOW:
            raise ParameterError(
                name,
                f"got {sec} s, which is {samples} samples at {sample_rate_hz} Hz; "
                f"expected {least} to {_MAX_WINDOW}.",
            )
    return window, hop


def _check_fft(fft_size: int, window: int) -> None:
    if fft_size < window or fft_size % 2:
        raise ParameterError(
            "fft_size",
            f"got {fft_size}; expected 0 (automatic) or an even number >= the "
            f"window of {window} samples.",
        )


def build_spectrogram(cfg: CfgNode) -> Spectrogram:
    """Build the front end that ``AUDIO`` describes.

    Args:
        cfg: The configuration.

    Returns:
        The default front end, or the parity mode if ``AUDIO.PSF_COMPAT``.

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
