"""Tolerances are in gray levels. One rounding to uint8 costs at most 0.5; OpenCV's own fixed-point
interpolation adds up to 0.5, its matrices of 10 bits up to 0.25."""

import cv2
import numpy as np
import pytest
from reference import augment as oracle

from slowfast.datasets.views.color import ColorParams
from slowfast.datasets.views.crop import Box
from slowfast.datasets.views.functional import (
    Blur,
    ViewParams,
    apply_view,
    check_frames,
    crop_resize,
    use_one_thread,
)


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (3, 40, 56, 3), dtype=np.uint8)


def check_close(ours, expected, *, mean, largest):
    difference = abs(ours.astype(float) - np.clip(expected, 0, 255))
    assert difference.max() <= largest, difference.max()
    assert difference.mean() <= mean, difference.mean()


def cut(frames, box):
    return frames[:, box.top :, box.left :][:, : box.height, : box.width].astype(float)


@pytest.mark.parametrize(
    ("box", "height", "width", "area"),
    [
        (Box(3, 5, 20, 30), 32, 32, False),  # enlarge both
        (Box(0, 0, 40, 56), 32, 40, False),  # shrink by 1.25 and 1.4: still linear
        (Box(10, 0, 30, 20), 24, 28, False),  # shrink one, enlarge the other
        (Box(0, 8, 40, 48), 20, 24, True),  # shrink by two
        (Box(0, 0, 40, 56), 17, 19, True),  # shrink by an odd factor
        (Box(39, 55, 1, 1), 8, 8, False),  # one pixel
        (Box(0, 0, 40, 56), 1, 1, True),
    ],
)
def test_crop_resize_equals_the_oracle(frames, box, height, width, area):
    ours = crop_resize(frames, box, height, width)
    expected = oracle.resize(cut(frames, box), height, width, area=area)
    assert ours.shape == (3, height, width, 3)
    assert ours.flags.c_contiguous
    check_close(ours, expected, mean=0.3, largest=1.0)


def test_without_scaling_it_is_a_copy(frames):
    out = crop_resize(frames, Box(2, 3, 10, 12), 10, 12)
    np.testing.assert_array_equal(out, frames[:, 2:12, 3:15])
    assert not np.shares_memory(out, frames)


@pytest.mark.parametrize("sigma", [0.1, 0.4, 0.7, 1.3, 2.0, 3.0])
def test_blur_equals_the_oracle_on_both_axes(frames, sigma):
    params = ViewParams(Box(4, 4, 32, 32), blur_sigma=sigma)
    expected = oracle.blur(cut(frames, params.box), sigma)
    check_close(apply_view(frames, params, 32), expected, mean=0.3, largest=1.0)


def test_colors_are_changed_in_every_pixel(frames):
    color, box = ColorParams(1.3, 0.7, 1.4, 0.1), Box(0, 0, 32, 32)
    expected = oracle.jitter(cut(frames, box), color)
    check_close(
        apply_view(frames, ViewParams(box, color=color), 32), expected, mean=0.3, largest=0.75
    )
    assert (np.clip(expected, 0, 255) != expected).any(), "nothing was clipped: a weak test"


def test_the_contrast_pivot_is_the_mean_of_the_clip():
    clip = np.stack([np.full((8, 8, 3), 50, np.uint8), np.full((8, 8, 3), 150, np.uint8)])
    out = apply_view(clip, ViewParams(Box(0, 0, 8, 8), color=ColorParams(contrast=0.5)), 8)
    np.testing.assert_array_equal(out[:, 0, 0, 0], [75, 125])  # towards 100, not 50 and 150


@pytest.mark.parametrize("seed", range(6))
def test_the_whole_view_equals_the_operations_one_by_one(frames, seed):
    smooth = np.clip(oracle.blur(frames.astype(float), 2.0) * 3 - 255, 0, 255).astype(np.uint8)
    rng = np.random.default_rng(seed)
    color = ColorParams(*rng.uniform(0.6, 1.4, 3), hue=rng.uniform(-0.1, 0.1))
    box, sigma = Box(2 + seed, 7, 30 - seed, 28), 0.3 + 0.3 * seed
    ours = apply_view(smooth, ViewParams(box, seed % 2 == 0, color, sigma), 24)
    expected = oracle.jitter(oracle.resize(cut(smooth, box), 24, 24), color, rng.permutation(4))
    expected = np.clip(expected, 0, 255)  # ours clips once, where the matrix is applied
    expected = expected[:, :, ::-1] if seed % 2 == 0 else expected
    # Each of three roundings is amplified by contrast and brightness, at most 1.4 * 1.4.
    check_close(ours, oracle.blur(expected, sigma), mean=0.6, largest=3.0)


def test_the_source_is_not_changed_and_the_result_repeats(frames):
    before = frames.copy()
    params = ViewParams(Box(0, 0, 32, 32), True, ColorParams(brightness=0.5), 1.0)
    first, second = (apply_view(frames, params, 32) for _ in range(2))
    np.testing.assert_array_equal(frames, before)
    np.testing.assert_array_equal(first, second)


def test_read_only_and_rotated_frames_work(frames):
    turned = np.rot90(frames, axes=(1, 2))  # a view with a negative stride, as from rotated video
    turned.flags.writeable = False
    params = ViewParams(Box(1, 2, 30, 20), True, None, 0.5)
    expected = apply_view(np.ascontiguousarray(turned), params, 16)
    np.testing.assert_array_equal(apply_view(turned, params, 16), expected)


def test_blur_samples_sigma_uniformly_with_a_probability():
    blur = Blur(sigma=(0.1, 2.0), prob=0.5)
    rng = np.random.default_rng(0)
    sampled = np.array([blur.sample(rng) for _ in range(4000)])
    on = sampled[sampled > 0]
    assert abs(len(on) / 4000 - 0.5) < 4 * 0.5 / 4000**0.5
    assert 0.1 <= on.min() < 0.12
    assert 1.98 < on.max() < 2.0
    assert abs(on.mean() - 1.05) < 4 * 0.55 / len(on) ** 0.5


@pytest.mark.parametrize(
    ("sigma", "prob", "message"),
    [
        ((2.0, 0.1), 0.5, r"sigma: got 2.0 to 0.1; expected"),
        ((-1.0, 0.1), 0.5, r"sigma: got -1.0"),
        ((0.1, 2.0), 1.5, r"prob: got 1.5; expected a probability"),
    ],
)
def test_blur_refuses_values_out_of_range(sigma, prob, message):
    with pytest.raises(ValueError, match=message):
        Blur(sigma=sigma, prob=prob)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
)
def test_what_is_not_a_clip_is_refused(bad):
    with pytest.raises(ValueError, match=r"frames: got .*; expected uint8 \(T, H, W, 3\)"):
        check_frames(bad)


def test_use_one_thread():
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        use_one_thread()
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)
