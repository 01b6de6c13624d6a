"""Times of samples, and fake samples."""

import time

import numpy as np
import pytest
from helpers.media_files import Audio, Video, write_media

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import ConfigValueError, UserError, load_config
from slowfast.datasets import video_dataset
from slowfast.datasets.build import build_dataset
from slowfast.datasets.decoding import clip_reader
from slowfast.datasets.load_times import time_loader, time_samples
from slowfast.datasets.loader import construct_train_loader
from slowfast.datasets.views.transform import TrainTransform

NAP = 0.03
WORDS = (
    "TRAIN.DATASET video_folder TEST.ENABLE False MODEL.NUM_CLASSES 3 DATA.NUM_FRAMES 4 "
    "DATA.TRAIN_CROP_SIZE 16 DATA.TRAIN_JITTER_SCALES [16,20] TRAIN.BATCH_SIZE 2 NUM_GPUS 0 "
    "AUDIO.ENABLE True AUDIO.CLIP_SEC 0.3 SOLVER.MAX_EPOCH 3 DATA_LOADER.NUM_WORKERS 0"
).split()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(4):
        write_media(folder / f"{number}.mp4", Video(ticks=range(18), fps=30), Audio(seconds=0.6))
    return folder


def make_loader(output, videos, *words):
    own = [*WORDS, "OUTPUT_DIR", str(output), "DATA.PATH_TO_DATA_DIR", str(videos), *words]
    return construct_train_loader(load_config(None, own).cfg)


def sleepy(monkeypatch, owner, name):
    """Let a function sleep before it does its work; the sleep counts as the caller's package."""
    real = getattr(owner, name)

    def slow(*args, **kwargs):
        time.sleep(NAP)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, slow)


def test_decoding_is_told_from_augmentation(tmp_path, videos, monkeypatch):
    sleepy(monkeypatch, clip_reader, "open_media")  # called by decoding.clip_reader.open_row
    found = time_samples(make_loader(tmp_path, videos), 0.0)
    assert found.decode >= NAP
    assert found.samples == 4
    assert found.augment > 0
    assert found.cpu < found.total  # sleep takes none


def test_augmentation_is_told_from_decoding(tmp_path, videos, monkeypatch):
    sleepy(monkeypatch, TrainTransform, "sample")
    found = time_samples(make_loader(tmp_path, videos), 0.0)
    assert found.augment >= NAP


def test_the_rest_is_neither(tmp_path, videos, monkeypatch):
    sleepy(monkeypatch, video_dataset, "encode_label")
    found = time_samples(make_loader(tmp_path, videos), 0.0)
    assert found.other >= NAP


def test_the_position_of_the_loader_stays(tmp_path, videos):
    loader = make_loader(tmp_path, videos)
    time_samples(loader, 0.0)
    assert loader.batches.position == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_alone(tmp_path, videos, workers):
    loader = make_loader(tmp_path, videos, "DATA_LOADER.NUM_WORKERS", str(workers))
    found = time_loader(loader, workers, 0.0)
    assert found.batches == 1
    assert found.samples_per_sec > 0
    short = make_loader(tmp_path, videos, "SOLVER.MAX_EPOCH", "1")
    with pytest.raises(UserError, match=r"too few to measure the loader: raise SOLVER\.MAX_EPOCH"):
        time_loader(short, 1, 0.0)


@pytest.mark.parametrize("words", [(), ("AUG.NUM_SAMPLE", "2")])
def test_fake_samples_look_like_real_ones(tmp_path, videos, words):
    real = next(iter(make_loader(tmp_path, videos, *words)))
    fake = next(iter(make_loader(tmp_path, videos, "TRAIN.DATASET", "fake", *words)))
    assert fake.keys() == real.keys()
    for name, value in real.items():
        assert (fake[name].shape, fake[name].dtype) == (value.shape, value.dtype), name
    assert np.ptp(fake["video"].numpy()) > 200


def test_fake_labels_of_several_classes(tmp_path, videos):
    words = ("TRAIN.DATASET", "fake", "DATA.MULTI_LABEL", "True", "MODEL.LOSS_FUNC", "bce_logit")
    words += ("MODEL.HEAD_ACT", "sigmoid")
    label = next(iter(make_loader(tmp_path, videos, *words)))["label"]
    assert label.shape == (2, 3)
    assert (label.sum(1) == 1).all()


def test_fake_audio_has_no_video(tmp_path, videos):
    batch = next(iter(make_loader(tmp_path, videos, "TRAIN.DATASET", "fake_audio")))
    assert "video" not in batch
    assert batch["audio"].shape == (2, 1, 7200)
    assert batch["audio_valid"].all()
    assert batch["clip_start_sec"].shape == batch["view"].shape == (2, 1)


def test_fake_data_cannot_be_tested(tmp_path, videos):
    cfg = load_config(None, [*WORDS, "OUTPUT_DIR", str(tmp_path)]).cfg
    with pytest.raises(ConfigValueError, match="measures training only"):
        build_dataset("fake", cfg, "test")
