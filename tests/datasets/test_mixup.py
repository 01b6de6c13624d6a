"""Mixup and cutmix against an oracle, what is sampled, and the settings that are refused."""

import numpy as np
import pytest
import torch
from reference.classifier_augment import mix_batch

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import ConfigError, ParameterError, get_cfg, load_config
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.datasets.preprocess.mixup import Mix, Mixup

SHAPE = (2, 3, 4, 9, 12)  # V, C, T, H, W
CLASSES = 7


def batch_of(rows, dtype=torch.float64, labels=None):
    generator = torch.Generator().manual_seed(rows)
    labels = torch.arange(rows) % CLASSES if labels is None else torch.tensor(labels)
    video = torch.randn(rows, *SHAPE, generator=generator, dtype=dtype)
    return {"video": video, "label": labels, "index": torch.arange(rows)}


def mixup(**settings):
    return Mixup(num_classes=CLASSES, **settings)


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
@pytest.mark.parametrize("seed", range(12))
def test_a_batch_is_mixed_as_by_hand(rows, seed):
    mixer, batch = mixup(), batch_of(rows)
    share, box = mixer.sample(seed, 9, 12)
    expected, labels = mix_batch(
        batch["video"].numpy(), batch["label"].tolist(), share, box, 0.1, CLASSES
    )
    out = mixer(batch, seed)
    np.testing.assert_allclose(out["video"].numpy(), expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(out["label"].numpy(), labels, rtol=0, atol=1e-6)
    torch.testing.assert_close(out["label"].sum(dim=1), torch.ones(rows))
    assert out["index"] is batch["index"]
    assert out["label"].dtype == torch.float32


def test_both_methods_occur_and_the_box_is_the_share():
    mixes = [mixup().sample(seed, 224, 224) for seed in range(2000)]
    boxes = [mix for mix in mixes if mix.box is not None]
    assert len(boxes) / 2000 == pytest.approx(0.5, abs=0.04)
    for share, (top, bottom, left, right) in boxes:
        assert 0 <= top <= bottom <= 224
        assert 0 <= left <= right <= 224
        assert 1 - share == pytest.approx((bottom - top) * (right - left) / 224**2)
    sides = {(bottom - top) == (right - left) for _, (top, bottom, left, right) in boxes}
    assert sides == {True, False}  # square, unless the border cuts it


def test_shares_follow_the_beta_distribution():
    shares = np.array([mixup(cutmix_alpha=0.0).sample(s, 8, 8).share for s in range(4000)])
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.8 + 1)), abs=0.01)
    narrow = np.array(
        [mixup(alpha=20.0, cutmix_alpha=0.0).sample(s, 8, 8).share for s in range(999)]
    )
    assert narrow.std() < 0.1


def test_boxes_follow_the_uniform_distribution():
    mixes = [mixup(alpha=0.0).sample(seed, 200, 100) for seed in range(4000)]
    assert all(mix.box is not None for mix in mixes)
    heights = np.array([mix.box[1] - mix.box[0] for mix in mixes])
    widths = np.array([mix.box[3] - mix.box[2] for mix in mixes])
    # A side of r L, with r**2 uniform, loses r**2 L / 4 at the border on average.
    assert heights.mean() == pytest.approx(200 * (2 / 3 - 1 / 8), abs=4)
    assert widths.mean() == pytest.approx(100 * (2 / 3 - 1 / 8), abs=2)


@pytest.mark.parametrize(("prob", "share"), [(0.0, 1.0), (0.3, 0.7), (1.0, 0.0)])
def test_probability_of_mixing(prob, share):
    unmixed = [mixup(prob=prob, cutmix_alpha=0.0).sample(s, 8, 8) == Mix(1.0) for s in range(3000)]
    assert np.mean(unmixed) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("switch", [0.0, 0.2, 1.0])
def test_probability_of_cutmix(switch):
    boxes = [mixup(switch_prob=switch).sample(s, 64, 64).box is not None for s in range(3000)]
    assert np.mean(boxes) == pytest.approx(switch, abs=0.03)


def test_labels_are_smoothed_without_mixing():
    mixer = mixup(prob=0.0, smoothing=0.2)
    batch = batch_of(4)
    before = batch["video"].clone()
    out = mixer(batch, 3)
    assert torch.equal(out["video"], before)
    expected = torch.full((4, CLASSES), 0.2 / CLASSES)
    expected[range(4), range(4)] = 0.8 + 0.2 / CLASSES
    torch.testing.assert_close(out["label"], expected)


def test_the_same_labels_give_the_same_label():
    out = mixup(smoothing=0.0)(batch_of(4, labels=[2, 2, 2, 2]), 0)["label"]
    torch.testing.assert_close(out[:, 2], torch.ones(4))


def test_the_seed_alone_decides_and_frames_are_mixed_alike():
    outs = [mixup()(batch_of(4), seed)["video"] for seed in (5, 5, 6)]
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    for seed in range(10):
        batch = batch_of(4)
        batch["video"][:] = batch["video"][:, :, :, :1]  # frames of a clip are alike
        video = mixup()(batch, seed)["video"]
        assert (video == video[:, :, :, :1]).all()


def test_the_memory_format_is_kept():
    batch = batch_of(4)
    batch["video"] = batch["video"].to(memory_format=torch.preserve_format)
    channels_last = batch["video"].permute(0, 1, 3, 4, 5, 2).contiguous().permute(0, 1, 5, 2, 3, 4)
    for seed in range(6):
        expected = mixup()({**batch, "video": batch["video"].clone()}, seed)["video"]
        video = channels_last.clone(memory_format=torch.preserve_format)
        out = mixup()({**batch, "video": video}, seed)["video"]
        assert out.stride() == channels_last.stride()
        assert torch.equal(out, expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", -0.1),
        ("cutmix_alpha", float("inf")),
        ("prob", 1.1),
        ("switch_prob", -0.5),
        ("smoothing", 1.0),
        ("smoothing", -0.1),
    ],
)
def test_values_out_of_range(name, value):
    with pytest.raises(ParameterError, match=name):
        mixup(**{name: value})


# -- in the framework ------------------------------------------------------------------------------


def load(*words):
    fixed = "MODEL.MODEL_NAME VideoResNet MODEL.ARCH r3d_18 NUM_GPUS 0 DATA.PATH_TO_DATA_DIR unused"
    return load_config(None, [*fixed.split(), "MIXUP.ENABLE", "True", *map(str, words)]).cfg


def problems_of(*words):
    with pytest.raises(ConfigError) as caught:
        load(*words)
    return {problem.key: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MIXUP.ALPHA", -1.0),
        ("MIXUP.CUTMIX_ALPHA", -1.0),
        ("MIXUP.PROB", 2.0),
        ("MIXUP.SWITCH_PROB", -0.5),
        ("MIXUP.LABEL_SMOOTH_VALUE", 1.0),
    ],
)
def test_wrong_values_name_their_key(key, value):
    problems = problems_of(key, value)
    assert list(problems) == [key]
    assert f"got {value}" in problems[key]


@pytest.mark.parametrize("unused", ["TRAIN.ENABLE", "MIXUP.ENABLE"])
def test_values_of_an_unused_recipe_are_kept(unused):
    load("MIXUP.ALPHA", -1.0, unused, False)
    load("MIXUP.LABEL_SMOOTH_VALUE", 1.0, unused, False)


def test_nothing_to_mix():
    assert list(problems_of("MIXUP.ALPHA", 0.0, "MIXUP.CUTMIX_ALPHA", 0.0)) == ["MIXUP.ALPHA"]
    load("MIXUP.ALPHA", 0.0, "MIXUP.CUTMIX_ALPHA", 0.0, "MIXUP.PROB", 0.0)


def test_audio_is_not_mixed():
    assert "only frames are mixed" in problems_of("AUDIO.ENABLE", True)["MIXUP.ENABLE"]


def test_cutmix_does_not_fit_feature_crops():
    words = ("PROJECTS", "['stica']", "MODEL.FEATURE_AUG", "feature_crop")
    assert list(problems_of(*words)) == ["MIXUP.CUTMIX_ALPHA"]
    load(*words, "MIXUP.CUTMIX_ALPHA", 0.0)


@pytest.mark.parametrize("loss", ["cross_entropy", "soft_cross_entropy", "bce", "bce_logit"])
def test_losses_of_soft_labels(loss):
    load("MODEL.LOSS_FUNC", loss)


def test_methods_without_labels_are_refused():
    with pytest.raises(ConfigError) as caught:
        load_config(
            "StiCA/R2plus1D_pretrain.yaml",
            ["MIXUP.ENABLE", "True", "AUG.NUM_SAMPLE", "2", "NUM_GPUS", "0"],
        )
    problems = [(p.key, p.message) for p in caught.value.problems]
    assert {key for key, _ in problems} == {"MIXUP.ENABLE", "AUG.NUM_SAMPLE"}
    assert any("does not learn from soft labels" in message for _, message in problems)


def loaded_batch(rows=4):
    rng = np.random.default_rng(0)
    video = torch.from_numpy(rng.integers(0, 256, (rows, 1, 4, 8, 8, 3), dtype=np.uint8))
    return {
        "video": video,
        "label": torch.arange(rows),
        "aug_seed": torch.arange(100, 100 + rows),
        "index": torch.arange(rows),
    }


def test_training_batches_are_mixed_and_others_are_not():
    cfg = get_cfg()
    cfg.merge_from_list(["MIXUP.ENABLE", True, "MODEL.NUM_CLASSES", 10])
    plain = build_preprocess(cfg, train=True)(loaded_batch())
    assert plain["label"].tolist() == [0, 1, 2, 3]
    mixed = build_preprocess(cfg, train=True, mix=True)(loaded_batch())
    assert mixed["label"].shape == (4, 10)
    assert not torch.equal(mixed["video"], plain["video"])
    copied = {**plain, "video": plain["video"].clone()}
    expected = Mixup(num_classes=10)(copied, 100)  # the seed of the first sample
    for name in ("video", "label"):
        assert torch.equal(mixed[name], expected[name])
    cfg.MIXUP.ENABLE = False
    off = build_preprocess(cfg, train=True, mix=True)(loaded_batch())
    assert torch.equal(off["video"], plain["video"])
    assert off["label"].tolist() == [0, 1, 2, 3]
