"""Audio files as samples: windows, determinism, chunks, short files, batches without video."""

import numpy as np
import pytest
import torch
from helpers.data_files import data_cfg, write
from helpers.media_files import Audio, Video, write_media

from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.datasets.audio_dataset import AudioEvalDataset, AudioSettings, AudioTrainDataset
from slowfast.datasets.catalog.video_folder import audio_folder
from slowfast.datasets.decoding.reader import MediaError, open_media
from slowfast.datasets.loader import construct_eval_loader, construct_train_loader
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.utils.random import STREAM_CLIP, sample_rng

RATE = 16000
PCM = Audio("pcm_s16le", 22050, "mono", {})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Class folders with four audio files of 2 s to train on, and two to test on, one of 0.3 s."""
    folder = tmp_path_factory.mktemp("audio")
    for name in ("train/a/1", "train/a/2", "train/b/3", "train/b/4", "test/a/5"):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_media(path, PCM)
    (folder / "test" / "b").mkdir()
    write_media(folder / "test" / "b" / "6.ogg", Audio("vorbis", options={}, seconds=0.3))
    return folder


@pytest.fixture
def cfg(root, tmp_path):
    words = (
        "AUDIO.SAMPLE_RATE 16000 AUDIO.CLIP_SEC 0.8 TEST.NUM_ENSEMBLE_VIEWS 4 "
        "TEST.VIEWS_PER_CHUNK 2 TEST.NUM_SPATIAL_CROPS 3 TRAIN.BATCH_SIZE 2 TEST.BATCH_SIZE 4 "
        "TRAIN.DATASET audio_folder TEST.DATASET Audio_Folder DATA_LOADER.NUM_WORKERS 0 NUM_GPUS 0"
    )
    return data_cfg(root, *words.split(), "OUTPUT_DIR", tmp_path)


def window(path, start_sec):
    with open_media(path) as reader:
        return reader.read_audio(start_sec, round(0.8 * RATE), RATE)[0]


def test_a_training_sample(cfg):
    dataset = audio_folder(cfg, "train")
    assert isinstance(dataset, AudioTrainDataset)
    sample = dataset[3, 2]
    assert set(sample) == {
        *("audio", "audio_valid", "label", "index", "clip_start_sec", "view", "aug_seed")
    }
    assert sample["audio"].shape == (1, 12800)
    assert sample["audio"].dtype == np.float32
    assert (sample["label"], sample["index"], sample["view"].tolist()) == (1, 2, [0])
    start = sample_rng(cfg.RNG_SEED, 3, 2, STREAM_CLIP).random() * 1.2  # of 2 s less the window
    assert sample["clip_start_sec"] == pytest.approx([start], abs=1e-3)
    np.testing.assert_array_equal(sample["audio"][0], window(dataset.path(2), start))


def test_a_sample_depends_on_seed_epoch_and_index_alone(cfg):
    first = audio_folder(cfg, "train")[2, 1]
    dataset = audio_folder(cfg, "train")
    dataset[0, 3]
    for name, value in dataset[2, 1].items():
        np.testing.assert_array_equal(value, first[name], err_msg=name)
    other = dataset[1, 1]
    assert other["aug_seed"] != first["aug_seed"]
    assert other["clip_start_sec"] != first["clip_start_sec"]


def test_test_windows_span_the_whole_file_in_chunks(cfg):
    dataset = audio_folder(cfg, "test")
    assert isinstance(dataset, AudioEvalDataset)
    assert len(dataset) == 4
    chunks = [dataset[0, 0], dataset[0, 1]]
    assert [chunk["index"] for chunk in chunks] == [0, 0]
    assert np.concatenate([c["view"] for c in chunks]).tolist() == [0, 1, 2, 3]
    starts = np.concatenate([c["clip_start_sec"] for c in chunks])
    np.testing.assert_allclose(starts, [0, 0.4, 0.8, 1.2], atol=1e-3)
    for chunk in chunks:
        assert chunk["audio"].shape == (2, 12800)
        assert chunk["audio_valid"].all()
        for audio, start in zip(chunk["audio"], chunk["clip_start_sec"], strict=True):
            np.testing.assert_allclose(audio, window(dataset.path(0), start), atol=1e-6)
    for name, value in dataset[9, 1].items():
        np.testing.assert_array_equal(value, chunks[1][name], err_msg=name)


def test_the_gallery_is_the_train_split_and_val_one_window_in_the_center(cfg, root):
    gallery = audio_folder(cfg, "gallery")
    assert len(gallery) == 8
    assert gallery.path(7) == str(root / "train" / "b" / "4.wav")
    settings = AudioSettings(0.8, RATE)
    rows = Manifest.from_rows([VideoRecord(str(root / "test" / "a" / "5.wav"))], [])
    one = AudioEvalDataset(rows, settings, seed=0, num_clips=1, views_per_chunk=6)
    assert one[0, 0]["clip_start_sec"] == pytest.approx([0.6], abs=1e-3)


def test_jitter_of_frames_is_said_to_have_no_effect(cfg, caplog):
    cfg.defrost()
    cfg.TEST.SPATIAL_JITTER = 0.5
    for split in ("train", "gallery", "test"):
        assert "TEST.SPATIAL_JITTER" not in caplog.text
        audio_folder(cfg, split)
    assert "TEST.SPATIAL_JITTER 0.5 has no effect" in caplog.text


def test_a_short_file_is_followed_by_silence_and_counts(cfg):
    sample = audio_folder(cfg, "test")[0, 2]
    assert sample["clip_start_sec"].tolist() == [0, 0]
    assert sample["audio_valid"].all()  # all of it, though less than half of the window
    assert sample["audio"][0, :4000].any()
    assert not sample["audio"][0, 5000:].any()


def test_a_window_of_a_file_is_all_that_is_read(cfg, root):
    row = VideoRecord(str(root / "train" / "a" / "1.wav"), 0, 1.0, 2.0)
    settings = AudioSettings(0.8, RATE)
    dataset = AudioTrainDataset(Manifest.from_rows([row], []), settings, seed=0)
    starts = [float(dataset[epoch, 0]["clip_start_sec"][0]) for epoch in range(20)]
    assert min(starts) >= 1.0
    assert max(starts) <= 1.2 + 1e-3
    assert len(set(starts)) == 20


def test_several_windows_of_each_file_in_an_epoch(cfg):
    cfg.DATA.TRAIN_CLIPS_PER_VIDEO = 3
    dataset = audio_folder(cfg, "train")
    assert len(dataset) == 12
    clips = [dataset[0, index] for index in (1, 5, 9)]
    assert [clip["index"] for clip in clips] == [1, 1, 1]
    assert len({float(clip["clip_start_sec"][0]) for clip in clips}) == 3


def test_a_few_files_of_each_class(cfg):
    cfg.DATA.TRAIN_VIDEOS_PER_CLASS = 1
    train = audio_folder(cfg, "train")
    assert train.manifest.labels.tolist() == [0, 1]
    assert len(audio_folder(cfg, "gallery").manifest) == 4


def test_a_file_without_audio_is_bad(tmp_path):
    silent = write_media(tmp_path / "silent.mp4", Video(ticks=range(9)))
    rows = Manifest.from_rows([VideoRecord(str(silent))], [])
    with pytest.raises(MediaError, match="no audio that can be decoded"):
        _ = AudioTrainDataset(rows, AudioSettings(), seed=0)[0, 0]


def test_audio_of_a_csv(cfg, root, tmp_path):
    write(tmp_path / "lists" / "train.csv", "path,label", f"{root / 'train/a/1.wav'},7")
    cfg.DATA.PATH_TO_DATA_DIR = str(tmp_path / "lists")
    assert audio_folder(cfg, "train")[0, 0]["label"] == 7


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_without_video(cfg, workers):
    cfg.DATA_LOADER.NUM_WORKERS = workers
    cfg.SOLVER.MAX_EPOCH = 1
    batches = list(construct_train_loader(cfg))
    assert [len(batch["label"]) for batch in batches] == [2, 2]
    assert "video" not in batches[0]
    prepared = build_preprocess(cfg, train=True)(batches[0])
    assert "video" not in prepared
    assert prepared["audio"].shape[:3] == (2, 1, 1)
    assert prepared["audio"].dtype == torch.float32
    (test,) = construct_eval_loader(cfg, "test")
    assert test["index"].tolist() == [0, 0, 1, 1]
    assert test["view"].tolist() == [[0, 1], [2, 3], [0, 1], [2, 3]]
    assert test["audio"].shape == (4, 2, 12800)
