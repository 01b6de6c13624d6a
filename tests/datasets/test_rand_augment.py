"""RandAugment: its string, what is sampled, and the transform that applies it."""

from collections import Counter

import numpy as np
import pytest
from reference import classifier_augment as oracle

from slowfast.config import ConfigValueError, ParameterError, get_cfg
from slowfast.datasets.views.clip_operations import OPERATIONS
from slowfast.datasets.views.rand_augment import RandAugment
from slowfast.datasets.views.transform import build_train_transform, check_views

GEOMETRIC = {"Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}


def samples(text, count=3000, interpolation="bicubic"):
    sampler, rng = RandAugment.parse(text, interpolation), np.random.default_rng(0)
    return [sampler.sample(rng) for _ in range(count)]


def values(text, name, **options):
    return [op.value for ops in samples(text, **options) for op in ops if op.name == name]


def test_pyslowfasts_strings():
    assert RandAugment.parse("rand-m9-mstd0.5-inc1") == RandAugment(
        magnitude=9, num_operations=2, std=0.5, increasing=True
    )
    assert RandAugment.parse("rand-m7-n4-mstd0.5-inc1") == RandAugment(
        magnitude=7, num_operations=4, std=0.5, increasing=True
    )
    assert RandAugment.parse("rand-inc1-n3-w0-m0") == RandAugment(
        magnitude=0, num_operations=3, increasing=True, weighted=True
    )
    assert RandAugment.parse("rand-inc0") == RandAugment(magnitude=10, num_operations=2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("augmix-m3", "does not start with 'rand'"),
        ("random-m9", "does not start with 'rand'"),
        ("rand-m9-x1", "'x1' is not an option"),
        ("rand-m9--n2", "'' is not an option"),
        ("rand_m9", "does not start with 'rand'"),
        ("rand-m", "'m' is not an option"),
        ("rand-m9.5", "'m9.5' is not a whole number"),
        ("rand-m-3", "'m' is not an option"),
        ("rand-m11", "option 'm' is out of range"),
        ("rand-n0", "option 'n' is out of range"),
        ("rand-n14-w0", "at most n13"),
        ("rand-inc2", "'inc' is 0 or 1"),
        ("rand-w1", "'w' is 0"),
        ("rand-m3-m4", "option 'm' is given twice"),
        ("rand-mstdx", "'mstdx' is not an option"),
        ("RAND-m9", "does not start with 'rand'"),
    ],
)
def test_a_bad_string_is_one_error_that_names_the_key(text, reason):
    cfg = get_cfg()
    cfg.merge_from_list(["AUG.ENABLE", True, "AUG.AA_TYPE", text])
    with pytest.raises(ConfigValueError) as caught:
        build_train_transform(cfg)
    assert caught.value.problem.key == "AUG.AA_TYPE"
    for part in (repr(text), reason, "rand-m7-n4-mstd0.5-inc1", "mstd (0 or more)"):
        assert part in caught.value.problem.message
    assert [problem.key for problem in check_views(cfg)] == ["AUG.AA_TYPE"]
    cfg.TRAIN.ENABLE = False  # a run that only tests keeps any recipe
    assert check_views(cfg) == []


def test_an_unknown_interpolation_names_its_key():
    cfg = get_cfg()
    cfg.merge_from_list(["AUG.ENABLE", True, "AUG.INTERPOLATION", "lanczos"])
    (problem,) = check_views(cfg)
    assert problem.key == "AUG.INTERPOLATION"
    assert "'bilinear', 'bicubic', 'random'" in problem.message


@pytest.mark.parametrize(("name", "value"), [("magnitude", 11), ("std", -1.0), ("std", np.inf)])
def test_values_out_of_range(name, value):
    with pytest.raises(ParameterError, match=name):
        RandAugment(**{name: value})


def test_operations_are_chosen_equally_and_applied_half_the_time():
    sampled = samples("rand-n3", 6000)
    counts = Counter(op.name for ops in sampled for op in ops)
    assert set(counts) == set(OPERATIONS)
    for count in counts.values():
        assert count / 6000 == pytest.approx(3 * 0.5 / 15, abs=0.015)
    assert np.mean([len(ops) for ops in sampled]) == pytest.approx(1.5, abs=0.05)
    assert max(Counter(op.name for op in ops).most_common(1)[0][1] for ops in sampled if ops) > 1


def test_weights_prefer_geometry_and_never_repeat():
    sampled = samples("rand-n2-w0", 3000)
    counts = Counter(op.name for ops in sampled for op in ops)
    assert not {"Posterize", "Invert"} & set(counts)
    assert counts["Rotate"] > counts["ShearX"] > counts["TranslateXRel"] > counts["Color"]
    assert all(len({op.name for op in ops}) == len(ops) for ops in sampled)
    first = samples("rand-n1-w0", 6000)
    share = Counter(op.name for ops in first for op in ops)["Rotate"] / 6000
    assert share == pytest.approx(0.5 * 0.3, abs=0.02)


# (string, operation) -> all values that can occur without noise on the magnitude
EXACT = [
    ("rand-m10", "Rotate", {-30.0, 30.0}),
    ("rand-m5", "Rotate", {-15.0, 15.0}),
    ("rand-m10", "ShearX", {-0.3, 0.3}),
    ("rand-m10", "ShearY", {-0.3, 0.3}),
    ("rand-m10", "TranslateXRel", {-0.45, 0.45}),
    ("rand-m10", "TranslateYRel", {-0.45, 0.45}),
    ("rand-m10", "Posterize", {4}),
    ("rand-m0", "Posterize", {0}),
    ("rand-m7-inc1", "Posterize", {2}),
    ("rand-m10-inc1", "Posterize", {0}),
    ("rand-m7", "Solarize", {179}),
    ("rand-m7-inc1", "Solarize", {77}),
    ("rand-m7", "SolarizeAdd", {77}),
    ("rand-m10-inc1", "SolarizeAdd", {110}),
    *[(text, name, found) for name in ("Color", "Contrast", "Brightness", "Sharpness")
      for text, found in (("rand-m0", {0.1}), ("rand-m10", {1.9}), ("rand-m5-inc1", {0.55, 1.45}),
                          ("rand-m10-inc1", {0.1, 1.9}))],
]  # fmt: skip


@pytest.mark.parametrize(("text", "name", "expected"), EXACT)
def test_magnitudes(text, name, expected):
    found = sorted(set(values(text, name)))
    assert found == pytest.approx(sorted(expected), abs=1e-12)


def test_noise_on_the_magnitude():
    degrees = np.abs(values("rand-m5-mstd1.5", "Rotate", count=8000))
    assert degrees.mean() == pytest.approx(15, abs=0.5)
    assert degrees.std() == pytest.approx(4.5, abs=0.5)
    clipped = np.abs(values("rand-m9-mstd3", "Rotate", count=8000))
    assert clipped.max() == 30
    assert (clipped == 30).mean() == pytest.approx(0.37, abs=0.06)  # P(normal > 1/3)
    assert min(values("rand-m1-mstd3", "ShearX", count=8000), key=abs) == 0


@pytest.mark.parametrize(
    ("interpolation", "cubic"),
    [("bilinear", {False}), ("bicubic", {True}), ("random", {False, True})],
)
def test_interpolation(interpolation, cubic):
    sampled = [op for ops in samples("rand-n4", interpolation=interpolation) for op in ops]
    assert {op.cubic for op in sampled if op.name in GEOMETRIC} == cubic


def train_cfg(*words):
    cfg = get_cfg()
    cfg.merge_from_list(
        [
            *("DATA.TRAIN_CROP_SIZE", 24, "DATA.TRAIN_JITTER_SCALES", [32, 40]),
            *("AUG.ENABLE", True, "AUG.RE_PROB", 0.0, *words),
        ]
    )
    return cfg


def frames_of(count=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 36, 48, 3), dtype=np.uint8)


def test_the_transform_applies_them_before_the_crop():
    cfg = train_cfg("AUG.AA_TYPE", "rand-m10-n6", "AUG.INTERPOLATION", "bilinear")
    transform, frames = build_train_transform(cfg), frames_of()
    cfg.AUG.ENABLE = False
    plain, seen = build_train_transform(cfg), set()
    for seed in range(40):
        params = transform.sample(36, 48, np.random.default_rng(seed))
        expected = frames
        for name, value, cubic in params.operations:
            expected = np.stack([oracle.pil_operation(f, name, value, cubic) for f in expected])
            seen.add(name)
        if any(op.name in {*GEOMETRIC, "Color"} for op in params.operations):
            continue  # within a gray level only, which later operations amplify
        view = transform(frames, np.random.default_rng(seed))
        # The same crop and flip as without AUG: its numbers are sampled last.
        np.testing.assert_array_equal(view, plain(expected, np.random.default_rng(seed)))
    assert len(seen) == 15


def test_all_frames_get_the_same_operations():
    transform = build_train_transform(train_cfg("AUG.AA_TYPE", "rand-m9-n4-mstd0.5-inc1"))
    still = np.repeat(frames_of(1), 5, axis=0)
    for seed in range(60):
        view = transform(still, np.random.default_rng(seed))
        assert (view == view[0]).all()


def test_the_generator_alone_decides():
    transform = build_train_transform(train_cfg("AUG.RE_PROB", 1.0))
    views = [transform(frames_of(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(views[0], views[1])
    assert (views[0] != views[2]).any()


def test_nothing_is_augmented_unless_it_is_enabled():
    cfg = train_cfg("AUG.ENABLE", False, "AUG.AA_TYPE", "nonsense")
    transform = build_train_transform(cfg)
    assert (transform.augment, transform.erasing, transform.color) == (None, None, None)
    assert check_views(cfg) == []


@pytest.mark.parametrize(
    ("words", "strength"),
    [
        (("AUG.AA_TYPE", "", "AUG.COLOR_JITTER", 0.3), 0.3),
        (("AUG.AA_TYPE", "", "AUG.COLOR_JITTER", None), None),
        (("AUG.AA_TYPE", "", "AUG.COLOR_JITTER", 0.0), None),
        (("AUG.AA_TYPE", None, "AUG.COLOR_JITTER", 0.3), 0.3),
        (("AUG.AA_TYPE", "None", "AUG.COLOR_JITTER", 0.3), 0.3),
        (("AUG.COLOR_JITTER", 0.3), None),
        (("AUG.AA_TYPE", "", "DATA.SSL_COLOR_JITTER", True), 0.4),  # DATA.SSL_COLOR_BRI_CON_SAT
    ],
)
def test_color_jitter_replaces_rand_augment(words, strength):
    cfg = get_cfg()
    cfg.AUG.ENABLE = True
    for key, value in zip(words[::2], words[1::2], strict=True):
        section, name = key.split(".")
        cfg[section][name] = value
    color = build_train_transform(cfg).color
    assert (color and (color.brightness, color.contrast, color.saturation)) == (
        strength and (strength,) * 3
    )


def test_a_negative_color_jitter_names_its_key():
    cfg = train_cfg("AUG.AA_TYPE", "", "AUG.COLOR_JITTER", -0.5)
    assert [problem.key for problem in check_views(cfg)] == ["AUG.COLOR_JITTER"]
