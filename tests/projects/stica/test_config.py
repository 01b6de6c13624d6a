import ast
from pathlib import Path

import pytest
from stica import config
from stica.config import add_config, check_config

from slowfast.config import ConfigError, get_cfg, load_config


def _only_problem(cfg):
    problems = check_config(cfg)
    assert len(problems) == 1, problems
    return problems[0]


def test_the_fixture_and_the_defaults_of_other_models_have_no_problem(cfg):
    assert check_config(cfg) == []
    other = get_cfg()
    add_config(other)
    assert check_config(other) == []


def test_a_configuration_without_the_sections_is_none_of_its_business():
    assert check_config(get_cfg()) == []


def test_defaults_are_the_released_numbers_and_this_projects_decisions(cfg):
    crop = cfg.FEATURE_CROP
    kinds = (crop.SPACE_LARGE, crop.SPACE_SMALL, crop.TIME_LARGE, crop.TIME_SMALL)
    assert [kind.NUM for kind in kinds] == [2, 4, 2, 1]
    assert [kind.SCALE for kind in kinds] == [6 / 7, 4 / 7, 0.75, 0.5]
    assert crop.PER_SAMPLE is True
    transformer = cfg.TEMPORAL_TRANSFORMER
    assert (transformer.LAYERS, transformer.HEADS, transformer.FFN_RATIO) == (2, 4, 4.0)
    assert (transformer.READOUT, transformer.POSITIONS) == ("cls", "learned")
    assert transformer.VALUE_PROJECTION is True
    assert (cfg.STICA.TEMPERATURE_CROSS, cfg.STICA.TEMPERATURE_WITHIN) == (0.1, 0.5)
    assert (cfg.STICA.WITHIN_WEIGHT, cfg.STICA.COMPAT) == (0.5, "")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("FEATURE_CROP.SPACE_LARGE.NUM", -1, "got -1, expected 0 to 1000"),
        ("FEATURE_CROP.TIME_SMALL.NUM", 10**6, "got 1000000, expected 0 to 1000"),
        ("FEATURE_CROP.SPACE_LARGE.SCALE", 1.1, "got 1.1, expected a fraction"),
        ("FEATURE_CROP.TIME_SMALL.SCALE", 0.0, "got 0.0, expected a fraction"),
        ("TEMPORAL_TRANSFORMER.LAYERS", 0, "set MODEL.POOLING avg"),
        ("TEMPORAL_TRANSFORMER.HEADS", 0, "at least 1"),
        ("TEMPORAL_TRANSFORMER.FFN_RATIO", 0.0, "positive"),
        ("TEMPORAL_TRANSFORMER.DROPOUT", 1.0, "DROPOUT < 1"),
        ("TEMPORAL_TRANSFORMER.MAX_STEPS", 0, "at least 1"),
        ("TEMPORAL_TRANSFORMER.READOUT", "last", "got 'last', expected one of 'cls'"),
        ("TEMPORAL_TRANSFORMER.POSITIONS", "rotary", "'learned', 'sinusoidal', 'none'"),
        ("STICA.TEMPERATURE_CROSS", 0.0, "positive"),
        ("STICA.TEMPERATURE_WITHIN", -0.5, "positive"),
        ("STICA.WITHIN_WEIGHT", 1.5, "from 0 to 1"),
        ("STICA.WITHIN_START_EPOCH", -1.0, "a number of epochs, 0 or more"),
        ("STICA.CROP_KEYS", "text", "got 'text', expected one of 'video', 'audio'"),
        ("STICA.WITHIN_HEAD", "two", "got 'two', expected one of 'shared', 'own'"),
        ("STICA.EMBED_DIM", 0, "at least 1"),
        ("STICA.HEAD_DIM", 0, "at least 1"),
        ("STICA.HEAD_DROPOUT", 1.0, "HEAD_DROPOUT < 1"),
        ("STICA.HEAD_BN", "none", "'group', 'joint'"),
        ("STICA.COMPAT", "Released", "'released'"),
        ("MODEL.LOSS_FUNC", "cross_entropy", "trained with 'stica'"),
        ("MODEL.FEATURE_AUG", "cutmix", "'feature_crop' and 'none'"),
        ("MODEL.POOLING", "native", "'transformer' or 'avg'"),
        ("MODEL.HEAD", "linear", "'stica_projection'"),
        ("FEATURE_CROP.SPACE_SMALL.NUM", None, "no large one"),
        ("FEATURE_CROP.TIME_SMALL.NUM", None, "no large one"),
        ("DATA.TRAIN_CROP_NUM_SPATIAL", 1, "compared between views"),
    ],
)
def test_each_mistake_is_one_problem_that_names_its_key(cfg, key, value, message):
    if value is None:  # small crops whose large ones are gone
        axis = key.split(".")[1].split("_")[0]
        cfg.FEATURE_CROP[f"{axis}_LARGE"].NUM = 0
    else:
        cfg.merge_from_list([key, value])
    problem = _only_problem(cfg)
    assert problem.key == key
    assert message in problem.message


@pytest.mark.parametrize(
    "values",
    [
        ["AUDIO.ENABLE", False, "STICA.WITHIN_WEIGHT", 0.0],
        ["AUDIO.ENABLE", False, "MODEL.FEATURE_AUG", "none"],
        ["STICA.WITHIN_WEIGHT", 1.0, "MODEL.FEATURE_AUG", "none"],
    ],
)
def test_no_loss_left(cfg, values):
    cfg.merge_from_list(values)
    problem = _only_problem(cfg)
    assert problem.key == "STICA.WITHIN_WEIGHT"
    assert "no loss is left to train with" in problem.message


@pytest.mark.parametrize(
    ("key", "value"), [("WITHIN_HEAD", "own"), ("WITHIN_WEIGHT", 1.0), ("AUDIO", None)]
)
def test_crops_that_begin_later_need_the_cross_modal_loss_before(cfg, key, value):
    cfg.STICA.WITHIN_START_EPOCH = 3.0
    if key == "AUDIO":
        cfg.AUDIO.ENABLE = False
    else:
        cfg.STICA[key] = value
    problem = _only_problem(cfg)
    assert problem.key == "STICA.WITHIN_START_EPOCH"
    assert "must get gradients from the cross-modal loss" in problem.message


def test_one_view_is_enough_without_crops(cfg):
    cfg.merge_from_list(["MODEL.FEATURE_AUG", "none", "DATA.TRAIN_CROP_NUM_SPATIAL", 1])
    assert check_config(cfg) == []


def test_all_problems_are_found_at_once(cfg):
    cfg.merge_from_list(["STICA.HEAD_BN", "x", "STICA.EMBED_DIM", 0, "MODEL.POOLING", "native"])
    keys = {problem.key for problem in check_config(cfg)}
    assert keys == {"STICA.HEAD_BN", "STICA.EMBED_DIM", "MODEL.POOLING"}


def test_the_file_itself_imports_nothing_heavy():
    tree = ast.parse(Path(config.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert all(m.startswith(("slowfast.config", "fvcore", "__future__")) for m in modules | names)


def test_loading_a_configuration_checks_it():
    with pytest.raises(ConfigError, match=r"STICA\.HEAD_BN: got 'x', expected one of 'group'"):
        load_config("StiCA/R2plus1D_pretrain.yaml", ["STICA.HEAD_BN", "x"])
