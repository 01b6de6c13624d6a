import numpy as np
import pytest
from reference import augment as oracle

from slowfast.datasets.views.color import GRAY_WEIGHTS, ColorJitter, ColorParams, color_matrix


@pytest.fixture
def frames():
    return np.random.default_rng(0).uniform(0, 255, (2, 3, 4, 3))


def apply(frames, color):
    matrix = color_matrix(color, frames.mean((0, 1, 2)))
    return frames @ matrix[:, :3].T + matrix[:, 3]


COLORS = [
    ColorParams(),
    ColorParams(brightness=1.4),
    ColorParams(contrast=0.6),
    ColorParams(saturation=1.4),
    ColorParams(hue=0.1),
    ColorParams(0.7, 1.3, 0.6, 0.0),
    ColorParams(1.3, 0.6, 1.4, -0.25),
    ColorParams(1.2, 1.2, 0.0, 0.5),
]


@pytest.mark.parametrize("color", COLORS)
def test_one_matrix_equals_one_operation_after_the_other(frames, color):
    np.testing.assert_allclose(apply(frames, color), oracle.jitter(frames, color), atol=1e-9)


def test_gray_is_saturation_zero_wherever_it_comes(frames):
    color = ColorParams(1.3, 0.6, 0.0, 0.1)
    colored = color._replace(saturation=1.2)
    np.testing.assert_allclose(
        apply(frames, color), oracle.gray(oracle.jitter(frames, colored)), atol=1e-9
    )
    np.testing.assert_allclose(
        apply(frames, color), oracle.jitter(oracle.gray(frames), colored), atol=1e-9
    )


def test_hue_keeps_luma_and_goes_around_the_circle():
    def turn(hue):
        return color_matrix(ColorParams(hue=hue), np.zeros(3))[:, :3]

    np.testing.assert_allclose(np.array(GRAY_WEIGHTS) @ turn(0.2), GRAY_WEIGHTS, atol=1e-12)
    np.testing.assert_allclose(turn(0.3) @ turn(0.7), np.eye(3), atol=1e-9)
    assert (turn(1 / 3) @ [1, 0, 0]).argmax() == 1  # red becomes greenish
    assert (turn(-1 / 3) @ [1, 0, 0]).argmax() == 2


def test_factors_are_uniform_in_their_ranges():
    jitter = ColorJitter(brightness=0.4, contrast=0.2, saturation=0.1, hue=0.05)
    rng = np.random.default_rng(0)
    sampled = np.array([jitter.sample(rng) for _ in range(4000)])
    low, high = np.array([[0.6, 0.8, 0.9, -0.05], [1.4, 1.2, 1.1, 0.05]])
    scaled = (sampled - low) / (high - low)
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    expected = ((np.arange(4000) + 0.5) / 4000)[:, None]
    # Kolmogorov-Smirnov, p < 0.001 each.
    assert (abs(np.sort(scaled, axis=0) - expected).max(axis=0) < 1.95 / 4000**0.5).all()
    assert abs(np.corrcoef(scaled.T) - np.eye(4)).max() < 0.065


def test_probabilities_of_jitter_and_gray():
    jitter = ColorJitter(
        brightness=0.4, contrast=0.4, saturation=0.4, jitter_prob=0.8, gray_prob=0.2
    )
    rng = np.random.default_rng(0)
    sampled = [jitter.sample(rng) or ColorParams() for _ in range(4000)]
    jittered = np.mean([color.brightness != 1 for color in sampled])
    gray = np.mean([color.saturation == 0 for color in sampled])
    both = np.mean([color.brightness != 1 and color.saturation == 0 for color in sampled])
    assert abs(jittered - 0.8) < 4 * (0.8 * 0.2 / 4000) ** 0.5
    assert abs(gray - 0.2) < 4 * (0.2 * 0.8 / 4000) ** 0.5
    assert abs(both - 0.16) < 4 * (0.16 * 0.84 / 4000) ** 0.5


def test_strong_settings_never_go_negative():
    jitter = ColorJitter(brightness=2.0, contrast=2.0, saturation=2.0)
    rng = np.random.default_rng(0)
    sampled = np.array([jitter.sample(rng) for _ in range(500)])
    assert sampled[:, :3].min() >= 0
    assert sampled[:, :3].max() <= 3


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_nothing_to_do_is_none(prob):
    off = ColorJitter(brightness=0, contrast=0, saturation=0, jitter_prob=prob)
    assert off.sample(np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contrast": -0.1}, r"contrast: got -0.1; expected a number >= 0"),
        ({"hue": 0.6}, r"hue: got 0.6; expected a fraction"),
        ({"hue": -0.1}, r"hue: got -0.1"),
        ({"jitter_prob": 1.1}, r"jitter_prob: got 1.1; expected a probability"),
        ({"gray_prob": -1}, r"gray_prob: got -1; expected a probability"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ColorJitter(**{"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, **change})
