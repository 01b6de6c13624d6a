import math

import numpy as np
import pytest
import torch
from reference import logfbank as oracle

from slowfast.config import get_cfg
from slowfast.datasets.decoding.audio_clip import sec_to_num_samples
from slowfast.datasets.preprocess.spectrogram import (
    LOG_FLOOR,
    LogFilterbank,
    LogMelSpectrogram,
    build_spectrogram,
    logfbank_filterbank,
    mel_filterbank,
    num_time_frames,
)

SMALL = {"sample_rate_hz": 4000, "window_sec": 0.02, "hop_sec": 0.01}  # 80 and 40 samples


def int16_noise(num_samples, seed=0, loudness=3000):
    noise = np.random.default_rng(seed).normal(0, loudness, num_samples)
    return noise.round().clip(-32768, 32767)


def as_wave(samples, dtype=torch.float64):
    return torch.tensor(np.asarray(samples) / 32768, dtype=dtype)[None]


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sec", "rate", "samples"),
    [(1.0, 24000, 24000), (0.02, 24000, 480), (0.01, 22050, 221), (0.0, 24000, 0), (0.5, 3, 2)],
)
def test_sec_to_num_samples_rounds_half_up(sec, rate, samples):
    assert sec_to_num_samples(sec, rate) == samples


@pytest.mark.parametrize(
    ("num_samples", "steps"),
    [(1, 1), (479, 1), (480, 1), (481, 2), (720, 2), (721, 3), (24000, 99), (48000, 199)],
)
def test_step_count(num_samples, steps):
    assert num_time_frames(num_samples, 480, 240) == steps
    for front_end in (LogMelSpectrogram(), LogFilterbank()):
        assert front_end.num_time_frames(num_samples) == steps
        out = front_end(torch.zeros(1, num_samples))
        assert out.shape == (1, 1, front_end.num_mel, steps)


def test_no_sample_is_refused():
    with pytest.raises(ValueError, match="got an empty waveform; expected at least one sample"):
        LogMelSpectrogram()(torch.zeros(2, 0))


# -- the default front end -------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_log_mel_equals_the_formula(dtype, tolerance):
    wave = as_wave(int16_noise(700), dtype)
    front_end = LogMelSpectrogram(**SMALL, num_mel=20)
    expected = oracle.log_mel(wave[0].double(), 4000, 80, 40, 20, front_end.fft_size, LOG_FLOOR)
    ours = front_end(wave)
    assert ours.dtype == dtype
    torch.testing.assert_close(
        ours[0, 0].double(), torch.from_numpy(expected).T, atol=tolerance, rtol=0
    )


@pytest.mark.parametrize("num_mel", [1, 13, 40, 64, 80, 128, 257, 512])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_no_bin_is_empty_with_the_automatic_fft(num_mel, rate):
    for window_sec in (0.005, 0.02, 0.1):
        front_end = LogMelSpectrogram(sample_rate_hz=rate, num_mel=num_mel, window_sec=window_sec)
        bank = front_end.filterbank
        assert ((bank > 0).sum(dim=1) >= 1).all()
        torch.testing.assert_close(bank.sum(dim=1), torch.ones(num_mel).double())
        assert front_end.fft_size >= len(front_end.window)


@pytest.mark.parametrize("fft_size", [0, 1024, 2048])
def test_no_bin_is_constant_by_default(fft_size):
    out = LogMelSpectrogram(fft_size=fft_size)(as_wave(int16_noise(24000)))
    assert out.std(dim=3).min() > 0.1


def test_silence_is_the_floor_and_everything_is_finite():
    front_end = LogMelSpectrogram()
    assert front_end.fft_size == 1024  # chosen by itself
    assert front_end(torch.zeros(1, 2400)).unique().item() == pytest.approx(math.log(LOG_FLOOR))
    for wave in (torch.ones(1, 2400), torch.full((1, 2400), 1e-30), torch.full((1, 2400), 1e4)):
        out = front_end(wave)
        assert out.isfinite().all()
        assert out.min() >= math.log(LOG_FLOOR) - 1e-5


def test_natural_units():
    """White noise of mean square p has mean energy p in every bin, whatever the sizes."""
    noise = 0.1 * torch.randn(8, 24000, generator=torch.Generator().manual_seed(0)).double()
    for sizes in ({}, {"window_sec": 0.04}, {"fft_size": 4096}, {"num_mel": 40}):
        energy = LogMelSpectrogram(**sizes)(noise).exp().mean(dim=(0, 1, 3))
        # 792 correlated frames: about 4 % of standard error for the narrowest bin.
        torch.testing.assert_close(energy, torch.full_like(energy, 0.01), rtol=0.2, atol=0)


def test_a_tone_lights_up_its_bin():
    time = torch.arange(24000).double() / 24000
    front_end = LogMelSpectrogram()
    corners = [oracle.mel_to_hz(oracle.hz_to_mel(12000) * i / 81) for i in range(82)]
    for bin in (10, 40, 70):
        tone = torch.sin(2 * math.pi * corners[bin + 1] * time)[None]
        assert (front_end(tone)[0, 0, :, 10:90].argmax(dim=0) == bin).all()


def test_the_window_hides_what_is_outside():
    wave = torch.zeros(1, 24000)
    wave[0, 12000] = 1.0
    out = LogMelSpectrogram()(wave)[0, 0]
    heard = (out > math.log(LOG_FLOOR) + 1).any(dim=0).nonzero().flatten().tolist()
    assert heard == [49]  # windows 49 and 50 hold it, but it is the first sample of 50: weight 0


def test_too_small_an_fft_is_refused_with_one_that_works():
    with pytest.raises(ValueError, match=r"fft_size: got 512; .* of 257 mel bins .* Use 0 .* 4096"):
        LogMelSpectrogram(num_mel=257, fft_size=512)
    LogMelSpectrogram(num_mel=257, fft_size=4096)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fft_size": 256}, r"fft_size: got 256; expected 0 .* >= 480, the window"),
        ({"fft_size": 1025}, r"fft_size: got 1025; expected 0 \(automatic\) or an even"),
        ({"num_mel": 0}, r"num_mel: got 0; expected 1 to 4096"),
        ({"num_mel": 10**6}, r"num_mel: got 1000000; expected 1 to 4096"),
        ({"fft_size": 10**12}, r"fft_size: got 1000000000000; expected .* at most 1048576"),
        ({"window_sec": 1e9}, r"window_sec: got .*; expected 3 to 262144"),
        ({"window_sec": 0.0001}, r"window_sec: got 0.0001 s, which is 2 samples at 24000"),
        ({"hop_sec": 0.0}, r"hop_sec: got 0.0 s, which is 0 samples"),
    ],
)
@pytest.mark.parametrize("front_end", [LogMelSpectrogram, LogFilterbank])
def test_sizes_out_of_range_are_refused(front_end, change, message):
    with pytest.raises(ValueError, match=message):
        front_end(**change)


# -- parity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize(
    "audio", ["noise", "quiet", "tone", "silence", "click", "constant", 1, 100, 480, 481, 5000]
)
def test_parity_with_python_speech_features(audio, dtype, tolerance):
    features = pytest.importorskip("python_speech_features")
    time = np.arange(24000) / 24000
    samples = {
        "noise": int16_noise(24000),
        "quiet": int16_noise(24000, loudness=1),
        "tone": (20000 * np.sin(2 * np.pi * 1000 * time)).round(),
        "silence": np.zeros(24000),
        "click": (np.arange(24000) == 7000) * 30000.0,
        "constant": np.full(24000, 1000.0),
    }.get(audio)
    samples = int16_noise(audio) if samples is None else samples  # of any length
    expected = features.logfbank(samples, 24000, 0.02, 0.01, 257, 1024).T
    ours = LogFilterbank()(as_wave(samples, dtype))[0, 0]
    assert ours.dtype == dtype
    assert ours.shape == expected.shape
    torch.testing.assert_close(ours.double(), torch.tensor(expected), atol=tolerance, rtol=0)


@pytest.mark.parametrize(("rate", "num_mel", "fft_size"), [(16000, 26, 512), (8000, 40, 256)])
def test_parity_holds_for_other_sizes(rate, num_mel, fft_size):
    features = pytest.importorskip("python_speech_features")
    samples = int16_noise(rate // 4)
    expected = features.logfbank(samples, rate, 0.025, 0.01, num_mel, fft_size).T
    ours = LogFilterbank(sample_rate_hz=rate, num_mel=num_mel, window_sec=0.025, fft_size=fft_size)(
        as_wave(samples)
    )
    torch.testing.assert_close(ours[0, 0], torch.from_numpy(expected), atol=1e-9, rtol=0)


@pytest.mark.parametrize("preemphasis", [0.97, 0.0])
def test_parity_with_the_formula(preemphasis):
    samples = int16_noise(250)
    front_end = LogFilterbank(**SMALL, num_mel=24, fft_size=128, preemphasis=preemphasis)
    expected = oracle.logfbank(samples, 4000, 0.02, 0.01, 24, 128, preemphasis)
    ours = front_end(as_wave(samples))[0, 0].T
    torch.testing.assert_close(ours, torch.from_numpy(expected), atol=1e-9, rtol=0)


def test_the_released_setting_has_its_38_empty_bins():
    bank = logfbank_filterbank(257, 1024, 24000)
    empty = (bank.sum(dim=1) == 0).nonzero().flatten().tolist()
    assert len(empty) == 38
    assert empty[:6] == [0, 2, 3, 5, 6, 8]
    out = LogFilterbank()(as_wave(int16_noise(2400)))
    torch.testing.assert_close(
        out[0, 0, empty],
        torch.full((38, 9), math.log(2.0**-52), dtype=torch.float64),
        atol=1e-9,
        rtol=0,
    )
    with pytest.raises(ValueError, match="contain no FFT frequency"):
        mel_filterbank(257, 512, 24000)


# -- both ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [LogMelSpectrogram, LogFilterbank])
def test_rows_of_a_batch_are_independent(make):
    waves = torch.cat([as_wave(int16_noise(2400, seed), torch.float32) for seed in range(3)])
    out = make()(waves)
    for wave, row in zip(waves, out, strict=True):
        torch.testing.assert_close(make()(wave[None])[0], row, atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", [LogMelSpectrogram, LogFilterbank])
def test_nothing_is_learned_or_saved(make):
    front_end = make()
    assert not list(front_end.parameters())
    assert not front_end.state_dict()


@pytest.mark.parametrize("make", [LogMelSpectrogram, LogFilterbank])
def test_mixed_precision_does_not_reach_the_energies(make):
    wave = as_wave(int16_noise(2400), torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = make()(wave)
    assert torch.equal(out, make()(wave))


def test_the_default_is_differentiable():
    wave = as_wave(int16_noise(2400), torch.float32).requires_grad_()
    LogMelSpectrogram()(wave).sum().backward()
    assert wave.grad.isfinite().all()
    assert wave.grad.abs().max() > 0


@pytest.mark.parametrize(
    "bad",
    [torch.zeros(10), torch.zeros(1, 1, 10), torch.zeros(1, 10).half(), torch.zeros(1, 10).int()],
)
@pytest.mark.parametrize("make", [LogMelSpectrogram, LogFilterbank])
def test_what_is_not_a_batch_of_waveforms_is_refused(make, bad):
    with pytest.raises(ValueError, match=r"audio: got torch.* expected float32 or float64 \(B, N"):
        make()(bad)


# -- configuration ---------------------------------------------------------------------------------


def test_the_configuration_picks_the_front_end():
    cfg = get_cfg()
    cfg.merge_from_list(
        [
            *("AUDIO.SAMPLE_RATE", 16000, "AUDIO.NUM_MEL", 40, "AUDIO.WINDOW_SEC", 0.025),
            *("AUDIO.HOP_SEC", 0.0125, "AUDIO.FFT_SIZE", 2048),
        ]
    )
    default = build_spectrogram(cfg)
    assert isinstance(default, LogMelSpectrogram)
    cfg.merge_from_list(["AUDIO.PSF_COMPAT", True, "AUDIO.PREEMPHASIS", 0.5])
    parity = build_spectrogram(cfg)
    assert isinstance(parity, LogFilterbank)
    assert parity.preemphasis == 0.5
    for front_end in (default, parity):
        assert front_end.num_mel == 40
        assert front_end.fft_size == 2048
        assert (len(front_end.window), front_end.hop) == (400, 200)
        assert front_end.num_time_frames(16000) == 79
    cfg.merge_from_list(["AUDIO.NUM_MEL", 257, "AUDIO.FFT_SIZE", 0])
    assert build_spectrogram(cfg).fft_size == 1024  # chosen by itself
