"""Every config key is read by code, refused when it is changed, or noted in the log.

What is read is found in the code itself; checks do not count (see ``helpers.config_reads``).
"""

import math
from pathlib import Path

import pytest
import torch
from contrastive.config import METHODS
from helpers.config_reads import read_keys, recorded_reads

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import find_problems, get_cfg
from slowfast.config.checks import examine
from slowfast.config.load import flatten
from slowfast.config.projects import import_project, installed_projects
from slowfast.models.build import FEATURE_AUG_REGISTRY, build_model
from slowfast.models.optimizer import construct_optimizer
from slowfast.models.script_checkpoints import load_tested

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "slowfast", *(path for path in (ROOT / "projects").glob("*/*") if path.is_dir())]


def make_cfg():
    cfg = get_cfg()
    for name in installed_projects():
        import_project(name).add_config(cfg)
    cfg.PROJECTS = list(installed_projects())
    cfg.NUM_GPUS, cfg.DATA.PATH_TO_DATA_DIR = 0, "unused"
    return cfg


KEYS = flatten(make_cfg())
SEEN_IN_CODE = read_keys(FOLDERS, KEYS)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Keys that code reads, as found in the code or, where it computes their names, recorded."""
    path = tmp_path_factory.mktemp("weights") / "linear.pyth"
    cfg = make_cfg()
    cfg.merge_from_list("MODEL.MODEL_NAME VideoResNet MODEL.ARCH r3d_18".split())
    cfg.MODEL.POOLING = "attentive"
    cfg.RESNET.WIDTH_PER_GROUP, cfg.TEST.CHECKPOINT_FILE_PATH = 8, str(path)
    cfg.OUTPUT_DIR = str(path.parent)
    with recorded_reads(cfg) as recorded:
        FEATURE_AUG_REGISTRY.get("feature_crop")(cfg)
        model = build_model(cfg)
        construct_optimizer(model, cfg)
        torch.save({"model_state": model.state_dict()}, path)
        load_tested(cfg, model)
        cfg.AUDIO.ENABLE, cfg.MODEL.POOLING = True, "avg"
        for name in METHODS:  # their heads are built from the section of the method
            cfg.MODEL.MODEL_NAME = name
            build_model(cfg)
    return SEEN_IN_CODE | recorded


def changed(value):
    """Values that a user could set instead of a default."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, float) and math.isinf(value):
        return [8.0]
    if isinstance(value, int | float):
        return [value + 1, value + 0.5] if isinstance(value, float) else [value + 1]
    if value is None:
        return [1, [1, 1, 1]]
    return [f"{value}x"] if isinstance(value, str) else [[*value, *(value[:1] or [1])]]


def is_answered(key, value):
    """Whether a changed value is refused, with a hint, or noted. None: it is neither."""
    cfg = make_cfg()
    cfg.set_new_allowed(True)
    node = cfg
    *sections, leaf = key.split(".")
    for section in sections:
        node = node[section]
    node[leaf] = value
    problems, notes = examine(cfg)
    refused = any(p.key == key and len(p.message) > 20 for p in problems)
    return refused or any(f"{key} " in note and "(" in note for note in notes)


@pytest.mark.parametrize("key", sorted(KEYS.keys() - SEEN_IN_CODE))
def test_a_key_that_no_code_reads_is_refused_or_noted(key, read):
    if key not in read:
        assert all(is_answered(key, value) for value in changed(KEYS[key]))


def test_the_walk_is_not_empty(read):
    assert len(KEYS) > 400
    assert not find_problems(make_cfg())
    assert len(read) > 250
    assert {"SOLVER.BASE_LR", "DATA.MEAN", "TEST.CHECKPOINT_TYPE", "NUM_SHARDS"} <= read
    assert not read & {"AVA.BGR", "BN.NUM_SYNC_DEVICES", "SOLVER.STEP_SIZE"}


def test_a_key_that_only_its_check_reads_does_not_count(tmp_path):
    (tmp_path / "a.py").write_text(
        "@register_check\ndef check(cfg):\n    return _of(cfg) + [cfg.DATA.MEAN]\n\n"
        "def _of(cfg):\n    return [cfg.SOLVER.STEP_SIZE]\n\n"
        "def build(cfg):\n    data = cfg.DATA\n    return data.STD, cfg.TRAIN['ENABLE']\n",
        encoding="utf-8",
    )
    assert read_keys([tmp_path], KEYS) == {"DATA.STD", "TRAIN.ENABLE"}


def test_a_key_without_any_answer_is_found(monkeypatch):
    assert is_answered("BN.NUM_SYNC_DEVICES", 4)
    monkeypatch.setattr("slowfast.config.sections.unsupported.NO_EFFECT", {})
    assert not is_answered("BN.NUM_SYNC_DEVICES", 4)


def test_what_has_no_effect_is_not_read(read):
    from slowfast.config.sections.unsupported import describe_no_effect

    assert {key for key in read if describe_no_effect(key)} == set()
