"""Views of a training sample: which clips, which sizes, what the loss is told of them."""

import math
import re

import numpy as np
import pytest
import torch
from helpers.data_files import write
from helpers.synthetic import synthetic_cfg

from slowfast.config import ConfigError, UserError
from slowfast.datasets.build import build_dataset
from slowfast.datasets.decoding.reader import open_media
from slowfast.datasets.loader import construct_train_loader
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.datasets.views import sample_views as views_module
from slowfast.datasets.views.crop import RandomResizedCrop
from slowfast.datasets.views.sample_views import (
    VIEW_REGISTRY,
    Reverse,
    SampleViews,
    ViewSpec,
    sample_shapes,
)
from slowfast.datasets.views.transform import TrainTransform
from slowfast.utils.registry import Registry

LARGE = TrainTransform(RandomResizedCrop(scale=(0.5, 1.0)), size=16)
SMALL = TrainTransform(RandomResizedCrop(scale=(0.1, 0.5)), size=8)
KEY = (0, 0, 0)


@pytest.fixture
def make(tmp_path, videos, monkeypatch):
    """Build a configuration; the views of this test are called "mine"."""
    registry = Registry("views", "DATA.TRAIN_VIEWS")
    registry.register(VIEW_REGISTRY.get("clips"))
    monkeypatch.setattr(views_module, "VIEW_REGISTRY", registry)

    def cfg_of(*words, views=None):
        if views is not None:

            def mine(cfg):
                return views

            registry.register(mine)
            words = (*words, "DATA.TRAIN_VIEWS", "mine")
        fixed = (
            "TRAIN.DATASET kinetics DATA.NUM_FRAMES 6 DATA.SAMPLING_RATE 3 AUDIO.ENABLE True "
            "AUDIO.CLIP_SEC 0.5 AUDIO.SAMPLE_RATE 16000 DATA_LOADER.NUM_WORKERS 0"
        )
        where = ("DATA.PATH_TO_DATA_DIR", str(videos))
        return synthetic_cfg(tmp_path, *fixed.split(), *where, *words)

    return cfg_of


def sample_of(cfg, index=3, epoch=0):
    return build_dataset("kinetics", cfg, "train")[epoch, index]


def track_of(cfg, start_sec, index=3):
    """Half a second of a file's audio, read by itself."""
    path = build_dataset("kinetics", cfg, "train").manifest.path(index)
    with open_media(path) as reader:
        return reader.read_audio(float(start_sec), 8000, 16000)[0]


def test_several_clips_each_in_views_with_their_audio(make):
    cfg = make("DATA.TRAIN_CROP_NUM_TEMPORAL", "3", "DATA.TRAIN_CROP_NUM_SPATIAL", "2")
    sample = sample_of(cfg)
    starts = sample["clip_start_sec"]
    assert sample["video"].shape == (6, 6, 16, 16, 3)
    assert sample["audio"].shape == (3, 8000)
    np.testing.assert_array_equal(starts[0::2], starts[1::2])  # views of a clip follow each other
    np.testing.assert_array_equal(starts[0::2], sample["audio_start_sec"])
    assert len(set(starts.tolist())) == 3
    for audio, start in zip(sample["audio"], sample["audio_start_sec"], strict=True):
        np.testing.assert_allclose(audio, track_of(cfg, start), atol=1e-6)


def test_the_first_clip_is_the_same_whatever_else_is_read(make):
    one, two = (sample_of(make("DATA.TRAIN_CROP_NUM_TEMPORAL", n)) for n in ("1", "2"))
    np.testing.assert_array_equal(one["video"][0], two["video"][0])
    np.testing.assert_array_equal(one["audio"][0], two["audio"][0])


@pytest.mark.parametrize("bounds", [(0.5, math.inf), (0.0, 0.2), (0.3, 0.4)])
@pytest.mark.parametrize("num_clips", [2, 3])
def test_distance_bounds(bounds, num_clips):
    views = SampleViews([ViewSpec(clip=c, transform=LARGE) for c in range(num_clips)], bounds)
    far = 0.0
    for index in range(200):
        starts = views.clip_starts((1.0, 5.0), 1.0, (0, 0, index))
        assert all(1.0 <= start <= 4.0 for start in starts)
        gaps = [abs(a - b) for i, a in enumerate(starts) for b in starts[:i]]
        assert max(gaps) <= bounds[1] + 1e-9
        if num_clips == 2 or bounds[1] == math.inf:  # three clips cannot all be 0.3 to 0.4 s apart
            assert min(gaps) >= bounds[0] - 1e-9
        far = max(far, *starts)
    assert far > 3.0


def test_a_short_video_gives_clips_as_far_apart_as_it_allows():
    views = SampleViews([ViewSpec(clip=c, transform=LARGE) for c in range(3)], (2.0, math.inf))
    assert sorted(views.clip_starts((0.0, 2.0), 1.0, KEY)) == pytest.approx([0.0, 0.5, 1.0])
    assert views.clip_starts((0.0, 0.5), 1.0, KEY) == [0.0, 0.0, 0.0]


def test_starts_of_unbounded_clips_are_uniform_and_independent():
    views = SampleViews([ViewSpec(clip=c, transform=LARGE) for c in range(2)])
    starts = np.array([views.clip_starts((0.0, 2.0), 1.0, (0, 0, i)) for i in range(2000)])
    assert np.histogram(starts[:, 0], 4, (0, 1))[0] / 2000 == pytest.approx([0.25] * 4, abs=0.04)
    assert abs(np.corrcoef(starts.T)[0, 1]) < 0.06


def test_crops_of_several_sizes_reach_the_device(make):
    small = ViewSpec(field="video_small", transform=SMALL, num_frames=4)
    views = SampleViews([*[ViewSpec(transform=LARGE)] * 2, *[small] * 3, ViewSpec(field="audio")])
    cfg = make(views=views)
    assert sample_shapes(cfg) == {"video": (2, 6, 16), "video_small": (3, 4, 8), "audio": (1,)}
    sample = sample_of(cfg)
    assert sample["video_small"].shape == (3, 4, 8, 8, 3)
    assert sample["video_small_start_sec"].tolist() == [sample["clip_start_sec"][0]] * 3
    batch = next(iter(construct_train_loader(cfg)))
    prepared = build_preprocess(cfg, train=True)(batch)
    assert prepared["video_small"].shape == (len(batch["label"]), 3, 3, 4, 8, 8)
    assert prepared["video_small"].dtype == torch.float32
    assert prepared["video_small_start_sec"].shape == (len(batch["label"]), 3)


def test_reversal_is_the_same_for_video_and_audio_and_told_to_the_loss(make):
    plain = TrainTransform(RandomResizedCrop(scale=(1.0, 1.0)), size=16, flip=False)
    twice = [
        ViewSpec(field=field, transform=plain if field == "video" else None, temporal=temporal)
        for field in ("video", "audio")
        for temporal in (None, Reverse(0.5))
    ]
    cfg = make(views=SampleViews(twice))
    told = []
    for index in range(10):
        sample = sample_of(cfg, index)
        is_reversed = bool(sample["video_reversed"][1])
        assert sample["video_reversed"].tolist() == [False, is_reversed]
        assert sample["audio_reversed"].tolist() == [False, is_reversed]
        step = -1 if is_reversed else 1
        np.testing.assert_array_equal(sample["video"][1], sample["video"][0][::step])
        np.testing.assert_array_equal(sample["audio"][1], sample["audio"][0][::step])
        told.append(is_reversed)
    assert set(told) == {True, False}
    assert sample_shapes(cfg)["video_reversed"] == (2,)


def test_audio_read_later_than_its_clip(make):
    views = SampleViews(
        [
            ViewSpec(transform=LARGE),
            ViewSpec(field="audio"),
            ViewSpec(field="audio", shift_sec=(0.2, 0.6)),
        ]
    )
    cfg = make(views=views)
    sample = sample_of(cfg)
    start, audio = sample["clip_start_sec"][0], sample["audio_start_sec"]
    assert audio[0] == start
    assert 0.2 <= audio[1] - start <= 0.6
    for wave, start_sec in zip(sample["audio"], audio, strict=True):
        np.testing.assert_allclose(wave, track_of(cfg, start_sec), atol=1e-6)
    assert sample["audio_valid"].all()


def test_each_audio_view_of_a_clip_is_augmented_on_its_own(make):
    audio = ViewSpec(field="audio")
    cfg = make(
        "AUDIO.VOLUME_JITTER",
        "[0.5,1.5]",
        views=SampleViews([ViewSpec(transform=LARGE), audio, audio]),
    )
    batch = next(iter(construct_train_loader(cfg)))
    assert torch.equal(batch["audio"][:, 0], batch["audio"][:, 1])
    prepared = build_preprocess(cfg, train=True)(batch)["audio"]
    assert not torch.equal(prepared[:, 0], prepared[:, 1])


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([ViewSpec(clip=1, transform=LARGE)], "got the clips [1]; expected consecutive"),
        ([], "got the clips []"),
        ([ViewSpec(transform=LARGE), ViewSpec(transform=SMALL)], "the same size"),
        ([ViewSpec()], "expected a transform"),
        ([ViewSpec(field="video_small", transform=SMALL)], "got the fields ['video_small']"),
        ([ViewSpec(transform=LARGE, shift_sec=(0.5, 0.1))], "shift_sec: got (0.5, 0.1)"),
        (
            [ViewSpec(transform=LARGE), ViewSpec(field="audio", transform=LARGE)],
            "transform and num_frames are for video",
        ),
        (
            [ViewSpec(transform=LARGE), ViewSpec(field="label", transform=LARGE)],
            "field: got 'label'; expected video, video_",
        ),
    ],
)
def test_views_that_do_not_fit_together(views, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        SampleViews(views)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("DATA.TRAIN_VIEWS", "clip"), "DATA.TRAIN_VIEWS: unknown"),
        (("DATA.TRAIN_VIEWS", "clip"), "Did you mean 'clips'?"),
        (("DATA.TRAIN_CROP_NUM_SPATIAL", "1000000"), "SPATIAL: got 1000000, expected 1 to 1000"),
        (("DATA.TRAIN_CROP_NUM_TEMPORAL", "1000000"), "TEMPORAL: got 1000000, expected 1 to 1000"),
        (("DATA.TRAIN_CLIP_DISTANCE_SEC", "[2,1]"), "DATA.TRAIN_CLIP_DISTANCE_SEC: got [2, 1]"),
        (("DATA.TRAIN_CLIP_DISTANCE_SEC", "[2]"), "DATA.TRAIN_CLIP_DISTANCE_SEC: got [2]"),
        (("DATA.ROW_FIELDS", "['label']"), "DATA.ROW_FIELDS: got 'label', which a sample has"),
        (("DATA.ROW_FIELDS", "['video_id']"), "DATA.ROW_FIELDS: got 'video_id'"),
        (
            ("TRAIN.DATASET", "audio_folder", "DATA.TRAIN_CROP_NUM_TEMPORAL", "2"),
            "DATA.TRAIN_CROP_NUM_TEMPORAL: got 2, but the dataset audio_folder is audio-only",
        ),
        (
            ("DATA.NUM_FRAMES", "3"),
            "NUM_FRAMES: got 3, but a view of DATA.TRAIN_VIEWS 'mine' has 4",
        ),
        (("AUDIO.ENABLE", "False"), "AUDIO.ENABLE: got False, but the views of DATA.TRAIN_VIEWS"),
    ],
)
def test_mistakes_of_a_configuration_name_their_key(make, words, message):
    views = [ViewSpec(transform=LARGE, num_frames=4), ViewSpec(field="audio")]
    is_default = "clip" in words or words[0].startswith(("DATA.TRAIN_CLIP", "DATA.TRAIN_CROP"))
    mine = () if is_default else ("DATA.TRAIN_VIEWS", "mine")
    make(views=SampleViews(views))
    with pytest.raises(ConfigError) as caught:
        make(*mine, *words)
    assert message in str(caught.value)


def annotate(folder, videos, words, scores):
    files = sorted((videos / "train").rglob("*.mp4"))[:2]
    rows = zip(files, range(2), words, scores, strict=True)
    return write(
        folder / "train.csv", "path,label,words,score", *(",".join(map(str, r)) for r in rows)
    )


def test_columns_of_the_annotation_reach_the_batch(make, videos, tmp_path):
    root = tmp_path / "lists"
    annotate(root, videos, ("3 1 4", "1 5 9"), ("0.5", "2"))
    words = ("DATA.ROW_FIELDS", "['words','score']", "TRAIN.BATCH_SIZE", "2")
    cfg = make(*words, "DATA.PATH_TO_DATA_DIR", str(root))
    sample = sample_of(cfg, 1)
    assert sample["words"].tolist() == [1, 5, 9]
    assert sample["score"] == 2.0
    batch = next(iter(construct_train_loader(cfg)))
    order = batch["index"].argsort()
    assert batch["words"][order].tolist() == [[3, 1, 4], [1, 5, 9]]
    assert batch["words"].dtype == torch.int64
    assert batch["score"].dtype == torch.float32


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("3 1", "1 5 9"), "words has 2 or 3 numbers in 2 of 2 rows"),
        (("3 1", ""), "column words: got ''; expected numbers separated by spaces"),
        (("3 x", "1 2"), "column words: got '3 x'"),
    ],
)
def test_columns_that_cannot_be_read(make, videos, tmp_path, words, message):
    root = tmp_path / "lists"
    annotate(root, videos, words, ("1", "2"))
    cfg = make("DATA.ROW_FIELDS", "['words']", "DATA.PATH_TO_DATA_DIR", str(root))
    with pytest.raises(UserError, match=r"DATA\.ROW_FIELDS") as caught:
        build_dataset("kinetics", cfg, "train")
    assert message in str(caught.value)


def test_columns_that_are_not_there(make, videos, tmp_path):
    with pytest.raises(
        UserError, match=r"DATA\.ROW_FIELDS: got 'words', but the files are not listed"
    ):
        build_dataset("kinetics", make("DATA.ROW_FIELDS", "['words']"), "train")
    root = tmp_path / "lists"
    annotate(root, videos, ("1", "2"), ("1", "2"))
    cfg = make("DATA.ROW_FIELDS", "['ids']", "DATA.PATH_TO_DATA_DIR", str(root))
    with pytest.raises(UserError, match="has no column 'ids'"):
        build_dataset("kinetics", cfg, "train")
