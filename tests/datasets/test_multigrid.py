"""Clips of the shapes of multigrid training, from real files and through the loader."""

import numpy as np
import pytest
import torch
from helpers.synthetic import synthetic_cfg

from slowfast.datasets.build import build_dataset
from slowfast.datasets.catalog.video_folder import video_folder
from slowfast.datasets.loader import construct_train_loader
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.datasets.video_dataset import build_video_dataset
from slowfast.utils.multigrid import ClipShape

WORDS = (
    "TRAIN.DATASET kinetics TEST.DATASET kinetics DATA.NUM_FRAMES 8 DATA.SAMPLING_RATE 2 "
    "DATA.TRAIN_CROP_SIZE 32 DATA.TRAIN_JITTER_SCALES [40,44] DATA.DECODING_SHORT_SIZE 64 "
    "TRAIN.BATCH_SIZE 1 SOLVER.LR_POLICY steps_with_relative_lrs SOLVER.STEPS [0,2] "
    "SOLVER.LRS [1,1] SOLVER.MAX_EPOCH 3 MULTIGRID.LONG_CYCLE True "
    "MULTIGRID.LONG_CYCLE_FACTORS [[0.5,1],[1,1]]"
).split()
SHORT = ("MULTIGRID.SHORT_CYCLE", True, "MULTIGRID.SHORT_CYCLE_FACTORS", "[0.5]")


def make_cfg(tmp_path, videos, *words):
    return synthetic_cfg(tmp_path, *WORDS, "DATA.PATH_TO_DATA_DIR", videos, *words)


@pytest.mark.parametrize("sampling", ["time_bins", "pyslowfast"])
def test_fewer_frames_may_span_as_long_a_time(tmp_path, videos, sampling):
    """A clip of half the frames equals that of a fixed DATA.SAMPLING_RATE, from 2 to 4."""
    words = ("DATA.SAMPLING", sampling)
    half = video_folder(make_cfg(tmp_path, videos, *words), "train").variants[ClipShape(4, 32)]
    keys = [(epoch, index) for epoch in range(3) for index in range(10)]
    settings = [half.settings.with_random_rate((half.seed, *key)) for key in keys]
    rates = [clip.sampling.sampling_rate for clip in settings]
    assert set(rates) == {2, 3, 4}
    for key, rate in list(zip(keys, rates, strict=True))[:6]:
        words += ("MULTIGRID.LONG_CYCLE", False, "DATA.NUM_FRAMES", 4, "DATA.SAMPLING_RATE", rate)
        fixed = make_cfg(tmp_path, videos, *words)
        wanted = build_video_dataset(fixed, half.manifest, "train")[key]
        got = half[key]
        assert got["clip_start_sec"] == wanted["clip_start_sec"]
        np.testing.assert_array_equal(got["video"], wanted["video"])


def test_segments_always_span_the_video(tmp_path, videos):
    words = ("DATA.SAMPLING", "segments")
    half = video_folder(make_cfg(tmp_path, videos, *words), "train").variants[ClipShape(4, 32)]
    words += ("MULTIGRID.LONG_CYCLE", False, "DATA.NUM_FRAMES", 4)
    wanted = build_video_dataset(make_cfg(tmp_path, videos, *words), half.manifest, "train")
    np.testing.assert_array_equal(half[1, 2]["video"], wanted[1, 2]["video"])


def test_labels_have_the_same_width_in_all_shapes(tmp_path, videos):
    file = next(videos.rglob("train/*/*.mp4"))
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text(f"{file} 3,5\n{file} 1\n", encoding="utf-8")
    words = ("DATA.MULTI_LABEL", True, "MODEL.LOSS_FUNC", "bce_logit", "MODEL.HEAD_ACT", "sigmoid")
    cfg = make_cfg(tmp_path, tmp_path, *words, "MODEL.NUM_CLASSES", 10)
    dataset = build_dataset("kinetics", cfg, "train")
    full, half = (each[0, 0]["label"] for each in (dataset, dataset.variants[ClipShape(4, 32)]))
    np.testing.assert_array_equal(full, half)
    assert np.flatnonzero(full).tolist() == [3, 5]


def test_full_clips_are_those_without_multigrid(tmp_path, videos):
    dataset = video_folder(make_cfg(tmp_path, videos), "train")
    plain = video_folder(make_cfg(tmp_path, videos, "MULTIGRID.LONG_CYCLE", False), "train")
    assert plain.variants == {}
    full = dataset.variants[ClipShape(8, 32)]
    np.testing.assert_array_equal(full[1, 3]["video"], plain[1, 3]["video"])
    assert full.manifest is dataset.manifest  # read once


def test_small_crops_show_a_smaller_scale(tmp_path, videos):
    """At half the side the lowest scale is half, too."""
    dataset = video_folder(make_cfg(tmp_path, videos, *SHORT), "train")
    small = dataset.variants[ClipShape(8, 16)]
    assert small[0, 0]["video"].shape == (1, 8, 16, 16, 3)
    crops = [small._views.views[0].transform.crop, dataset._views.views[0].transform.crop]
    rng = np.random.default_rng(0)
    widths = [[crop.sample(64, 64, rng).width for _ in range(200)] for crop in crops]
    assert max(widths[0]) == pytest.approx(64 * 16 / 20, abs=1.5)
    assert max(widths[1]) == pytest.approx(64 * 32 / 40, abs=1.5)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_the_loader_have_the_shapes_of_the_schedule(tmp_path, videos, workers):
    cfg = make_cfg(tmp_path, videos, *SHORT, "DATA_LOADER.NUM_WORKERS", workers)
    prepare = build_preprocess(cfg, train=True)
    loader = construct_train_loader(cfg)
    shapes = [tuple(prepare(batch)["video"].shape) for batch in loader]
    short, long = (8, 1, 3, 4, 16, 16), (2, 1, 3, 4, 32, 32)
    assert shapes[:2] == [short, long]  # ten clips
    assert shapes[-4:] == [(4, 1, 3, 8, 16, 16), (1, 1, 3, 8, 32, 32)] * 2
    assert len(shapes) == len(construct_train_loader(cfg))


def test_bad_files_are_replaced_by_clips_of_the_same_shape(tmp_path, videos):
    cfg = make_cfg(tmp_path, videos, *SHORT, "DATA.MAX_BAD_FRACTION", 0.5)
    loader = construct_train_loader(cfg)
    loader.dataset.quarantine[4] = True
    shapes = {batch["video"].shape[2:] for batch in loader}
    assert shapes == {torch.Size([t, s, s, 3]) for t in (4, 8) for s in (16, 32)}
