"""Samples from real files: shapes, determinism, test views to the very end, audio on the clock."""

import re

import numpy as np
import pytest
from helpers.media_files import Audio, Video, write_media
from helpers.synthetic import synthetic_cfg

from slowfast.datasets.annotations.manifest import Manifest
from slowfast.datasets.build import build_dataset, has_split
from slowfast.datasets.catalog.video_folder import video_folder
from slowfast.datasets.clip_settings import ClipSettings
from slowfast.datasets.decoding.reader import MediaError, open_media
from slowfast.datasets.loader import construct_eval_loader, construct_train_loader
from slowfast.datasets.video_dataset import build_video_dataset
from slowfast.datasets.views.crop import ShiftAndScale


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
    dataset = video_folder(cfg, "train")
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
    dataset = video_folder(cfg, "train")
    first = dataset[2, 5]
    dataset[0, 1]
    again = video_folder(cfg, "train")[2, 5]
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)
    other = dataset[3, 5]
    assert other["aug_seed"] != first["aug_seed"]
    assert not np.array_equal(other["video"], first["video"])


def test_test_views_span_the_whole_video_in_equal_chunks(cfg):
    dataset = video_folder(cfg, "test")
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
        video_folder(cfg, "test")[0, 1]["video"], video_folder(cfg, "test")[7, 1]["video"]
    )


def test_jitter_shifts_and_scales_the_clips_of_a_test_video_alike(cfg, caplog, monkeypatch):
    boxes = []
    sample = ShiftAndScale.sample

    def spy(self, *args):
        boxes.append(sample(self, *args))
        return boxes[-1]

    monkeypatch.setattr(ShiftAndScale, "sample", spy)
    caplog.set_level("INFO")
    plain = {split: video_folder(cfg, split) for split in ("test", "gallery")}
    cfg.defrost()
    cfg.TEST.SPATIAL_JITTER = 0.5
    jittered = {split: video_folder(cfg, split) for split in plain}
    assert caplog.text.count("test clips are shifted and scaled (TEST.SPATIAL_JITTER 0.5)") == 1
    gallery = (folders["gallery"][0, 1]["video"] for folders in (plain, jittered))
    np.testing.assert_array_equal(*gallery)
    test = jittered["test"]
    for number in range(6):
        got, expected = test[0, number], plain["test"][0, number]
        assert got["video"].shape == expected["video"].shape
        assert not np.array_equal(got["video"], expected["video"])
        np.testing.assert_array_equal(got["audio"], expected["audio"])
        np.testing.assert_array_equal(test[7, number]["video"], got["video"])
    boxes.clear()
    for number in range(4):  # two chunks of two clips of each of two videos
        test[0, number]
    first, second = boxes[: len(boxes) // 2], boxes[len(boxes) // 2 :]
    assert len(first) == 4
    assert len({str(box) for box in first}) == len({str(box) for box in second}) == 1
    assert str(first[0]) != str(second[0])
    cfg.RNG_SEED += 1
    assert not np.array_equal(video_folder(cfg, "test")[0, 1]["video"], test[0, 1]["video"])


def windowed(cfg, **change):
    """The train split with every row changed."""
    manifest = video_folder(cfg, "train").manifest
    rows = [manifest.row(i)._replace(**change) for i in range(len(manifest))]
    return Manifest.from_rows(rows, manifest.class_names)


def test_training_clips_lie_in_the_window(cfg):
    clip_sec = ClipSettings.from_cfg(cfg).duration_sec
    dataset = build_video_dataset(cfg, windowed(cfg, start_sec=1.2, end_sec=2.6), "train")
    starts = [float(dataset[epoch, 4]["clip_start_sec"][0]) for epoch in range(12)]
    assert min(starts) >= 1.2
    assert max(starts) + clip_sec <= 2.6 + 1e-3
    assert len(set(starts)) == 12


def test_test_clips_span_the_window(cfg):
    dataset = build_video_dataset(cfg, windowed(cfg, start_sec=0.5, end_sec=2.0), "test")
    starts = np.concatenate([dataset[0, index]["clip_start_sec"] for index in (0, 1)])
    clip_sec = ClipSettings.from_cfg(cfg).duration_sec
    assert starts[0] == 0.5
    assert starts[-1] + clip_sec == pytest.approx(2.0, abs=1e-3)


def test_a_window_of_everything_changes_nothing(cfg):
    plain = video_folder(cfg, "train")[1, 2]
    dataset = build_video_dataset(cfg, windowed(cfg, end_sec=1000.0), "train")
    for name, value in dataset[1, 2].items():
        np.testing.assert_array_equal(value, plain[name], err_msg=name)


def test_several_clips_of_each_video_in_an_epoch(cfg):
    one = video_folder(cfg, "train")
    cfg.defrost()
    cfg.DATA.TRAIN_CLIPS_PER_VIDEO = 3
    dataset = video_folder(cfg, "train")
    assert len(dataset) == 30
    clips = [dataset[0, index] for index in (4, 14, 24)]
    assert [clip["index"] for clip in clips] == [4, 4, 4]
    assert [clip["label"] for clip in clips] == [4, 4, 4]
    assert len({float(clip["clip_start_sec"][0]) for clip in clips}) == 3
    for name, value in one[0, 4].items():  # the first is the one that there was before
        np.testing.assert_array_equal(value, clips[0][name], err_msg=name)
    assert len(video_folder(cfg, "gallery")) == 20


def test_a_few_videos_of_each_class_to_train_on_and_all_in_the_gallery(cfg):
    cfg.defrost()
    cfg.DATA.TRAIN_VIDEOS_PER_CLASS = 1
    cfg.DATA.TRAIN_CLIPS_PER_VIDEO = 2
    # The demo set through its own name: every dataset can be cut.
    cfg.DEMO_SET.NUM_TRAIN_PER_CLASS, cfg.DEMO_SET.NUM_TEST_PER_CLASS = 2, 1
    train = build_dataset("demo", cfg, "train")
    assert len(train.manifest) == 10
    assert len(train) == 20
    assert sorted(train.manifest.labels.tolist()) == list(range(10))
    gallery = build_dataset("demo", cfg, "gallery")
    assert len(gallery.manifest) == 20
    assert train.manifest.version == gallery.manifest.version
    assert re.fullmatch(r"demo-[0-9a-f]{12}", gallery.manifest.version)


def test_shifted_audio_is_that_of_a_later_instant_and_nothing_else_changes(cfg):
    plain = video_folder(cfg, "test")[0, 2]
    trained = video_folder(cfg, "train")[0, 1]
    cfg.defrost()
    cfg.AUDIO.EVAL_OFFSET_SEC = 0.5
    dataset = video_folder(cfg, "test")
    shifted = dataset[0, 2]
    for name, value in shifted.items():
        if name != "audio":
            np.testing.assert_array_equal(value, plain[name], err_msg=name)
    start = float(plain["clip_start_sec"][0])
    with open_media(dataset.path(2)) as reader:
        expected = reader.read_audio(start + 0.5, 16000, 16000)[0]
    np.testing.assert_allclose(shifted["audio"][0], expected, atol=1e-6)
    np.testing.assert_array_equal(video_folder(cfg, "train")[0, 1]["audio"], trained["audio"])


@pytest.mark.parametrize(
    ("seconds", "audio_seconds", "valid"), [(0.4, 0.4, True), (0.4, 0.1, False)]
)
def test_audio_of_a_video_shorter_than_a_clip(cfg, tmp_path, seconds, audio_seconds, valid):
    folder = tmp_path / "short"
    folder.mkdir()
    tracks = (Video(ticks=range(round(seconds * 30))), Audio(seconds=audio_seconds))
    write_media(folder / "a.mp4", *tracks)
    cfg.defrost()
    cfg.DATA.PATH_TO_DATA_DIR, cfg.DATA.FOLDER_TEST_FRACTION = str(folder), 0.0
    assert video_folder(cfg, "train")[0, 0]["audio_valid"].tolist() == [valid]
    cfg.DATA.FOLDER_TEST_FRACTION = 1.0
    assert video_folder(cfg, "test")[0, 0]["audio_valid"].tolist() == [valid] * 2


def test_splits(cfg):
    assert has_split("Kinetics", cfg, "test")
    assert not has_split("kinetics", cfg, "val")
    assert has_split("demo", cfg, "train")
    assert not has_split("demo", cfg, "val")
    assert len(video_folder(cfg, "gallery")) == 20


def test_a_file_that_is_not_a_video(cfg, tmp_path):
    folder = tmp_path / "own" / "train" / "a"
    folder.mkdir(parents=True)
    (folder / "text.mp4").write_text("hello", encoding="utf-8")
    own = synthetic_cfg(
        tmp_path, "TRAIN.DATASET", "kinetics", "DATA.PATH_TO_DATA_DIR", tmp_path / "own"
    )
    with pytest.raises(MediaError, match=r"text.mp4"):
        video_folder(own, "train")[0, 0]


def test_batches(cfg):
    batch = next(iter(construct_train_loader(cfg)))
    assert batch["video"].shape == (4, 2, 6, 16, 16, 3)
    assert batch["audio"].shape == (4, 1, 16000)
    assert batch["aug_seed"].shape == (4,)
    indices = [i for b in construct_eval_loader(cfg, "test") for i in b["index"].tolist()]
    assert indices == [i for i in range(10) for _ in range(2)]
