import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slowfast.datasets.views import sampling
from slowfast.datasets.views.sampling import (
    clip_duration_sec,
    frame_times,
    random_clip_start,
)

seconds = st.floats(0, 1000, allow_nan=False)


def test_a_clip_lasts_as_long_as_its_frames_bins():
    assert clip_duration_sec(16, 2, 30.0) == pytest.approx(32 / 30)
    assert clip_duration_sec(1, 1, 30.0) == pytest.approx(1 / 30)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0, 1, 30.0), "num_frames"),
        ((8, 0, 30.0), "sampling_rate"),
        ((8, 1, 0.0), "target_fps"),
        ((8, 1, float("nan")), "target_fps"),
    ],
)
def test_numbers_must_be_positive(arguments, name):
    with pytest.raises(ValueError, match=f"{name}: got"):
        clip_duration_sec(*arguments)


def test_frame_times_are_the_centers_of_bins():
    np.testing.assert_allclose(frame_times(1.0, 4, 1, 2.0), [1.25, 1.75, 2.25, 2.75])


def test_frame_times_see_every_frame_of_a_video_of_the_target_rate_once():
    for start_frame in range(0, 300, 7):
        times = frame_times(start_frame / 29.97, 32, 1, 29.97)
        np.testing.assert_array_equal(np.floor(times * 29.97), start_frame + np.arange(32))


def test_frame_times_stay_inside_the_clip():
    times = frame_times(2.0, 8, 8, 30.0)
    assert times.dtype == np.float64
    assert times[0] > 2.0
    assert times[-1] < 2.0 + clip_duration_sec(8, 8, 30.0)


@given(seconds, seconds, seconds, st.integers(0, 2**32))
def test_a_random_clip_lies_inside_or_starts_at_the_start(start, length, clip_sec, seed):
    begin = random_clip_start(start, start + length, clip_sec, np.random.default_rng(seed))
    if clip_sec >= length:
        assert begin == pytest.approx(start)
    else:
        assert start <= begin <= start + length - clip_sec + 1e-9


def test_random_starts_are_uniform_over_all_valid_ones():
    rng = np.random.default_rng(0)
    starts = np.array([random_clip_start(1.0, 11.0, 2.0, rng) for _ in range(4000)])
    assert starts.min() < 1.05
    assert starts.max() > 8.95
    counts, _ = np.histogram(starts, bins=8, range=(1.0, 9.0))
    assert abs(counts - 500).max() < 5 * np.sqrt(500)


@pytest.mark.parametrize("clip_sec", [0.5, 50.0])
def test_a_random_start_takes_one_number_from_the_generator_whatever_the_video(clip_sec):
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    random_clip_start(0.0, 10.0, clip_sec, rng)
    other.random()
    assert rng.random() == other.random()


@given(seconds, st.floats(1, 100), st.floats(0.1, 1), st.integers(2, 30))
def test_test_clips_cover_the_video_from_its_start_to_its_end(start, length, clip_sec, views):
    starts = sampling.even_clip_starts(start, start + length, clip_sec, views)
    assert starts.shape == (views,)
    assert starts[0] == start
    assert starts[-1] + clip_sec == pytest.approx(start + length)
    np.testing.assert_allclose(np.diff(starts), (length - clip_sec) / (views - 1), atol=1e-9)


def test_one_test_clip_lies_in_the_center_and_those_of_a_short_video_at_its_start():
    np.testing.assert_allclose(sampling.even_clip_starts(1.0, 5.0, 2.0, 1), [2.0])
    np.testing.assert_array_equal(sampling.even_clip_starts(1.0, 2.0, 3.0, 3), [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(sampling.even_clip_starts(1.0, 2.0, 3.0, 1), [1.0])


def test_test_clips_need_a_view():
    with pytest.raises(ValueError, match="num_views: got 0"):
        sampling.even_clip_starts(0.0, 1.0, 0.5, 0)
