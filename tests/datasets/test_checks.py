"""What is wrong with a configuration of data is said with its key."""

import pytest
from helpers.data_files import data_cfg

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import Problem
from slowfast.datasets.checks import (
    check_audio_only,
    check_clips,
    check_data,
    check_demo,
    check_names,
)
from slowfast.datasets.clip_settings import ClipSettings
from slowfast.utils.checkpoint import checkpoint_path, write_checkpoint_file


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("DATA.TRAIN_CLIPS_PER_VIDEO", 0, "got 0, expected more than 0."),
        ("DATA.TRAIN_VIDEOS_PER_CLASS", -1, "got -1, expected 0 or more."),
        ("DATA.FOLD", -2, "got -2, expected 0 or more."),
        ("AUDIO.CLIP_SEC", 0.0, "got 0.0, expected more than 0."),
        ("AUDIO.CLIP_SEC", 1e30, "got 1e+30, expected more than 0, at most 86400."),
        ("AUG.NUM_SAMPLE", 10**6, "got 1000000, expected more than 0, at most 1000."),
        (
            "DATA_LOADER.NUM_WORKERS",
            -2,
            "got -2, expected 0 or more, or -1 for a number by the cores.",
        ),
        ("DATA_LOADER.PREFETCH_FACTOR", 0, "got 0, expected 1 or more."),
        (
            "DATA.SKIP_LOOP_FILTER",
            "nonref",
            "got 'nonref'. Known: all, none, noref. Did you mean 'noref'?",
        ),
    ],
)
def test_numbers(tmp_path, key, value, message):
    assert check_data(data_cfg(tmp_path)) == []
    assert check_data(data_cfg(tmp_path, key, value)) == [Problem(key, message)]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TEST.NUM_ENSEMBLE_VIEWS", 0, "got 0, expected 1 to 10000, or -1"),
        ("TEST.NUM_ENSEMBLE_VIEWS", 10**9, "got 1000000000, expected 1 to 10000"),
        ("TEST.NUM_TEMPORAL_CLIPS", [3, 10**9], "each 1 to 10000"),
    ],
)
def test_numbers_of_clips(tmp_path, key, value, message):
    assert check_clips(data_cfg(tmp_path)) == []
    (problem,) = check_clips(data_cfg(tmp_path, key, value))
    assert problem.key == key
    assert message in problem.message


def test_an_audio_clip_has_a_sample(tmp_path):
    words = ("AUDIO.ENABLE", True, "AUDIO.SAMPLE_RATE", 16000, "AUDIO.CLIP_SEC")
    assert check_data(data_cfg(tmp_path, *words, 1 / 16000)) == []
    (problem,) = check_data(data_cfg(tmp_path, *words, 1e-30))
    assert problem.key == "AUDIO.CLIP_SEC"
    assert "less than one sample of audio at AUDIO.SAMPLE_RATE 16000" in problem.message
    assert check_data(data_cfg(tmp_path, "AUDIO.ENABLE", False, "AUDIO.CLIP_SEC", 1e-30)) == []


def test_the_loop_filter_is_skipped_in_training_alone_and_not_in_the_cache(tmp_path):
    words = ("DATA.SKIP_LOOP_FILTER", "all")
    cfg = data_cfg(tmp_path, *words)
    skips = [
        ClipSettings.from_cfg(cfg, split).skip_loop_filter for split in ("train", "val", "test")
    ]
    assert skips == ["all", "none", "none"]
    (problem,) = check_data(data_cfg(tmp_path, *words, "DATA_LOADER.CACHE_DECODED", True))
    assert problem.key == "DATA.SKIP_LOOP_FILTER"
    assert "DATA_LOADER.CACHE_DECODED, which is exact; use 'none'" in problem.message


@pytest.mark.parametrize("name", ["esc50", "ESC10", "dcase2014", "audio_folder"])
@pytest.mark.parametrize("key", ["TRAIN", "TEST"])
def test_audio_datasets_need_audio(tmp_path, name, key):
    words = (f"{key}.DATASET", name, "AUDIO.ENABLE", False)
    (problem,) = check_audio_only(data_cfg(tmp_path, *words))
    assert problem.key == "AUDIO.ENABLE"
    assert f"the dataset {name.lower()} is audio-only; use True" in problem.message
    assert check_audio_only(data_cfg(tmp_path, *words[:2])) == []
    assert check_audio_only(data_cfg(tmp_path, *words, f"{key}.ENABLE", False)) == []


def test_video_needs_none_and_unknown_names_are_told_elsewhere(tmp_path):
    assert check_audio_only(data_cfg(tmp_path, "AUDIO.ENABLE", False)) == []
    cfg = data_cfg(tmp_path, "TRAIN.DATASET", "esc5", "AUDIO.ENABLE", False)
    assert check_audio_only(cfg) == []
    (problem,) = check_names(cfg)
    assert problem.key == "TRAIN.DATASET"
    assert "esc50" in problem.message


OF_THE_DEMO = "DATA: {DEMO_CFG: demo.yaml, PATH_TO_DATA_DIR: ''}"
OF_AN_EARLIER_VERSION = "DATA: {DEMO_ACTIVE: true, DEMO_CFG: demo.yaml, PATH_TO_DATA_DIR: ''}"
OF_REAL_VIDEO = "DATA: {DEMO_CFG: demo.yaml, PATH_TO_DATA_DIR: videos}"


@pytest.mark.parametrize(
    ("saved", "data", "message"),
    [
        (OF_THE_DEMO, "videos", "holds checkpoints of a demo run"),
        (OF_AN_EARLIER_VERSION, "videos", "holds checkpoints of a demo run"),
        (OF_REAL_VIDEO, "", "holds checkpoints of training on real data"),
        ("", "", "holds checkpoints of training on real data"),
        (OF_THE_DEMO, "", ""),
        (OF_AN_EARLIER_VERSION, "", ""),
        (OF_REAL_VIDEO, "videos", ""),
        ("", "videos", ""),
    ],
)
def test_the_demo_set_and_real_training_do_not_continue_each_other(tmp_path, saved, data, message):
    write_checkpoint_file(checkpoint_path(tmp_path, 1), {"cfg": saved} if saved else {})
    words = ("OUTPUT_DIR", tmp_path, "DATA.DEMO_CFG", "demo.yaml", "DATA.PATH_TO_DATA_DIR", data)
    found = check_demo(data_cfg(tmp_path, *words, "NUM_GPUS", 0))
    assert [problem.key for problem in found] == (["OUTPUT_DIR"] if message else [])
    assert message in "".join(problem.message for problem in found)


def test_several_processes_do_not_start_the_demo_set(tmp_path):
    words = ("OUTPUT_DIR", tmp_path, "NUM_GPUS", 0, "NUM_CPU_PROCESSES", 2, "DATA.DEMO_CFG", "x")
    (problem,) = check_demo(data_cfg(tmp_path, *words, "DATA.PATH_TO_DATA_DIR", ""))
    assert problem.key == "DATA.PATH_TO_DATA_DIR"
    assert "on 2 processes" in problem.message
    assert check_demo(data_cfg(tmp_path, *words, "DATA.PATH_TO_DATA_DIR", "videos")) == []
