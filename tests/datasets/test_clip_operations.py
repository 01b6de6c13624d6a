"""Operations of RandAugment against Pillow, image by image."""

import numpy as np
import pytest
from reference import classifier_augment as oracle

from slowfast.datasets.views.clip_operations import OPERATIONS, ClipOperation, apply_operations

FACTORS = [0.1, 0.37, 1.0, 1.63, 1.9]
TABLES = {
    "AutoContrast": [0],
    "Equalize": [0],
    "Invert": [0],
    "Posterize": [0, 1, 2, 3, 4],
    "Solarize": [0, 77, 256],
    "SolarizeAdd": [0, 55, 110],
    "Brightness": FACTORS,
    "Contrast": FACTORS,
}
BLENDS = {"Color": FACTORS, "Sharpness": FACTORS}
WARPS = {
    "Rotate": [-30.0, -7.3, 0.0, 12.1, 30.0],
    "ShearX": [-0.3, 0.11, 0.3],
    "ShearY": [-0.3, 0.11, 0.3],
    "TranslateXRel": [-0.45, 0.123, 0.45],
    "TranslateYRel": [-0.45, 0.123, 0.45],
}


def natural(seed, height, width):
    """An image with the spectrum of natural ones (amplitude ~ 1 / frequency)."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    phase = np.exp(2j * np.pi * rng.random((3, *frequency.shape)))
    image = np.fft.irfft2(phase / np.maximum(frequency, 1 / width), s=(height, width))
    return (128 + 50 * image / image.std()).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


def clip(height=45, width=60):
    """Different frames: natural ones, noise, few values, a single value."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.stack(
        [
            natural(1, height, width),
            natural(2, height, width) // 2 + 40,
            noise,
            noise // 128 * 90 + 7,
            np.full_like(noise, 77),
        ]
    )


def both(name, value, cubic=False, size=(45, 60)):
    """Ours and Pillow's result, as int."""
    frames = clip(*size)
    before = frames.copy()
    ours = apply_operations(frames, (ClipOperation(name, value, cubic),))
    np.testing.assert_array_equal(frames, before)
    assert ours.shape == frames.shape
    assert ours.dtype == np.uint8
    pil = np.stack([oracle.pil_operation(frame, name, value, cubic) for frame in frames])
    return ours.astype(int), pil.astype(int)


def cases(table):
    return [(name, value) for name, values in table.items() for value in values]


def test_every_operation_is_tested():
    assert set(OPERATIONS) == {*TABLES, *BLENDS, *WARPS}


@pytest.mark.parametrize(("name", "value"), cases(TABLES))
def test_lookup_tables_are_exactly_pils(name, value):
    ours, pil = both(name, value)
    np.testing.assert_array_equal(ours, pil)


@pytest.mark.parametrize(("name", "value"), cases(BLENDS))
def test_blends_are_within_one_gray_level_of_pil(name, value):
    ours, pil = both(name, value)
    assert np.abs(ours - pil).max() <= 1
    assert np.abs(ours - pil).mean() < 0.01
    if value == 1.0:
        np.testing.assert_array_equal(ours, clip())


@pytest.mark.parametrize(("name", "value"), cases(WARPS))
@pytest.mark.parametrize("size", [(45, 60), (61, 44)])
def test_linear_warps_are_within_one_gray_level_of_pil(name, value, size):
    ours, pil = both(name, value, size=size)  # PIL rounds down, OpenCV to the nearest
    assert np.abs(ours - pil).max() <= 1


@pytest.mark.parametrize(("name", "value"), cases(WARPS))
def test_cubic_warps_are_near_pils(name, value):
    ours, pil = both(name, value, cubic=True)  # PIL's kernel has another parameter
    assert np.abs(ours - pil)[:2].mean() < 3
    assert np.abs(ours - pil).max() <= 25
    flat = ours[4]
    assert set(np.unique(flat)) <= {77, 128}
    np.testing.assert_array_equal(flat, pil[4])  # the border is where PIL's is, and as sharp


@pytest.mark.parametrize(("name", "axis"), [("TranslateXRel", 1), ("TranslateYRel", 0)])
@pytest.mark.parametrize("share", [-0.31, 0.017, 0.45])
def test_cubic_interpolation_is_cubic_convolution(name, axis, share):
    frames = clip()
    ours = apply_operations(frames, (ClipOperation(name, share, True),))
    for frame, moved in zip(frames, ours, strict=True):
        exact = oracle.cubic_translation(frame, share * frame.shape[axis], axis)
        # OpenCV may keep positions to 1/32 pixel.
        assert (
            np.abs(moved - exact).mean()
            < 0.5 + np.abs(np.diff(frame.astype(int), axis=axis)).mean() / 32
        )


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@pytest.mark.parametrize("cubic", [False, True])
def test_a_still_clip_stays_still_and_frames_do_not_depend_on_each_other(name, cubic):
    value = {**TABLES, **BLENDS, **WARPS}[name][-1]
    operation = (ClipOperation(name, value, cubic),)
    still = np.repeat(clip()[:1], 4, axis=0)
    out = apply_operations(still, operation)
    assert (out == out[0]).all()
    moving = apply_operations(clip(), operation)
    for frame, alone in zip(moving, clip(), strict=True):
        np.testing.assert_array_equal(frame, apply_operations(alone[None], operation)[0])


def test_operations_follow_each_other():
    frames = clip()
    first, second = ClipOperation("Posterize", 3), ClipOperation("Rotate", 10.0)
    both_ways = [apply_operations(frames, order) for order in ((first, second), (second, first))]
    step = apply_operations(apply_operations(frames, (first,)), (second,))
    np.testing.assert_array_equal(both_ways[0], step)
    assert (both_ways[0] != both_ways[1]).any()
    assert apply_operations(frames, ()) is frames


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_frames_of_a_reversed_or_shortened_clip(name):
    operation = (ClipOperation(name, {**TABLES, **BLENDS, **WARPS}[name][-1]),)
    frames = clip()
    np.testing.assert_array_equal(
        apply_operations(frames[::-1], operation), apply_operations(frames, operation)[::-1]
    )
    cut = frames[1:3, 2:20, 3:40]
    np.testing.assert_array_equal(
        apply_operations(cut, operation), apply_operations(cut.copy(), operation)
    )


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2)])
def test_tiny_frames(name, size):
    ours, _ = both(name, {**TABLES, **BLENDS, **WARPS}[name][0], size=size)
    assert ours.shape == (5, *size, 3)
