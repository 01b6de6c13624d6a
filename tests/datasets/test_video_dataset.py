"""Samples from real files: shapes, determinism, test views to the very end, sound on the clock."""

import numpy as np
import pytest
from helpers.synthetic import synthetic_cfg

from slowfast.datasets.build import has_split
from slowfast.datasets.demo import DemoSpec, generate_demo
from slowfast.datasets.kinetics import kinetics
from slowfast.datasets.loader import construct_loader, construct_train_loader
from slowfast.datasets.media import MediaError
from slowfast.datasets.video_dataset import ClipSettings


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    spec = DemoSpec(num_train_per_class=1, num_test_per_class=1)
    return generate_demo(tmp_path_factory.mktemp("videos"), spec, num_workers=0)


@pytest.fixture
def cfg(tmp_path, videos):
    words = (
        "TRAIN.DATASET kinetics TEST.DATASET Kinetics DATA.NUM_FRAMES 6 DATA.SAMPLING_RATE 3 "
        "DATA.TRAIN_JITTER_SCALES [20,24] DATA.DECODING_SHORT_SIZE 40 AUDIO.ENABLE True "
        "AUDIO.CLIP_SEC 1.0 AUDIO.SAMPLE_RATE 16000 DATA.TRAIN_CROP_NUM_SPATIAL 2 "
        "TEST.NUM_ENSEMBLE_VIEWS 4 TEST.NUM_SPATIAL_CROPS 3 TEST.VIEWS_PER_CHUNK 7"
    )
    return synthetic_cfg(tmp_path, *words.split(), "DATA.PATH_TO_DATA_DIR", videos)


def test_a_training_sample(cfg):
    dataset = kinetics(cfg, "train")
    assert len(dataset) == 10
    sample = dataset[0, 3]
    assert sample["video"].shape == (2, 6, 16, 16, 3)
    assert sample["video"].dtype == np.uint8
    assert sample["audio"].shape == (1, 16000)
    assert sample["audio_valid"].tolist() == [True]
    assert (sample["label"], sample["index"]) == (3, 3)
    assert sample["clip_start_sec"][0] == sample["clip_start_sec"][1]
    assert not np.array_equal(sample["video"][0], sample["video"][1])


def test_a_sample_depends_on_seed_epoch_and_index_alone(cfg):
    dataset = kinetics(cfg, "train")
    first = dataset[2, 5]
    dataset[0, 1]
    again = kinetics(cfg, "train")[2, 5]
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)
    other = dataset[3, 5]
    assert other["aug_seed"] != first["aug_seed"]
    assert not np.array_equal(other["video"], first["video"])


def test_test_views_span_the_whole_video_in_equal_chunks(cfg):
    dataset = kinetics(cfg, "test")
    assert dataset.chunks_per_video == 2  # 7 views at most: two clips of three crops
    chunks = [dataset[0, index] for index in (4, 5)]
    assert [chunk["index"] for chunk in chunks] == [2, 2]
    assert all(chunk["video"].shape == (6, 6, 16, 16, 3) for chunk in chunks)
    assert all(chunk["audio"].shape == (2, 16000) for chunk in chunks)
    assert np.concatenate([c["view"] for c in chunks]).tolist() == list(range(12))
    starts = np.concatenate([c["clip_start_sec"] for c in chunks])
    assert starts[0] == 0
    clip_sec = ClipSettings.from_cfg(cfg).duration_sec
    assert starts[-1] + clip_sec == pytest.approx(3.0, abs=0.1)  # the demo's clips last 3 s


def test_test_views_are_deterministic(cfg):
    np.testing.assert_array_equal(
        kinetics(cfg, "test")[0, 1]["video"], kinetics(cfg, "test")[7, 1]["video"]
    )


def test_splits(cfg):
    assert has_split("Kinetics", cfg, "test")
    assert not has_split("kinetics", cfg, "val")
    assert has_split("demo", cfg, "train")
    assert not has_split("demo", cfg, "val")
    assert len(kinetics(cfg, "gallery")) == 20


def test_a_file_that_is_not_a_video(cfg, tmp_path):
    folder = tmp_path / "own" / "train" / "a"
    folder.mkdir(parents=True)
    (folder / "text.mp4").write_text("hello", encoding="utf-8")
    own = synthetic_cfg(
        tmp_path, "TRAIN.DATASET", "kinetics", "DATA.PATH_TO_DATA_DIR", tmp_path / "own"
    )
    with pytest.raises(MediaError, match=r"text.mp4"):
        kinetics(own, "train")[0, 0]


def test_batches(cfg):
    batch = next(iter(construct_train_loader(cfg)))
    assert batch["video"].shape == (4, 2, 6, 16, 16, 3)
    assert batch["audio"].shape == (4, 1, 16000)
    assert batch["aug_seed"].shape == (4,)
    indices = [i for b in construct_loader(cfg, "test") for i in b["index"].tolist()]
    assert indices == [i for i in range(10) for _ in range(2)]
