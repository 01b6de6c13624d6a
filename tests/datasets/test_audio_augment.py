import pytest
import torch

from slowfast.config import get_cfg
from slowfast.datasets.preprocess.audio_augment import (
    SpecAugment,
    build_spec_augment,
    volume_jitter,
)


def distinct(batch=4, bins=12, steps=20):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 1, bins, steps, generator=generator) + 5


def masked_axes(module, spectrogram, seeds):
    """Bool (B, F) and (B, S): which bins and time steps were changed completely."""
    changed = module(spectrogram, seeds) != spectrogram
    return changed.all(dim=3)[:, 0], changed.all(dim=2)[:, 0]


def test_volume_is_uniform_and_one_factor_per_waveform():
    seeds = torch.arange(4000)
    factors = volume_jitter(torch.ones(4000, 3), seeds, 0.5, 1.5)
    assert factors.dtype == torch.float32
    assert (factors == factors[:, :1]).all()
    assert 0.5 <= factors.min() < 0.51
    assert 1.49 < factors.max() < 1.5
    assert abs(factors.mean() - 1) < 4 * (1 / 12 / 4000) ** 0.5


def test_volume_depends_on_the_seed_of_its_row_alone():
    audio = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).double()
    together = volume_jitter(audio, torch.tensor([7, 8, 7]), 0.9, 1.1)
    torch.testing.assert_close(together[0] / audio[0], together[2] / audio[2])
    assert torch.equal(volume_jitter(audio[1:2], torch.tensor([8]), 0.9, 1.1), together[1:2])
    assert torch.equal(volume_jitter(audio, torch.tensor([7, 8, 7]), 1.0, 1.0), audio)


def test_masks_are_full_bins_and_steps_of_the_mean():
    spectrogram, seeds = distinct(), torch.arange(4)
    module = SpecAugment(num_freq=2, num_time=2, freq_width=5, time_width=7)
    out = module(spectrogram, seeds)
    bins, steps = masked_axes(module, spectrogram, seeds)
    mask = bins[:, None, :, None] | steps[:, None, None, :]
    assert torch.equal(out[~mask], spectrogram[~mask])
    mean = spectrogram.mean(dim=(2, 3), keepdim=True).expand_as(spectrogram)
    torch.testing.assert_close(out[mask], mean[mask])
    assert mask.any()


@pytest.mark.parametrize("axis", [0, 1])
def test_width_and_place_are_uniform(axis):
    """One mask of width int(U(0, 4)) on ten places: 1/4 empty, else every start equally likely."""
    count = 8000
    sizes = {"num_freq": 1 - axis, "num_time": axis, "freq_width": 4, "time_width": 4}
    spectrogram = torch.rand(count, 1, 10, 10, generator=torch.Generator().manual_seed(0)) + 1
    mask = masked_axes(SpecAugment(**sizes), spectrogram, torch.arange(count))[axis]
    assert not masked_axes(SpecAugment(**sizes), spectrogram, torch.arange(count))[1 - axis].any()
    width = mask.sum(dim=1)
    share = torch.bincount(width, minlength=4).double() / count
    assert width.max() == 3
    torch.testing.assert_close(share, torch.full((4,), 0.25).double(), atol=0.02, rtol=0)
    for size in (1, 2, 3):
        chosen = mask[width == size].int()
        start = chosen.argmax(dim=1)
        ends = 10 - chosen.flip(1).argmax(dim=1)
        assert (ends - start == size).all(), "a mask has a gap"
        observed = torch.bincount(start, minlength=11 - size).double()
        assert len(observed) == 11 - size
        expected = len(chosen) / (11 - size)
        assert ((observed - expected) ** 2 / expected).sum() < 30  # <= 9 degrees of freedom


def test_the_two_axes_and_two_masks_are_sampled_apart():
    spectrogram = distinct(500, 40, 40)
    seeds = torch.arange(500)
    one = SpecAugment(num_freq=1, num_time=1, freq_width=9, time_width=9)
    bins, steps = masked_axes(one, spectrogram, seeds)
    assert (bins != steps).any(dim=1).double().mean() > 0.8
    two = SpecAugment(num_freq=2, num_time=0, freq_width=9, time_width=9)
    more = masked_axes(two, spectrogram, seeds)[0]
    assert more.sum() > 1.5 * bins.sum()


def test_the_seed_decides_alone():
    spectrogram = distinct(1).expand(3, -1, -1, -1)
    module = SpecAugment(num_freq=1, num_time=1, freq_width=6, time_width=9)
    out = module(spectrogram, torch.tensor([3, 4, 3]))
    assert torch.equal(out[0], out[2])
    assert torch.equal(module(spectrogram[:1], torch.tensor([4])), out[1:2])
    rows = module(spectrogram[:1].expand(20, -1, -1, -1), torch.arange(20))
    assert len({tuple(row.flatten().tolist()) for row in rows}) > 15


def test_masks_wider_than_the_spectrogram_fit():
    spectrogram = distinct(50, 3, 2)
    augment = SpecAugment(num_freq=1, num_time=1, freq_width=50, time_width=50)
    out = augment(spectrogram, torch.arange(50))
    assert out.isfinite().all()
    assert out.shape == spectrogram.shape
    for axis in masked_axes(augment, spectrogram, torch.arange(50)):
        assert axis.all(dim=1).double().mean() > 0.8


def test_no_masks_is_the_identity():
    spectrogram = distinct()
    for sizes in ((0, 0, 5, 5), (2, 2, 0, 0), (1, 1, 1, 1)):  # int(U(0, 1)) is always 0
        names = ("num_freq", "num_time", "freq_width", "time_width")
        module = SpecAugment(**dict(zip(names, sizes, strict=True)))
        assert torch.equal(module(spectrogram, torch.arange(4)), spectrogram)


@pytest.mark.parametrize("name", ["num_freq", "num_time", "freq_width", "time_width"])
def test_negative_sizes_are_refused(name):
    sizes = {"num_freq": 1, "num_time": 1, "freq_width": 1, "time_width": 1, name: -2}
    with pytest.raises(ValueError, match=rf"{name}: got -2; expected at least 0"):
        SpecAugment(**sizes)


def test_the_configuration_switches_it():
    cfg = get_cfg()
    assert build_spec_augment(cfg) is None
    cfg.merge_from_list(
        [
            *("AUDIO.SPECAUG.ENABLE", True, "AUDIO.SPECAUG.NUM_FREQ", 2),
            *("AUDIO.SPECAUG.NUM_TIME", 3, "AUDIO.SPECAUG.FREQ_WIDTH", 4),
            *("AUDIO.SPECAUG.TIME_WIDTH", 5),
        ]
    )
    module = build_spec_augment(cfg)
    assert (module.freq, module.time) == ((2, 4), (3, 5))
