import numpy as np
import pytest
from reference import augment as oracle

from slowfast.datasets.color import GREY_WEIGHTS, ColorJitter, color_matrix, hue_rotation


@pytest.fixture
def frames():
    return np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3))


def apply(frames, weights):
    matrix = color_matrix(weights, frames.mean((0, 1, 2)))
    return frames @ matrix[:, :3].T + matrix[:, 3]


SETTINGS = [
    {"strengths": (0.4, 0.4, 0.4), "max_hue": 0.0},
    {"strengths": (0.4, 0.4, 0.4), "max_hue": 0.1},
    {"strengths": (0.8, 0.0, 0.2), "max_hue": 0.5},
    {"strengths": (0.0, 2.0, 0.0), "max_hue": 0.0},
    {"strengths": (0.4, 0.4, 0.4), "max_hue": 0.1, "jitter_prob": 0.5, "grey_prob": 0.5},
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_one_matrix_equals_one_operation_after_the_other(frames, setting):
    brightness, contrast, saturation = setting["strengths"]
    jitter = ColorJitter(
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=setting["max_hue"],
        jitter_prob=setting.get("jitter_prob", 1.0),
        grey_prob=setting.get("grey_prob", 0.0),
    )
    for seed in range(12):
        weights = jitter.draw(np.random.default_rng(seed))
        ours = frames if weights is None else apply(frames, weights)
        expected = oracle.draw_and_jitter(frames, np.random.default_rng(seed), **setting)
        np.testing.assert_allclose(ours, expected, atol=1e-9)


def test_grey_weights_are_those_of_rgb():
    weights = ColorJitter(brightness=0, contrast=0, saturation=0, grey_prob=1.0).draw(
        np.random.default_rng(0)
    )
    red, green, blue = np.eye(3) * 255
    for pixel, share in zip((red, green, blue), (0.299, 0.587, 0.114), strict=True):
        np.testing.assert_allclose(weights[:, :3] @ pixel, 255 * share)
    assert GREY_WEIGHTS == (0.299, 0.587, 0.114)


def test_grey_commutes_with_the_jitter(frames):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        weights = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1).draw(rng)
        after = oracle.grey(apply(frames, weights))
        before = apply(oracle.grey(frames), weights)
        np.testing.assert_allclose(after, before, atol=1e-9)


def test_hue_keeps_luma_and_turns_around():
    grey = np.array(GREY_WEIGHTS)
    np.testing.assert_allclose(grey @ hue_rotation(0.2), grey, atol=1e-12)
    np.testing.assert_allclose(hue_rotation(0.0), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(hue_rotation(0.3) @ hue_rotation(0.7), np.eye(3), atol=1e-9)
    # A third of the circle, positive, takes red to where green is strongest.
    assert (hue_rotation(1 / 3) @ [1, 0, 0]).argmax() == 1


def test_contrast_keeps_the_mean_grey_of_the_clip(frames):
    weights = ColorJitter(brightness=0, contrast=0.9, saturation=0).draw(np.random.default_rng(1))
    out = apply(frames, weights)
    np.testing.assert_allclose(oracle.grey(out).mean(), oracle.grey(frames).mean())
    assert not np.allclose(out, frames)


def test_probabilities_and_factor_range():
    jitter = ColorJitter(brightness=0.4, contrast=0, saturation=0, jitter_prob=0.8, grey_prob=0.2)
    rng = np.random.default_rng(0)
    draws = [jitter.draw(rng) for _ in range(4000)]
    untouched = np.mean([weights is None for weights in draws])
    assert abs(untouched - 0.2 * 0.8) < 4 * (0.16 * 0.84 / 4000) ** 0.5
    grey = np.mean([w is not None and np.allclose(w[0], w[1]) for w in draws])
    assert abs(grey - 0.2) < 4 * (0.2 * 0.8 / 4000) ** 0.5
    factors = np.array([w[0, 0] for w in draws if w is not None and not np.allclose(w[0], w[1])])
    assert 0.6 <= factors.min() < 0.61
    assert 1.39 < factors.max() <= 1.4
    assert abs(factors.mean() - 1) < 4 * 0.231 / len(factors) ** 0.5


def test_the_order_of_operations_is_random():
    # With these ranges contrast and brightness do not commute in the offset.
    jitter = ColorJitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1)
    orders = set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        jitter.draw(rng)
        replay = np.random.default_rng(seed)
        replay.random(5)
        orders.add(tuple(replay.permutation(4)))
    assert len(orders) == 24


def test_strong_settings_never_invert_brightness():
    jitter = ColorJitter(brightness=2.0, contrast=0, saturation=0)
    rng = np.random.default_rng(0)
    factors = [jitter.draw(rng)[0, 0] for _ in range(500)]
    assert min(factors) >= 0
    assert max(factors) <= 3


def test_nothing_to_do_is_none():
    off = ColorJitter(brightness=0, contrast=0, saturation=0)
    assert off.draw(np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contrast": -0.1}, r"SSL_COLOR_BRI_CON_SAT: got \[0.4, -0.1, 0.4\]; expected numbers"),
        ({"hue": 0.6}, r"DATA.SSL_COLOR_HUE: got 0.6; expected a fraction"),
        ({"hue": -0.1}, r"DATA.SSL_COLOR_HUE: got -0.1"),
        ({"jitter_prob": 1.1}, r"DATA.SSL_JITTER_PROB: got 1.1; expected a probability"),
        ({"grey_prob": -1}, r"DATA.COLOR_RND_GRAYSCALE: got -1; expected a probability"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ColorJitter(**{"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, **change})
