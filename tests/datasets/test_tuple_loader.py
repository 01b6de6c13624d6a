"""construct_loader: PySlowFast's batches of every split."""

import multiprocessing

import numpy as np
import pytest
import torch
from helpers.media_files import Video, read_numbers, write_media
from helpers.synthetic import synthetic_cfg
from reference import pyslowfast_sampling as ref

from slowfast.config import ConfigError, ConfigValueError, ParameterError
from slowfast.datasets.loader import (
    construct_eval_loader,
    construct_loader,
    construct_train_loader,
    shuffle_dataset,
)
from slowfast.datasets.tuple_loader import split_pathways

SPLITS = {"train": 6, "val": 3, "test": 2}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for split, count in SPLITS.items():
        rows = []
        for number in range(count):
            path = root / f"{split}{number}.mp4"
            write_media(path, Video(ticks=range(40 + number), fps=30, size=(64, 64)))
            rows.append(f"{path} {number % 3}\n")
        (root / f"{split}.csv").write_text("".join(rows))
    return root


def make(tmp_path, videos, *words):
    base = (
        "TRAIN.DATASET kinetics TEST.DATASET kinetics DATA.NUM_FRAMES 8 DATA.SAMPLING_RATE 2 "
        "DATA.TRAIN_CROP_SIZE 64 DATA.TEST_CROP_SIZE 64 TEST.NUM_ENSEMBLE_VIEWS 3 "
        "TEST.NUM_SPATIAL_CROPS 3 TEST.BATCH_SIZE 5 TRAIN.BATCH_SIZE 2 DATA.RANDOM_FLIP False "
        "DATA.TRAIN_JITTER_SCALES [64,64]"
    )
    return synthetic_cfg(tmp_path, *base.split(), "DATA.PATH_TO_DATA_DIR", videos, *words)


def pixels(frames, cfg):
    """uint8 frames (B, T, H, W, 3) of normalized inputs."""
    mean, std = (torch.tensor(v)[:, None, None, None] for v in (cfg.DATA.MEAN, cfg.DATA.STD))
    bytes_ = ((frames * std + mean) * 255).round().clamp(0, 255)
    return bytes_.to(torch.uint8).permute(0, 2, 3, 4, 1).numpy()


def test_the_train_split_is_shuffled_and_each_iteration_is_an_epoch(tmp_path, videos):
    cfg = make(tmp_path, videos)
    loader = construct_loader(cfg, "train")
    assert (len(loader), len(loader.dataset), loader.dataset.num_videos) == (3, 6, 6)
    epochs = [list(loader) for _ in range(3)]  # MAX_EPOCH is 2
    orders = []
    for batches in epochs:
        assert len(batches) == 3
        for inputs, labels, index, time, meta in batches:
            assert [tuple(x.shape) for x in inputs] == [(2, 3, 8, 64, 64)]
            assert inputs[0].dtype == torch.float32
            assert labels.tolist() == [i % 3 for i in index.tolist()]
            assert (time.shape, meta) == ((2, 1, 3), {})
            assert torch.allclose(time[:, 0, 1] - time[:, 0, 0], torch.full((2,), 16 / 30).double())
        orders.append(torch.cat([batch[2] for batch in batches]).tolist())
        assert sorted(orders[-1]) == list(range(6))
    assert len({tuple(order) for order in orders}) > 1
    shuffle_dataset(loader, 1)
    again = list(loader)
    for one, other in zip(epochs[1], again, strict=True):
        assert torch.equal(one[0][0], other[0][0])
        assert torch.equal(one[2], other[2])
    dicts = construct_train_loader(cfg)
    first = next(iter(dicts))
    assert first["index"].tolist() == epochs[0][0][2].tolist()


def test_the_test_split_has_every_view_of_every_video(tmp_path, videos):
    cfg = make(tmp_path, videos)
    loader = construct_loader(cfg, "test")
    assert (len(loader.dataset), loader.dataset.num_videos, len(loader)) == (18, 18, 4)
    batches = list(loader)
    assert [len(batch[1]) for batch in batches] == [5, 5, 5, 3]
    assert torch.cat([batch[2] for batch in batches]).tolist() == list(range(18))
    assert torch.cat([batch[1] for batch in batches]).tolist() == [0] * 9 + [1] * 9
    frames = torch.cat([batch[0][0] for batch in batches])
    numbers = [read_numbers(clip) for clip in pixels(frames, cfg)[1::3]]  # the center crops
    for video, length in enumerate((40, 41)):
        size = ref.clip_size(8, 2, 30.0, 30.0)
        for view in range(3):
            first = ref.test_start(length, size, view, 3, offset=False)
            expected = [int(p + 1e-4) for p in ref.clip_positions(first, size, 8, length)]
            assert numbers[3 * video + view] == expected
    same = torch.cat([b["video"].flatten(0, 1) for b in construct_eval_loader(cfg, "test")])
    assert same.shape[0] == 18  # ours are the same views, of our frames


def test_the_validation_split_is_of_the_training_set(tmp_path, videos):
    cfg = make(tmp_path, videos, "TEST.DATASET", "synthetic")
    loader = construct_loader(cfg, "val")
    batches = list(loader)
    assert [len(batch[1]) for batch in batches] == [2, 1]
    assert torch.cat([batch[2] for batch in batches]).tolist() == [0, 1, 2]
    assert batches[0][0][0].shape == (2, 3, 8, 64, 64)


def test_two_pathways_and_several_views(tmp_path, videos):
    words = "MODEL.MODEL_NAME SlowFast MODEL.ARCH slowfast SLOWFAST.ALPHA 4 TRAIN.BATCH_SIZE 3"
    views = "DATA.TRAIN_CROP_NUM_SPATIAL 2 DATA.TRAIN_JITTER_SCALES [80,120]"
    cfg = make(tmp_path, videos, *words.split(), *views.split())
    (slow, fast), labels, index, _, _ = next(iter(construct_loader(cfg, "train")))
    assert (slow.shape[2], fast.shape[2]) == (2, 8)
    assert torch.equal(slow, fast[:, :, [0, 7]])
    assert index[::2].tolist() == index[1::2].tolist()
    assert len(labels) == 6
    assert not torch.equal(fast[0], fast[1])


def test_pathways():
    frames = torch.arange(32.0).view(1, 1, 32, 1, 1)
    slow, fast = split_pathways(frames, 8)
    assert slow.flatten().tolist() == [0, 10, 20, 31]
    assert fast is frames
    assert split_pathways(frames, 0) == [frames]


def test_mistakes(tmp_path, videos):
    with pytest.raises(ParameterError, match="split: got 'training'; expected 'train'"):
        construct_loader(make(tmp_path, videos), "training")
    audio = ("TRAIN.DATASET", "esc50", "AUDIO.ENABLE", True, "DATA.FOLD", 1)
    with pytest.raises(
        (ConfigValueError, ConfigError), match=r"TRAIN\.DATASET: esc50 has no video"
    ):
        construct_loader(make(tmp_path, videos, *audio), "train")


def test_a_script_that_stops_early_leaves_no_workers(tmp_path, videos):
    loader = construct_loader(make(tmp_path, videos, "DATA_LOADER.NUM_WORKERS", 1), "train")
    before = set(multiprocessing.active_children())
    iterator = iter(loader)
    next(iterator)
    assert set(multiprocessing.active_children()) - before
    iterator.close()
    assert not set(multiprocessing.active_children()) - before
    assert np.isfinite(next(iter(loader))[0][0].numpy()).all()
