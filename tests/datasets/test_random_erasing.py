"""Random erasing against an oracle, and the areas, ratios and contents of its boxes."""

import numpy as np
import pytest
from reference import classifier_augment as oracle

from slowfast.config import ParameterError, get_cfg
from slowfast.datasets.views.random_erasing import MODES, RandomErasing, erase
from slowfast.datasets.views.transform import build_train_transform, check_views

SIZE = 64


def patches(count=500, size=SIZE, **settings):
    sampler, rng = RandomErasing(**{"prob": 1.0, **settings}), np.random.default_rng(0)
    return [sampler.sample(size, rng) for _ in range(count)]


def frames_of(count=3, size=SIZE):
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("max_count", [1, 3])
def test_boxes_are_replaced_in_every_frame(mode, max_count):
    frames = frames_of()
    for sampled in patches(5, mode=mode, max_count=max_count):
        expected = frames
        for box, pixels in sampled:
            expected = np.stack([oracle.erase_pixels(f, box, pixels) for f in expected])
        out = frames.copy()
        erase(out, sampled)
        np.testing.assert_array_equal(out, expected)
        assert (out != frames).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_still_clip_stays_still(mode):
    still = np.repeat(frames_of(1), 4, axis=0)
    for sampled in patches(20, mode=mode):
        out = still.copy()
        erase(out, sampled)
        assert (out == out[0]).all()


def test_areas_and_ratios_are_timms():
    boxes = [sampled[0].box for sampled in patches(4000, size=224, mode="const")]
    areas = np.array([box.height * box.width / 224**2 for box in boxes])
    assert 0.019 < areas.min() < 0.03
    assert 0.32 < areas.max() < 0.335
    assert areas.mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.01)
    ratios = np.log([box.height / box.width for box in boxes])
    assert np.abs(ratios).max() < np.log(1 / 0.3) + 0.05
    assert ratios.mean() == pytest.approx(0, abs=0.05)
    assert ratios.std() == pytest.approx(2 * np.log(1 / 0.3) / np.sqrt(12), abs=0.05)
    for box in boxes:
        assert 0 <= box.top <= 224 - box.height
        assert 0 <= box.left <= 224 - box.width
    centers = np.array([(b.top / (224 - b.height), b.left / (224 - b.width)) for b in boxes])
    assert centers.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.03)


def test_several_boxes_share_the_area():
    sampled = patches(3000, size=224, mode="const", max_count=4)
    counts = np.array([len(boxes) for boxes in sampled])
    assert np.bincount(counts)[1:] / 3000 == pytest.approx([0.25] * 4, abs=0.03)
    areas = [sum(box.height * box.width for box, _ in boxes) / 224**2 for boxes in sampled]
    assert np.mean(areas) == pytest.approx((0.02 + 1 / 3) / 2, abs=0.01)


def test_probability():
    assert np.mean([len(s) for s in patches(4000, prob=0.25, mode="const")]) == pytest.approx(
        0.25, abs=0.02
    )
    assert not any(patches(100, prob=0.0))


def test_contents_follow_the_mean_and_the_standard_deviation():
    mean, std = (0.5, 0.4, 0.45), (0.1, 0.05, 0.08)
    (constant,) = patches(1, mode="const", mean=mean, std=std)
    assert constant[0].pixels.tolist() == [[[128, 102, 115]]]
    noise = np.concatenate(
        [s[0].pixels.reshape(-1, 3) for s in patches(50, mode="pixel", mean=mean, std=std)]
    )
    assert noise.mean(axis=0) / 255 == pytest.approx(mean, abs=0.002)
    assert noise.std(axis=0) / 255 == pytest.approx(std, abs=0.002)
    colors = np.array([s[0].pixels for s in patches(3000, mode="rand", mean=mean, std=std)])
    assert colors.shape == (3000, 1, 1, 3)
    assert colors.mean(axis=(0, 1, 2)) / 255 == pytest.approx(mean, abs=0.01)
    assert colors.std(axis=(0, 1, 2)) / 255 == pytest.approx(std, abs=0.01)


def test_a_tiny_crop_without_room_for_a_box_is_left_alone():
    assert patches(20, size=1) == [()] * 20


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("AUG.RE_PROB", 1.5, "expected a probability in"),
        ("AUG.RE_PROB", -0.1, "expected a probability in"),
        ("AUG.RE_MODE", "pixels", "Did you mean 'pixel'?"),
        ("AUG.RE_COUNT", 0, "expected 1 or more"),
    ],
)
def test_wrong_values_name_their_key(key, value, message):
    cfg = get_cfg()
    cfg.merge_from_list(["AUG.ENABLE", True, key, value])
    (problem,) = check_views(cfg)
    assert problem.key == key
    assert message in problem.message


def test_the_class_refuses_them_too():
    with pytest.raises(ParameterError, match="mode"):
        RandomErasing(prob=0.5, mode="none")


def test_the_transform_erases_the_finished_crop():
    cfg = get_cfg()
    cfg.merge_from_list(
        [
            *("DATA.TRAIN_CROP_SIZE", 32, "AUG.ENABLE", True, "AUG.AA_TYPE", ""),
            *("AUG.COLOR_JITTER", 0.0, "AUG.RE_PROB", 1.0, "AUG.RE_MODE", "Const"),
            *("DATA.MEAN", [0.0, 1.0, 0.0]),
        ]
    )
    transform = build_train_transform(cfg)
    frames = frames_of() // 2 + 64
    for seed in range(10):
        params = transform.sample(SIZE, SIZE, np.random.default_rng(seed))
        view = transform(frames, np.random.default_rng(seed))
        (patch,) = params.patches
        erased = (view == (0, 255, 0)).all(axis=-1)
        assert erased.sum() == len(frames) * patch.box.height * patch.box.width
        clean = transform.without_erasing()(frames, np.random.default_rng(seed))
        np.testing.assert_array_equal(view[~erased], clean[~erased])
        assert not (clean == (0, 255, 0)).all(axis=-1).any()
