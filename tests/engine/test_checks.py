"""Settings of a run that cannot work are reported, with key and remedy."""

import math

import pytest

from slowfast.config import get_cfg, load_config
from slowfast.engine import checks
from slowfast.engine.checks import check_probe, check_run


def problems_of(key, value, check=check_probe, **others):
    cfg = get_cfg()
    for name, other in {key: value, **others}.items():
        cfg.merge_from_list([name, other])
    return [str(problem) for problem in check(cfg)]


def test_the_defaults_are_right():
    assert check_probe(get_cfg()) == check_run(get_cfg()) == []


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("PROBE.RANKS", [], "integers >= 1"),
        ("PROBE.RANKS", [1, 0], "integers >= 1"),
        ("PROBE.FEW_SHOT_K", [1.5], "integers >= 1"),
        ("PROBE.WEIGHT_DECAY_GRID", [], "numbers > 0"),
        ("PROBE.WEIGHT_DECAY_GRID", [0.1, 0.0], "numbers > 0"),
        ("PROBE.WEIGHT_DECAY_GRID", ["1e-3"], "numbers > 0"),
        ("PROBE.SVM_COSTS", [math.inf], "numbers > 0"),
        ("PROBE.KNN_K", 0, "at least 1"),
        ("PROBE.KNN_TEMPERATURE", 0.0, "a number > 0"),
        ("PROBE.VALIDATION_FOLDS", 1, "at least 2"),
        ("PROBE.FEW_SHOT_EPISODES", 1, "at least 2"),
        ("PROBE.SYNC_OFFSET_SEC", 0.0, "other than 0"),
        ("PROBE.SYNC_OFFSET_SEC", math.nan, "other than 0"),
        ("PROBE.FEATURE", "vidoe", "Did you mean 'video'"),
    ],
)
def test_values_out_of_range(key, value, expected):
    cfg = get_cfg()
    section, name = key.split(".")
    cfg[section][name] = value
    (problem,) = check_probe(cfg)
    assert problem.key == key
    assert expected in problem.message


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("TEST.PROTOCOLS", ["cross_modal_retrieval"], "cross_modal_retrieval"),
        ("TEST.PROTOCOLS", ["av_sync"], "av_sync"),
        ("PROBE.FEATURE", "audio", "'audio'"),
    ],
)
def test_audio_is_needed(key, value, name):
    assert problems_of(key, value) == [f"{key}: {name} needs AUDIO.ENABLE True."]
    assert problems_of(key, value, **{"AUDIO.ENABLE": True}) == []


def test_alignment_shifts_the_audio_itself():
    words = {"AUDIO.ENABLE": True, "AUDIO.EVAL_OFFSET_SEC": 0.5}
    (wrong,) = problems_of("TEST.PROTOCOLS", ["av_sync"], **words)
    assert wrong.startswith("AUDIO.EVAL_OFFSET_SEC: got 0.5")
    assert problems_of("TEST.PROTOCOLS", ["knn"], **words) == []


def test_a_library_that_is_missing_is_told_before_training(monkeypatch):
    monkeypatch.setattr(checks, "has_scikit_learn", lambda: False)
    (wrong,) = problems_of("TEST.PROTOCOLS", ["linear_svm"])
    assert "pip install 'slowfast-stica[eval]'" in wrong
    assert problems_of("TEST.PROTOCOLS", ["linear_probe"]) == []


def test_unknown_protocols():
    (wrong,) = problems_of("TEST.PROTOCOLS", ["knnn"], check=check_run)
    assert "unknown protocol 'knnn'" in wrong
    assert "Did you mean 'knn'" in wrong


@pytest.mark.parametrize(
    "name", ["class_retrieval", "few_shot", "knn", "linear_probe", "linear_svm", "baselines"]
)
def test_protocols_that_need_one_label_per_video(name):
    found = problems_of("DATA.MULTI_LABEL", True, **{"TEST.PROTOCOLS": [name]})
    assert any(f"'{name}' needs one label per video" in problem for problem in found)
    assert not any("needs one label" in p for p in problems_of("TEST.PROTOCOLS", [name]))
    assert problems_of("DATA.MULTI_LABEL", True) == []


def test_auto_precision_is_never_float16():
    words = {"TRAIN.MIXED_PRECISION": "auto", "TRAIN.MIXED_PRECISION_DTYPE": "fp16"}
    cfg = load_config(None, [w for pair in words.items() for w in pair], validate=False).cfg
    (problem,) = check_run(cfg)
    assert problem.key == "TRAIN.MIXED_PRECISION_DTYPE"
    assert "'auto' takes bfloat16" in problem.message
