import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast.config import ParameterError
from slowfast.datasets.views.crop import (
    RandomResizedCrop,
    ShiftAndScale,
    ShortSideCrop,
    check_range,
)


def sample_many(sampler, height, width, count=4000):
    rng = np.random.default_rng(0)
    return np.array([sampler.sample(height, width, rng) for _ in range(count)])


def check_inside(box, height, width):
    assert all(isinstance(value, int) for value in box)
    assert box.height >= 1
    assert box.width >= 1
    assert 0 <= box.top <= height - box.height
    assert 0 <= box.left <= width - box.width


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.integers(0, 2**32),
    st.sampled_from(
        [
            RandomResizedCrop(scale=(0.08, 1.0), aspect=(3 / 4, 4 / 3)),
            ShortSideCrop(scales=(128, 160), size=112),
            ShiftAndScale(strength=0.9),
        ]
    ),
)
def test_boxes_lie_inside_any_frame(height, width, seed, sampler):
    rng = np.random.default_rng(seed)
    for _ in range(5):
        check_inside(sampler.sample(height, width, rng), height, width)


def test_area_is_uniform_and_aspect_log_uniform():
    # A frame so large that no sample is rejected and rounding is small.
    boxes = sample_many(RandomResizedCrop(scale=(0.1, 0.5), aspect=(0.5, 2.0)), 4000, 4000)
    area = boxes[:, 2] * boxes[:, 3] / 4000**2
    log_aspect = np.log(boxes[:, 3] / boxes[:, 2])
    assert kolmogorov(area, 0.1, 0.5) < 1.95 / math.sqrt(len(area))  # p < 0.001
    assert kolmogorov(log_aspect, -math.log(2), math.log(2)) < 1.95 / math.sqrt(len(area))
    assert abs(np.corrcoef(area, log_aspect)[0, 1]) < 0.065  # four standard errors


def test_shift_and_scale_keeps_the_shape_of_the_frame():
    boxes = sample_many(ShiftAndScale(strength=0.4), 3000, 4000)
    side = boxes[:, 2] / 3000
    np.testing.assert_allclose(boxes[:, 3] / 4000, side, atol=1 / 3000)
    assert kolmogorov(side, 0.6, 1.0) < 1.95 / math.sqrt(len(side))
    boxes = boxes[boxes[:, 2] < 2990]  # room to move
    for offset in (boxes[:, 0] / (3000 - boxes[:, 2]), boxes[:, 1] / (4000 - boxes[:, 3])):
        assert kolmogorov(offset, 0.0, 1.0) < 1.95 / math.sqrt(len(boxes))


def kolmogorov(values, low, high):
    expected = (np.sort(values) - low) / (high - low)
    return abs(expected - (np.arange(len(values)) + 0.5) / len(values)).max()


@pytest.mark.parametrize(
    "sampler",
    [RandomResizedCrop(scale=(0.25, 0.25)), ShortSideCrop(scales=(8, 8), size=4)],
    ids=["resized", "short side"],
)
def test_every_position_is_reached_equally_often(sampler):
    boxes = sample_many(sampler, 8, 8)  # always 4 x 4: five positions on each axis
    assert (boxes[:, 2:] == 4).all()
    counts = np.zeros((5, 5))
    np.add.at(counts, (boxes[:, 0], boxes[:, 1]), 1)
    expected = len(boxes) / 25
    assert ((counts - expected) ** 2 / expected).sum() < 51  # 24 degrees of freedom, p < 0.001


@pytest.mark.parametrize(("height", "width"), [(40, 320), (320, 40)])
def test_very_long_frames_fall_back_to_the_center(height, width):
    sampler = RandomResizedCrop(scale=(0.9, 1.0), aspect=(3 / 4, 4 / 3))
    boxes = sample_many(sampler, height, width, count=20)
    # No box of 90 % of the area has an allowed ratio: all are the largest allowed one, centered.
    long_side = round(40 * 4 / 3)
    box = (0, (320 - long_side) // 2, 40, long_side)
    expected = box if height == 40 else (box[1], box[0], box[3], box[2])
    assert (boxes == expected).all()


def test_short_side_crop_covers_what_pyslowfast_s_two_steps_cover():
    boxes = sample_many(ShortSideCrop(scales=(256, 320), size=224), 480, 854)
    assert (boxes[:, 2] == boxes[:, 3]).all()
    scale = 224 * 480 / boxes[:, 2]  # the short side this square was cut from
    assert 255 <= scale.min() < 258
    assert 318 < scale.max() <= 321
    assert abs(scale.mean() - 288) < 4 * 18.5 / math.sqrt(len(boxes))


def test_inverse_sampling_is_uniform_in_one_over_scale():
    boxes = sample_many(ShortSideCrop(scales=(256, 512), size=224, inverse=True), 4800, 4800)
    # The side is 224 * 4800 / scale: uniform in 1 / scale is uniform in the side.
    assert kolmogorov(boxes[:, 2], 224 * 4800 / 512, 224 * 4800 / 256) < 0.05
    straight = sample_many(ShortSideCrop(scales=(256, 512), size=224), 4800, 4800)
    assert kolmogorov(straight[:, 2], 224 * 4800 / 512, 224 * 4800 / 256) > 0.1


def test_scales_below_the_crop_take_the_whole_short_side():
    boxes = sample_many(ShortSideCrop(scales=(64, 100), size=112), 60, 90, count=20)
    assert (boxes[:, 2:] == 60).all()


@pytest.mark.parametrize(
    "values", [[], [0.5], [0.0, 1.0], [0.8, 0.2], [0.1, 1.5], [0.1, 0.2, 0.3], [-1, 1]]
)
def test_malformed_ranges_are_refused(values):
    with pytest.raises(ValueError, match=r"name: got \[.*\]; expected \[low, high\], 0 < low"):
        check_range("name", values, highest=1.0)


@pytest.mark.parametrize(
    ("make", "parameter"),
    [
        (lambda: RandomResizedCrop(scale=(0.5, 1.2)), "scale"),
        (lambda: RandomResizedCrop(scale=(0.5, 1), aspect=(2, 1)), "aspect"),
        (lambda: ShortSideCrop(scales=(320, 256), size=224), "scales"),
        (lambda: ShiftAndScale(strength=1.0), "strength"),
        (lambda: ShiftAndScale(strength=-0.1), "strength"),
    ],
)
def test_samplers_name_the_parameter(make, parameter):
    with pytest.raises(ParameterError) as caught:
        make()
    assert caught.value.parameter == parameter
