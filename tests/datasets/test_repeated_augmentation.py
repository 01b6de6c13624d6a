"""AUG.NUM_SAMPLE: several clips of one video in a batch; samples do not depend on workers."""

import numpy as np
import pytest
import torch
from helpers.synthetic import synthetic_cfg

from slowfast.config import ConfigError, ConfigValueError
from slowfast.datasets.build import build_dataset
from slowfast.datasets.clip_settings import ClipSettings
from slowfast.datasets.loader import construct_train_loader
from slowfast.datasets.views import (
    RandomResizedCrop,
    SampleViews,
    TrainTransform,
    ViewSpec,
    build_train_transform,
    sample_views,
)
from slowfast.utils.registry import Registry

RECIPE = (
    "AUG.ENABLE True AUG.AA_TYPE rand-m7-n4-mstd0.5-inc1 AUG.INTERPOLATION random AUG.RE_PROB 0.5"
).split()


@pytest.fixture
def make(tmp_path, videos):
    def cfg_of(*words):
        fixed = "TRAIN.DATASET kinetics DATA.NUM_FRAMES 4 DATA.SAMPLING_RATE 3 MODEL.NUM_CLASSES 10"
        where = ("DATA.PATH_TO_DATA_DIR", str(videos))
        return synthetic_cfg(tmp_path, *fixed.split(), *where, *words)

    return cfg_of


def dataset_of(cfg):
    return build_dataset("kinetics", cfg, "train")


def batches_of(cfg, count=3):
    loader = construct_train_loader(cfg)
    batches = iter(loader)
    found = [next(batches) for _ in range(count)]
    batches.close()
    return found


def assert_equal(one, other):
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_clips_of_a_video_follow_each_other_in_the_batch(make):
    (batch,) = batches_of(make("AUG.NUM_SAMPLE", 3), 1)
    assert batch["video"].shape == (12, 1, 4, 16, 16, 3)
    index, label = batch["index"].view(4, 3), batch["label"].view(4, 3)
    assert (index == index[:, :1]).all()
    assert len(set(index[:, 0].tolist())) == 4
    assert (label == label[:, :1]).all()
    assert len(set(batch["aug_seed"].tolist())) == 12
    starts = batch["clip_start_sec"].view(4, 3)
    assert (starts == starts[:, :1]).all()  # the same frames
    video = batch["video"].view(4, 3, -1)
    assert all(
        not torch.equal(video[row, i], video[row, j])
        for row in range(4)
        for i in range(3)
        for j in range(i)
    )


def test_the_first_clip_is_that_of_a_single_one(make):
    words = (*RECIPE, "AUDIO.ENABLE", True, "AUDIO.CLIP_SEC", 0.5, "DATA.TRAIN_CROP_NUM_SPATIAL", 2)
    several = dataset_of(make(*words, "AUG.NUM_SAMPLE", 2))[1, 4]
    single = dataset_of(make(*words))[1, 4]
    assert_equal(several[0], single)
    assert several[1]["video"].shape == single["video"].shape
    np.testing.assert_array_equal(several[1]["audio"], single["audio"])


def test_a_video_is_decoded_once(make, monkeypatch):
    calls = []
    read = ClipSettings.read_frames

    def counted(self, reader, start, *rest):
        calls.append(start)
        return read(self, reader, start, *rest)

    monkeypatch.setattr(ClipSettings, "read_frames", counted)
    dataset_of(make(*RECIPE, "AUG.NUM_SAMPLE", 3))[0, 2]
    assert len(calls) == 1


@pytest.mark.parametrize("num_sample", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(make, num_sample):
    words = (*RECIPE, "AUG.NUM_SAMPLE", num_sample)
    alone = batches_of(make(*words))
    helped = batches_of(make(*words, "DATA_LOADER.NUM_WORKERS", 2))
    for one, other in zip(alone, helped, strict=True):
        assert_equal(one, other)


def test_epochs_and_seeds_differ(make):
    dataset = dataset_of(make(*RECIPE))
    assert_equal(dataset[3, 1], dataset[3, 1])
    assert not np.array_equal(dataset[3, 1]["video"], dataset[4, 1]["video"])
    other = dataset_of(make(*RECIPE, "RNG_SEED", 7))
    assert not np.array_equal(dataset[3, 1]["video"], other[3, 1]["video"])


def test_the_recipe_adds_no_motion(make):
    dataset = dataset_of(make(*RECIPE, "DATA.SAMPLING_RATE", 1, "DATA.TARGET_FPS", 10000))
    for index in range(10):
        video = dataset[0, index]["video"][0]
        assert (video == video[:1]).all()  # four times the same frame of the file


def test_the_first_clip_may_stay_unerased(make):
    words = "AUG.ENABLE True AUG.COLOR_JITTER None AUG.RE_PROB 1.0 AUG.RE_MODE const"
    words = (*words.split(), "AUG.AA_TYPE", "", "DATA.MEAN", [1.0, 0.0, 1.0], "AUG.NUM_SAMPLE", 2)
    magenta = (255, 0, 255)
    for split, expected in ((False, [True, True]), (True, [False, True])):
        samples = dataset_of(make(*words, "AUG.RE_SPLIT", split))[0, 0]
        assert [(s["video"] == magenta).all(axis=-1).any() for s in samples] == expected


def keys_of(make, *words):
    with pytest.raises(ConfigError) as caught:
        make(*words)
    return [problem.key for problem in caught.value.problems]


def test_wrong_settings_name_their_key(make):
    assert keys_of(make, "AUG.NUM_SAMPLE", 0) == ["AUG.NUM_SAMPLE"]
    assert keys_of(make, "AUG.ENABLE", True, "AUG.RE_SPLIT", True) == ["AUG.RE_SPLIT"]
    make("TRAIN.ENABLE", False, "AUG.ENABLE", True, "AUG.RE_SPLIT", True)


@pytest.mark.parametrize(("key", "value"), [("AUG.ENABLE", True), ("AUG.NUM_SAMPLE", 2)])
def test_audio_has_no_frames_to_augment(tmp_path, key, value):
    words = ("AUDIO.ENABLE", True, "TRAIN.DATASET", "esc50", "DATA.FOLD", 1)
    with pytest.raises(
        ConfigError, match=f"{key}: got {value}, but the dataset esc50 is audio-only"
    ):
        synthetic_cfg(tmp_path, *words, key, value)


def test_views_that_ignore_the_recipe_are_refused(make, monkeypatch):
    registry = Registry("views", "DATA.TRAIN_VIEWS")
    monkeypatch.setattr(sample_views, "VIEW_REGISTRY", registry)
    plain = TrainTransform(RandomResizedCrop(scale=(0.5, 1.0)), size=16)

    @registry.register()
    def own(cfg):
        return SampleViews([ViewSpec(transform=plain)])

    @registry.register()
    def two_sizes(cfg):
        own_crop = ViewSpec(field="video_small", transform=plain)
        return SampleViews([ViewSpec(transform=build_train_transform(cfg)), own_crop])

    assert keys_of(make, "DATA.TRAIN_VIEWS", "own", "AUG.ENABLE", True) == ["AUG.ENABLE"]
    make("DATA.TRAIN_VIEWS", "two_sizes", "AUG.ENABLE", True)
    words = ("DATA.TRAIN_VIEWS", "two_sizes", "MIXUP.ENABLE", True)
    assert keys_of(make, *words) == ["MIXUP.ENABLE"]
    make(*words, "TRAIN.ENABLE", False)


def test_a_dataset_of_one_sample_per_file_is_refused(tmp_path):
    cfg = synthetic_cfg(tmp_path, "AUG.NUM_SAMPLE", 2)
    with pytest.raises(
        ConfigValueError, match=r"^AUG.NUM_SAMPLE: got 2, but the dataset synthetic"
    ):
        construct_train_loader(cfg)


def test_a_single_clip_cannot_be_mixed(make):
    words = ("MIXUP.ENABLE", True, "TRAIN.BATCH_SIZE", 1)
    with pytest.raises(ConfigValueError, match=r"TRAIN.BATCH_SIZE: got 1.*AUG.NUM_SAMPLE 2"):
        construct_train_loader(make(*words))
    construct_train_loader(make(*words, "AUG.NUM_SAMPLE", 2))
    construct_train_loader(make(*words, "MIXUP.PROB", 0.0))
