"""What makes the decode benchmark fair: unequal output is found, and is not timed."""

import shutil
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("_importable")
needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="the peer decodes audio with the command ffmpeg"
)


@pytest.fixture
def window_and_output(tmp_path):
    from decode.check import Reference
    from decode.clips import Clip, make_clip
    from decode.window import Window
    from peers.decode import slowfast

    path = make_clip(Clip("64x48", "h264", 12, seconds=3), tmp_path)
    window = Window(25, 30, 30, 64, 48)
    return Reference(path, [window]), window, *slowfast.read(str(path), window)


def test_the_frames_and_the_audio_of_the_window_pass(window_and_output):
    reference, window, frames, audio = window_and_output
    facts = reference.compare(window, frames, audio)
    assert facts["problem"] == ""
    assert facts["frames_right"] == 30
    assert facts["offset_0"] < 1 < facts["offset_1"]
    assert facts["audio_lag_ms"] == 0


def test_one_frame_of_another_time_is_found(window_and_output):
    reference, window, frames, audio = window_and_output
    wrong = frames.copy()
    wrong[17] = wrong[18]
    assert reference.compare(window, wrong, audio)["problem"] == "1 of 30 frames are others"
    assert "frames of shape" in reference.compare(window, frames[:-1], audio)["problem"]


def test_audio_of_another_time_is_found(window_and_output):
    reference, window, frames, audio = window_and_output
    late = np.pad(audio, (960, 0))[: len(audio)]  # 40 ms
    facts = reference.compare(window, frames, late)
    assert "audio of another time" in facts["problem"]
    assert facts["audio_lag_ms"] == 40


def test_plain_pyav_and_opencv_return_the_same_window(window_and_output, tmp_path):
    from peers.decode import opencv, pyav

    reference, window, *_ = window_and_output
    (path,) = tmp_path.glob("*.mp4")
    for reader in (pyav, opencv):
        facts = reference.compare(window, *reader.read(str(path), window))
        assert facts["problem"] == "", reader.__name__


def test_a_reader_that_is_not_installed_or_fails_is_a_row_with_a_reason():
    from decode.report import make_rows

    readers = {
        "slowfast": {"problem": "", "cpu_ms": 10.0},
        "torchcodec": {"problem": "not installed"},
        "decord": {"problem": "cannot read it"},
        "pyav": {"problem": "", "cpu_ms": 20.0},
        "opencv": {"problem": "", "cpu_ms": 5.0},
    }
    files = {"a": {"readers": readers, "limit_cpu_ms": 9.0}}
    rows = {row["peer_name"]: row for row in make_rows(files)}
    assert rows["torchcodec"]["why"] == "not installed"
    assert rows["torchcodec"]["ours"] is None
    assert rows["decord2"]["why"] == "cannot read it"
    assert rows["PyAV"]["ratio"] == 2.0
    assert rows["OpenCV + PyAV"]["met"] is False
    assert rows["ffmpeg to null, less its start-up"]["ratio"] == 0.9


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [
        ("dies", "import os; os._exit(3)", "crashes when it is imported"),
        ("absent", "import no_such_package_at_all", "not installed"),
        ("broken", "raise OSError('libx.so: not found')", "cannot be imported: OSError: libx.so"),
    ],
)
def test_a_reader_that_cannot_be_imported_says_so(tmp_path, monkeypatch, name, code, problem):
    from decode.readers import Reader

    folder = tmp_path / "peers" / "decode"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / f"{name}.py").write_text(code)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    reader = Reader(name)
    assert reader.problem.startswith(problem)
    reader.close()


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path):
    import bench_decode

    out = tmp_path / "decode.json"
    content = bench_decode.main(["--tiny", "--folder", str(tmp_path), "--out", str(out)])
    (facts,) = content["files"].values()
    assert {"slowfast", "pyav", "opencv"} <= facts["readers"].keys()
    for name in ("slowfast", "pyav", "opencv"):
        own = facts["readers"][name]
        assert own["problem"] == ""
        assert own["cpu_ms"] > 0
        assert own["frames_right"] == 30
    assert "64x48 h264 gop 12" in out.with_suffix(".md").read_text()
    assert out.with_suffix(".png").stat().st_size > 5000


@needs_ffmpeg
@pytest.mark.slow
def test_the_benchmark_of_samples_runs(tmp_path):
    import bench_sample

    content = bench_sample.main(["--tiny", "--folder", str(tmp_path)])
    assert len(content["rows"]) == 5
    facts = content["details"]["64x48"]
    assert facts["frames_differ_by_gray_levels"] < 1
    assert set(facts["parts_raw"]) == {"open", "video", "audio", "views", "collate", "prepare"}
    assert facts["skip_loop_filter"]["none"]["largest_error"] == 0
    assert set(facts["presets"]) == {"ultrafast", "superfast", "veryfast", "fast"}


def test_the_peer_of_samples_makes_the_views_of_ours():
    """The float order and ours give the same crops, within rounding."""
    import torch
    from peers.float_views import float_view

    from slowfast.datasets.views.crop import Box
    from slowfast.datasets.views.functional import ViewParams, apply_view

    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), np.uint8)
    params = ViewParams(Box(4, 4, 32, 32), flip=True)
    ours = torch.from_numpy(apply_view(frames, params, 32)).permute(3, 0, 1, 2) / 255
    theirs = float_view(frames, params, 32) * 0.225 + 0.45
    torch.testing.assert_close(theirs, ours.float(), atol=1e-5, rtol=0)


def test_the_peer_of_samples_makes_the_spectrogram_of_ours():
    """That of AUDIO.PSF_COMPAT, whose samples have the scale of 16 bits."""
    import torch
    from peers.released_sample import Sizes, log_mel

    from slowfast.config import get_cfg
    from slowfast.datasets.preprocess.spectrogram import build_spectrogram

    cfg = get_cfg()
    cfg.AUDIO.PSF_COMPAT = True
    wave = np.random.default_rng(0).normal(0, 0.1, 24000).astype(np.float32)
    ours = build_spectrogram(cfg)(torch.from_numpy(wave)[None])[0]
    theirs = log_mel(wave * 2**15, Sizes())
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)


@needs_ffmpeg
def test_the_peer_of_samples_decodes_all_audio_of_a_file(tmp_path):
    from decode.clips import Clip, make_clip
    from peers.released_sample import decode_audio

    path = make_clip(Clip("64x48", "h264", 12, seconds=3), tmp_path)
    assert abs(len(decode_audio(path, 24000)) - 3 * 24000) < 4096
