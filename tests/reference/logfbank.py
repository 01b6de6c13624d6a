"""Slow oracles of the audio front ends, written from their formulas with plain loops (float64)."""

import math

import numpy as np


def hz_to_mel(hz):
    return 2595 * math.log10(1 + hz / 700)


def mel_to_hz(mel):
    return 700 * (10 ** (mel / 2595) - 1)


def frames_of(signal, window, hop):
    """(S, window): zero-padded frames; the last sample is in the last frame."""
    steps = 1 if len(signal) <= window else 1 + math.ceil((len(signal) - window) / hop)
    out = np.zeros((steps, window))
    for s in range(steps):
        piece = signal[s * hop : s * hop + window]
        out[s, : len(piece)] = piece
    return out


def power_spectrum(frame, nfft):
    """|DFT|^2 by the definition, not by an FFT."""
    n = np.arange(len(frame))
    k = np.arange(nfft // 2 + 1)
    return abs(np.exp(-2j * np.pi * np.outer(k, n) / nfft) @ frame) ** 2


def logfbank(signal, rate, winlen, winstep, nfilt, nfft, preemph=0.97):
    """python_speech_features' logfbank: (S, nfilt) from samples at int16 scale."""
    signal = np.asarray(signal, dtype=float)
    emphasized = np.append(signal[0], signal[1:] - preemph * signal[:-1])
    top = hz_to_mel(rate / 2)
    corners = [mel_to_hz(top * i / (nfilt + 1)) for i in range(nfilt + 2)]
    bins = [math.floor((nfft + 1) * corner / rate) for corner in corners]
    out = []
    for frame in frames_of(emphasized, round(winlen * rate), round(winstep * rate)):
        power = power_spectrum(frame, nfft) / nfft
        row = []
        for j in range(nfilt):
            energy = 0.0
            for i in range(bins[j], bins[j + 1]):
                energy += power[i] * (i - bins[j]) / (bins[j + 1] - bins[j])
            for i in range(bins[j + 1], bins[j + 2]):
                energy += power[i] * (bins[j + 2] - i) / (bins[j + 2] - bins[j + 1])
            row.append(math.log(energy if energy != 0 else np.finfo(float).eps))
        out.append(row)
    return np.array(out)


def log_mel(signal, rate, window, hop, num_mel, nfft, floor):
    """The default front end: (S, num_mel) from samples in [-1, 1]."""
    hann = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / window) for n in range(window)])
    top = hz_to_mel(rate / 2)
    corners = [mel_to_hz(top * i / (num_mel + 1)) for i in range(num_mel + 2)]
    out = []
    for frame in frames_of(np.asarray(signal, dtype=float), window, hop):
        power = power_spectrum(frame * hann, nfft) / (hann**2).sum()
        row = []
        for j in range(num_mel):
            low, peak, high = corners[j : j + 3]
            weights = np.zeros(len(power))
            for i in range(len(power)):
                hz = i * rate / nfft
                if low < hz <= peak:
                    weights[i] = (hz - low) / (peak - low)
                elif peak < hz < high:
                    weights[i] = (high - hz) / (high - peak)
            row.append(math.log((weights * power).sum() / weights.sum() + floor))
        out.append(row)
    return np.array(out)
