"""The Python API: vectors of files, folders and arrays are those of an evaluation."""

import subprocess
import sys

import av
import numpy as np
import pytest
import torch

import slowfast
from slowfast.config import ParameterError, UserError, load_config
from slowfast.engine.evaluator import Evaluation
from slowfast.engine.precision import Precision
from slowfast.models.build import construct_model
from slowfast.utils.checkpoint import checkpoint_path, write_checkpoint_file
from tests.helpers.media_files import Audio, Video, write_media

CPU = torch.device("cpu")
METHOD = (
    "PROJECTS ['stica'] MODEL.MODEL_NAME StiCA MODEL.LOSS_FUNC stica MODEL.ARCH r2plus1d_18 "
    "AUDIO.ENABLE True AUDIO.ARCH audio_resnet9 AUDIO.WIDTH 4 AUDIO.CLIP_SEC 0.5 "
    "TEST.PROTOCOLS ['class_retrieval'] MODEL.POOLING transformer"
)
CLASSIFIER = "MODEL.MODEL_NAME ResNet MODEL.ARCH r2plus1d_18 MODEL.NUM_CLASSES 3"
SMALL = (
    "RESNET.WIDTH_PER_GROUP 4 DATA.NUM_FRAMES 4 DATA.SAMPLING_RATE 4 DATA.TARGET_FPS 30 "
    "DATA.TRAIN_CROP_SIZE 32 DATA.TEST_CROP_SIZE 32 DATA.TRAIN_JITTER_SCALES [32,32] "
    "DATA.DECODING_SHORT_SIZE 0 TEST.BATCH_SIZE 2 DATA_LOADER.NUM_WORKERS 0 NUM_GPUS 0 "
    "TEST.DATASET kinetics TRAIN.DATASET kinetics"
)


def make_run(folder, words, *, classes=()):
    """A run's folder with a checkpoint of random weights."""
    cfg = load_config(
        None, [*words.split(), *SMALL.split(), "OUTPUT_DIR", str(folder)], validate=False
    ).cfg
    torch.manual_seed(0)
    model = construct_model(cfg)
    content = {"epoch": 0, "model_state": model.state_dict(), "cfg": cfg.dump()}
    write_checkpoint_file(checkpoint_path(folder, 1), content | {"class_names": list(classes)})
    return cfg, model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two classes of videos of two seconds; the last file has no audio."""
    folder = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(("a/0", "a/1", "b/2", "b/3")):
        path = folder / "test" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        video = Video(ticks=range(40 + 5 * number))
        write_media(path, video, *([Audio()] if number < 3 else []))
    return folder


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "stica"
    return make_run(folder, METHOD), folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    return make_run(folder, CLASSIFIER, classes=["x", "y", "z"]), folder


@pytest.mark.parametrize(("views", "crops", "chunk"), [(1, 1, 8), (3, 3, 3)])
def test_vectors_equal_those_of_an_evaluation(files, method, tmp_path, views, crops, chunk):
    (cfg, model), folder = method
    words = ["TEST.NUM_ENSEMBLE_VIEWS", views, "TEST.NUM_SPATIAL_CROPS", crops]
    words += ["TEST.VIEWS_PER_CHUNK", chunk]
    frozen = slowfast.load(folder, overrides=words, device="cpu")
    found = frozen.embed(files, num_workers=0)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.merge_from_list([str(w) for w in words])
    cfg.merge_from_list(["DATA.PATH_TO_DATA_DIR", str(files), "OUTPUT_DIR", str(tmp_path)])
    table = Evaluation(cfg, model, Precision.from_cfg(cfg, CPU)).features("test")
    assert found.labels == ["a", "a", "b", "b"]
    assert found.has_audio.tolist() == table.audio_valid.tolist() == [True, True, True, False]
    assert set(found.features) == set(table.features)
    for name, values in table.features.items():
        # Batches may differ, where chunks of a video are split over two: rounding only.
        np.testing.assert_allclose(found.features[name], values.numpy(), rtol=1e-5, atol=1e-6)
    first = found[0]
    assert len(first.clips) == views
    mean = np.mean([clip.video for clip in first.clips], axis=0)
    np.testing.assert_allclose(mean, first.video, rtol=1e-5, atol=1e-6)
    assert first.clips[0].start_sec < first.clips[-1].end_sec <= 40 / 30 + 0.001


def test_one_file_and_its_frames_in_memory_agree(files, method):
    _, folder = method
    frozen = slowfast.load(folder, device="cpu", overrides=["TEST.NUM_ENSEMBLE_VIEWS", 2])
    path = files / "test/a/0.mp4"
    one = frozen.embed(path)
    with av.open(str(path)) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    same = frozen.embed(frames=frames, fps=30.0)
    np.testing.assert_allclose(same.video, one.video, rtol=0, atol=1e-3)  # another converter
    assert one.audio is not None
    assert same.audio is None
    assert one.clips[0].end_sec == pytest.approx(16 / 30)
    assert np.linalg.norm(one.video_embedding) == pytest.approx(1.0, abs=1e-5)
    batch = frozen.preprocess(path)
    assert batch["video"].shape == (1, 6, 3, 4, 32, 32)
    assert batch["audio"].shape[:2] == (1, 2)


def test_audio_in_memory_is_resampled_and_mixed_to_mono(method):
    (cfg, _), folder = method
    frozen = slowfast.load(folder, device="cpu")
    frames = np.zeros((8, 40, 48, 3), np.uint8)
    rate = cfg.AUDIO.SAMPLE_RATE
    wave = np.sin(np.arange(rate) / rate * 2 * np.pi * 440).astype(np.float32)
    mono = frozen.embed(frames=frames, audio=wave)
    silent = frozen.embed(frames=frames, audio=0 * wave)
    assert np.abs(mono.audio - silent.audio).max() > 0.1
    stereo = frozen.embed(frames=frames, audio=np.stack([2 * wave, 0 * wave]))
    np.testing.assert_array_equal(mono.audio, stereo.audio)
    double = np.sin(np.arange(2 * rate) / rate * np.pi * 440).astype(np.float32)
    other = frozen.embed(frames=frames, audio=double, sample_rate=2 * rate)
    np.testing.assert_allclose(other.audio, mono.audio, rtol=1e-3, atol=1e-2)


def test_windows_cover_the_video(files, method):
    _, folder = method
    frozen = slowfast.load(folder, device="cpu")
    found = frozen.embed(files, every_sec=0.5, num_workers=0)
    for video, frames in zip(found, (40, 45, 50, 55), strict=True):
        ends = [clip.end_sec for clip in video.clips]
        assert len(video.clips) == round(frames / 30 / 0.5)
        assert ends[-1] == pytest.approx(frames / 30, abs=0.01)
        mean = np.mean([clip.video for clip in video.clips], axis=0)
        np.testing.assert_allclose(video.video, mean, rtol=1e-5, atol=1e-6)


def test_classes_are_predicted_with_their_names(files, classifier):
    _, folder = classifier
    frozen = slowfast.load(folder, device="cpu")
    path = files / "test/a/0.mp4"
    found = frozen.predict(path, top_k=2)
    assert found.path == str(path)
    assert len(found.classes) == 2
    assert found.classes[0][1] >= found.classes[1][1]
    scores = frozen.embed(path).scores
    assert scores.sum() == pytest.approx(1.0, abs=1e-5)
    assert found.label == ["x", "y", "z"][int(scores.argmax())]
    windows = frozen.predict(path, every_sec=0.5).windows
    assert [round(w.start_sec, 2) for w in windows] == [0.0, 0.5, 1.0]
    assert [p.path for p in frozen.predict(files, num_workers=0)] == frozen.embed(
        files, num_workers=0
    ).paths


def test_bad_files_are_listed(files, method, tmp_path):
    _, folder = method
    good = files / "test/a/0.mp4"
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    frozen = slowfast.load(folder, device="cpu")
    for options in ({}, {"every_sec": 0.5}):
        found = frozen.embed([good, bad], num_workers=0, **options)
        assert found.paths == [str(good)]
        assert [entry.path for entry in found.bad] == [str(bad)]
    with pytest.raises(UserError, match=r"bad.mp4 cannot be used"):
        frozen.embed(bad)


def test_mistakes_are_explained(files, method, tmp_path):
    _, folder = method
    frozen = slowfast.load(folder, device="cpu")
    path = files / "test/a/0.mp4"
    with pytest.raises(UserError, match="does not predict classes"):
        frozen.predict(path)
    with pytest.raises(ParameterError, match="either"):
        frozen.embed()
    with pytest.raises(ParameterError, match="uint8"):
        frozen.embed(frames=np.zeros((4, 8, 8, 3), np.float32))
    with pytest.raises(UserError, match="no such file or folder"):
        frozen.embed(tmp_path / "none")
    with pytest.raises(UserError, match="no video files"):
        frozen.embed(tmp_path)
    with pytest.raises(UserError, match="has no checkpoint"):
        slowfast.load(tmp_path)
    with pytest.raises(UserError, match="configuration, not weights"):
        slowfast.load("configs/StiCA/R2plus1D_pretrain.yaml")
    torch.save({"state_dict": {}}, tmp_path / "foreign.pth")
    with pytest.raises(UserError, match="has no configuration"):
        slowfast.load(tmp_path / "foreign.pth")
    with pytest.raises(UserError, match="device"):
        slowfast.load(folder, device="gpu")


def test_code_is_not_imported_from_a_folder_that_a_checkpoint_names(method, tmp_path):
    (cfg, model), _ = method
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "surprise.py").write_text("raise SystemExit('imported')\ndef add_config(cfg): ...\n")
    text = cfg.dump().replace("PROJECTS_PATH: []", f"PROJECTS_PATH: ['{evil}']")
    text = text.replace("PROJECTS:\n- stica", "PROJECTS:\n- surprise")
    assert str(evil) in text
    assert "surprise" in text
    torch.save({"model_state": model.state_dict(), "cfg": text}, tmp_path / "weights.pyth")
    with pytest.raises(UserError, match="no project 'surprise'"):
        slowfast.load(tmp_path / "weights.pyth")


def test_the_zoo():
    frozen = slowfast.load("zoo://stica-demo", device="cpu")
    assert frozen.has_joint_space
    assert frozen.modalities == {"video", "audio"}
    found = frozen.embed(
        frames=np.zeros((9, 40, 40, 3), np.uint8), audio=np.ones(48000, np.float32)
    )
    assert found.video.shape == (64,)
    assert found.audio_embedding.shape == found.video_embedding.shape
    assert "zoo://stica-demo" in repr(frozen)
    assert "video (64,)" in repr(found)


def test_the_package_imports_no_torch_by_itself():
    code = (
        "import sys, slowfast as s; print('torch' in sys.modules, s.load, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"
    assert done.stdout.split()[-1] == "True"
