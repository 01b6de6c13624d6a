import numpy as np
import pytest
from reference import augment as oracle

from slowfast.config import get_cfg
from slowfast.datasets.views.crop import RandomResizedCrop, ShiftAndScale, ShortSideCrop
from slowfast.datasets.views.eval_transform import (
    EvalTransform,
    build_test_transform,
    build_val_transform,
)
from slowfast.datasets.views.transform import TrainTransform, build_train_transform, check_views


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.DATA.TRAIN_CROP_SIZE = 24
    cfg.DATA.TEST_CROP_SIZE = 28
    cfg.DATA.TRAIN_JITTER_SCALES = [32, 40]
    return cfg


@pytest.fixture
def pretrain_cfg(cfg):
    cfg.merge_from_list(
        [
            *("DATA.TRAIN_JITTER_SCALES_RELATIVE", [0.14, 1.0]),
            *("DATA.TRAIN_JITTER_ASPECT_RELATIVE", [0.75, 1.3333]),
            *("DATA.SSL_COLOR_JITTER", True, "DATA.SSL_MOCOV2_AUG", True),
            *("DATA.COLOR_RND_GRAYSCALE", 0.2, "DATA.SSL_COLOR_HUE", 0.0),
        ]
    )
    return cfg


def make_frames(height, width, count=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def position_frames(height, width):
    """Frames that say where each pixel came from: red counts columns, green rows."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, 0 * rows], axis=-1)[None].astype(np.uint8)


# -- training --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(36, 48), (48, 36), (10, 12), (20, 160), (1, 1)])
def test_training_views_have_the_crop_size_whatever_the_source(pretrain_cfg, cfg, height, width):
    frames = make_frames(height, width)
    for config in (pretrain_cfg, cfg):
        transform = build_train_transform(config)
        for seed in range(10):
            view = transform(frames, np.random.default_rng(seed))
            assert view.shape == (3, 24, 24, 3)
            assert view.dtype == np.uint8
            assert view.flags.c_contiguous


def test_the_same_generator_gives_the_same_pixels(pretrain_cfg):
    frames, transform = make_frames(36, 48), build_train_transform(pretrain_cfg)
    views = [transform(frames, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(views[0], views[1])
    assert (views[0] != views[2]).any()


def test_rates_of_flip_jitter_gray_and_blur(pretrain_cfg):
    transform, rng = build_train_transform(pretrain_cfg), np.random.default_rng(0)
    sampled = [transform.sample(36, 48, rng) for _ in range(4000)]
    rates = {
        "flip": (np.mean([d.flip for d in sampled]), 0.5),
        "color": (np.mean([d.color is not None for d in sampled]), 1 - 0.2 * 0.8),
        "blur": (np.mean([d.blur_sigma > 0 for d in sampled]), 0.5),
    }
    for name, (seen, expected) in rates.items():
        assert abs(seen - expected) < 4 * (expected * (1 - expected) / 4000) ** 0.5, name
    assert max(d.blur_sigma for d in sampled) <= 2.0


def test_the_supervised_pipeline_only_crops_and_flips(cfg):
    transform = build_train_transform(cfg)
    assert isinstance(transform.crop, ShortSideCrop)
    rng = np.random.default_rng(0)
    sampled = [transform.sample(36, 48, rng) for _ in range(50)]
    assert all(d.color is None and d.blur_sigma == 0 for d in sampled)
    assert {d.flip for d in sampled} == {True, False}
    cfg.DATA.RANDOM_FLIP, cfg.DATA.INV_UNIFORM_SAMPLE = False, True
    assert not any(build_train_transform(cfg).sample(36, 48, rng).flip for _ in range(50))
    assert build_train_transform(cfg).crop.inverse


def test_the_supervised_pipeline_shows_the_box_that_was_sampled(cfg):
    cfg.DATA.RANDOM_FLIP = False
    transform, frames = build_train_transform(cfg), make_frames(36, 48)
    box = transform.sample(36, 48, np.random.default_rng(3)).box
    view = transform(frames, np.random.default_rng(3))
    source = frames[:, box.top :, box.left :][:, : box.height, : box.width].astype(float)
    assert abs(view - oracle.resize(source, 24, 24)).max() <= 1.0


def test_what_the_configuration_says_is_built(pretrain_cfg):
    pretrain_cfg.merge_from_list(
        [
            *("DATA.SSL_JITTER_PROB", 0.7, "DATA.SSL_BLUR_PROB", 0.3, "DATA.SSL_COLOR_HUE", 0.05),
            *("DATA.SSL_BLUR_SIGMA_MAX", [0.0, 1.5]),
            *("DATA.SSL_COLOR_BRI_CON_SAT", [0.1, 0.2, 0.3]),
        ]
    )
    transform = build_train_transform(pretrain_cfg)
    assert transform.crop == RandomResizedCrop(scale=[0.14, 1.0], aspect=[0.75, 1.3333])
    color = transform.color
    assert (color.brightness, color.contrast, color.saturation) == (0.1, 0.2, 0.3)
    assert (color.hue, color.jitter_prob, color.gray_prob) == (0.05, 0.7, 0.2)
    assert (tuple(transform.blur.sigma), transform.blur.prob) == ((0.1, 1.5), 0.3)
    pretrain_cfg.DATA.SSL_MOCOV2_AUG = False
    plain = build_train_transform(pretrain_cfg)
    assert plain.color.jitter_prob == 1.0
    assert plain.blur is None
    pretrain_cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE = []
    assert build_train_transform(pretrain_cfg).crop.aspect == (1.0, 1.0)
    pretrain_cfg.DATA.SSL_COLOR_JITTER = False
    assert build_train_transform(pretrain_cfg).color is None


# -- evaluation ------------------------------------------------------------------------------------


def test_jitter_crops_a_random_part_of_the_frames():
    sizes = {"short_side": 16, "size": 12, "num_crops": 3}
    frames, jitter = make_frames(40, 60), ShiftAndScale(strength=0.5)
    top, left, height, width = jitter.sample(40, 60, np.random.default_rng(3))
    part = frames[:, top : top + height, left : left + width]
    assert part.shape[1] < 40
    got = EvalTransform(**sizes, jitter=jitter).all_crops(frames, np.random.default_rng(3))
    np.testing.assert_array_equal(got, EvalTransform(**sizes).all_crops(part))


@pytest.mark.parametrize("upright", [False, True])
def test_three_crops_are_left_center_right(upright):
    shape = (60, 20) if upright else (20, 60)
    transform = EvalTransform(short_side=20, size=20, num_crops=3)
    crops = transform.all_crops(position_frames(*shape))
    assert crops.shape == (3, 1, 20, 20, 3)
    along, across = (1, 0) if upright else (0, 1)  # green counts rows, red columns
    for crop, start in zip(crops[:, 0], (0, 20, 40), strict=True):
        assert (crop[..., along].min(), crop[..., along].max()) == (start, start + 19)
        assert (crop[..., across].min(), crop[..., across].max()) == (0, 19)


def test_one_crop_scales_to_the_short_side_and_takes_the_center():
    transform = EvalTransform(short_side=20, size=15)
    crops = transform.all_crops(position_frames(20, 31))
    assert crops.shape == (1, 1, 15, 15, 3)
    # PySlowFast rounds half a pixel up: 5 spare rows give 3, 16 spare columns give 8.
    assert (crops[0, 0, 0, 0] == [8, 3, 0]).all()


def test_a_single_crop_is_the_same_as_among_all():
    frames = make_frames(33, 57)
    transform = EvalTransform(short_side=24, size=20, num_crops=3)
    for number, crop in enumerate(transform.all_crops(frames)):
        np.testing.assert_array_equal(transform(frames, spatial_crop=number), crop)
    np.testing.assert_array_equal(transform(frames), transform(frames, spatial_crop=1))


def test_evaluation_ignores_the_generator():
    frames, transform = make_frames(33, 57), EvalTransform(short_side=24, size=20)
    rng = np.random.default_rng(0)
    first = transform(frames, rng)
    np.testing.assert_array_equal(first, transform(frames, rng))
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


@pytest.mark.parametrize("shape", [(50, 90), (90, 50), (51, 67)])
def test_geometry_is_pyslowfast_s(shape):
    """Short side to 28, long side rounded down, then the cut: pixel for pixel."""
    frames = make_frames(*shape)
    height, width = shape
    short = min(shape)
    new_h, new_w = (int(side * 28 / short) for side in shape)
    area = short / 28 >= 1.5
    scaled = oracle.resize(frames.astype(float), new_h, new_w, area=area)
    left = -(-(new_w - 28) // 2) if width > height else 0
    top = -(-(new_h - 28) // 2) if height > width else 0
    ours = EvalTransform(short_side=28, size=28, num_crops=3)(frames)
    assert abs(ours - scaled[:, top : top + 28, left : left + 28]).max() <= 1.0


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 40), (40, 5), (1, 1)])
@pytest.mark.parametrize("num_crops", [1, 3])
def test_small_sources_are_enlarged(height, width, num_crops):
    transform = EvalTransform(short_side=10, size=28, num_crops=num_crops)
    assert transform.all_crops(make_frames(height, width)).shape == (num_crops, 3, 28, 28, 3)


def test_square_sources_give_the_same_crop_three_times():
    crops = EvalTransform(short_side=28, size=28, num_crops=3).all_crops(make_frames(40, 40))
    assert (crops == crops[:1]).all()


def test_test_and_val_follow_the_configuration(cfg):
    cfg.TEST.NUM_SPATIAL_CROPS = 3
    test = build_test_transform(cfg)
    assert (test.short_side, test.size, test.num_crops) == (28, 28, 3)
    cfg.TEST.NUM_SPATIAL_CROPS = 1
    test = build_test_transform(cfg)
    assert (test.short_side, test.size, test.num_crops) == (32, 28, 1)
    val = build_val_transform(cfg)
    assert (val.short_side, val.size, val.num_crops) == (32, 24, 1)


# -- errors ----------------------------------------------------------------------------------------


def test_what_is_not_a_clip_is_refused(cfg):
    train, test = build_train_transform(cfg), build_test_transform(cfg)
    for call in (lambda f: train(f, np.random.default_rng(0)), test, test.all_crops):
        with pytest.raises(ValueError, match=r"frames: got float64 .*expected uint8 \(T, H, W, 3"):
            call(np.zeros((2, 8, 8, 3)))


def test_an_unknown_spatial_crop_is_refused():
    with pytest.raises(ValueError, match="spatial_crop: got 3; expected 0, 1 or 2"):
        EvalTransform(short_side=8, size=8)(make_frames(8, 8), spatial_crop=3)


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="size: got 0; expected a size in pixels"):
        TrainTransform(ShortSideCrop(scales=(8, 8), size=8), size=0)
    with pytest.raises(ValueError, match="size: got -1"):
        EvalTransform(short_side=8, size=-1)
    with pytest.raises(ValueError, match="short_side: got 0"):
        EvalTransform(short_side=0, size=8)
    with pytest.raises(ValueError, match=r"num_crops: got 2; expected 1 .* or 3"):
        EvalTransform(short_side=8, size=8, num_crops=2)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("DATA.SSL_COLOR_BRI_CON_SAT", [0.4], r"expected \[brightness, contrast, saturation\]"),
        ("DATA.SSL_COLOR_BRI_CON_SAT", [0.4, 0.4, -0.1], "got -0.1; expected a number >= 0"),
        ("DATA.SSL_COLOR_HUE", 0.6, "expected a fraction of the color circle"),
        ("DATA.SSL_JITTER_PROB", 1.1, "expected a probability"),
        ("DATA.COLOR_RND_GRAYSCALE", -1.0, "expected a probability"),
        ("DATA.SSL_BLUR_SIGMA_MAX", [1.0, 2.0], r"expected \[0.0, pixels\]: no blur in time"),
        ("DATA.SSL_BLUR_SIGMA_MIN", [0.1], r"expected \[0.0, pixels\]"),
        ("DATA.SSL_BLUR_SIGMA_MIN", [0.0, 3.0], "more than DATA.SSL_BLUR_SIGMA_MAX"),
        ("DATA.SSL_BLUR_PROB", 2.0, "expected a probability"),
        ("DATA.TRAIN_JITTER_SCALES_RELATIVE", [0.5, 2.0], "0 < low <= high <= 1"),
        ("DATA.TRAIN_JITTER_ASPECT_RELATIVE", [2.0, 1.0], "0 < low <= high"),
        ("TEST.SPATIAL_JITTER", 1.0, ">= 0 and < 1"),
        ("TEST.NUM_SPATIAL_CROPS", 5, "expected 1"),
        ("DATA.TRAIN_CROP_SIZE", 0, "size in pixels"),
    ],
)
def test_the_check_reports_the_key_and_the_builder_agrees(pretrain_cfg, key, value, message):
    assert check_views(pretrain_cfg) == []
    pretrain_cfg.merge_from_list([key, value])
    problems = check_views(pretrain_cfg)
    assert [problem.key for problem in problems][:1] == [key]
    build = build_test_transform if key.startswith("TEST") else build_train_transform
    with pytest.raises(ValueError, match=f"{key}: .*{message}"):
        build(pretrain_cfg)


def test_empty_scales_are_reported_once(cfg):
    cfg.DATA.TRAIN_JITTER_SCALES = []
    cfg.TEST.NUM_SPATIAL_CROPS = 1
    assert [problem.key for problem in check_views(cfg)] == ["DATA.TRAIN_JITTER_SCALES"]


def test_blur_without_color_jitter_is_reported(pretrain_cfg):
    pretrain_cfg.DATA.SSL_COLOR_JITTER = False
    (problem,) = check_views(pretrain_cfg)
    assert str(problem) == (
        "DATA.SSL_MOCOV2_AUG: got True, which requires color jitter; set DATA.SSL_COLOR_JITTER "
        "True as well."
    )


def test_pyslowfast_s_defaults_have_no_problem():
    assert check_views(get_cfg()) == []
