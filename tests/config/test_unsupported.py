"""Features that are not built: every switch is an error, a setting without it is a note."""

import pytest

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import ConfigError, get_cfg, load_config
from slowfast.config.load import flatten
from slowfast.config.sections.unsupported import NAMES, SECTIONS, SWITCHES


def load(*words):
    words = ["NUM_GPUS", "0", "DATA.PATH_TO_DATA_DIR", "unused", *(str(w) for w in words)]
    words += ["MODEL.MODEL_NAME", "VideoResNet", "MODEL.ARCH", "r3d_18"] * (
        "MODEL." not in str(words)
    )
    return load_config(None, words)


def problems_of(*words):
    with pytest.raises(ConfigError) as caught:
        load(*words)
    return caught.value.problems


def switched_on(key):
    default = flatten(get_cfg())[key]
    if isinstance(default, bool):
        return "True"
    return "[1, 3]" if isinstance(default, list) else "2"


def test_the_defaults_switch_nothing_on():
    assert set(SWITCHES) <= set(flatten(get_cfg()))
    load()


@pytest.mark.parametrize("key", sorted(SWITCHES))
def test_a_switch_is_one_clear_error(key):
    board = ["TENSORBOARD.ENABLE", "True"] * key.startswith("TENSORBOARD.")
    (problem,) = problems_of(key, switched_on(key), *board)
    assert problem.key == key
    assert "but this is not supported: " in problem.message
    assert SWITCHES[key] in problem.message
    assert any(
        word in problem.message for word in (" use ", " see ", " run ", " leave ", " train ")
    )


@pytest.mark.parametrize(
    ("key", "name"), [(key, name) for key, names in NAMES.items() for name in names]
)
def test_a_name_of_what_is_not_built_is_one_clear_error(key, name):
    (problem,) = problems_of(key, name)
    assert problem.key == key
    assert problem.message.startswith(f"got '{name}', but this is not supported: ")


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_a_section_that_is_not_built_is_one_error_however_many_keys_it_has(section, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f"{section}: {{TYPE: x, DIM: 3, LENGTH: 4}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    (problem,) = caught.value.problems
    assert problem.key == section
    assert "is not supported" in problem.message


def test_a_setting_of_what_is_not_built_is_a_note_in_the_log():
    words = [
        "AVA.BGR",
        "True",
        "AVA.TEST_LISTS",
        "['a.csv']",
        "DATA.DECODING_BACKEND",
        "torchvision",
    ]
    first, second = load(*words).notes
    assert first.startswith("no effect: AVA.BGR True, AVA.TEST_LISTS ['a.csv'] (settings of ")
    assert second == "no effect: DATA.DECODING_BACKEND 'torchvision' (PyAV decodes all videos)"
    assert load().notes == []


# What PySlowFast's own YAMLs of these parts switch on, and the keys that must be named.
YAMLS = {
    "AVA/SLOWFAST_32x2_R50_SHORT": (
        {
            "DETECTION.ENABLE": True,
            "DETECTION.ALIGNED": True,
            "AVA.DETECTION_SCORE_THRESH": 0.8,
            "TRAIN.DATASET": "ava",
            "TEST.DATASET": "ava",
            "MODEL.MODEL_NAME": "SlowFast",
            "MODEL.ARCH": "slowfast",
        },
        {"DETECTION.ENABLE", "TRAIN.DATASET", "TEST.DATASET"},
    ),
    "masked_ssl/k400_VIT_B_16x4_MAE_PT": (
        {
            "MASK.ENABLE": True,
            "MASK.MAE_ON": True,
            "MODEL.MODEL_NAME": "MaskMViT",
            "MODEL.ARCH": "maskmvit",
            "MODEL.LOSS_FUNC": "multi_mse",
        },
        {"MASK.ENABLE"},
    ),
}


@pytest.mark.parametrize("name", sorted(YAMLS))
def test_what_pyslowfasts_yamls_switch_on_is_named_and_nothing_else(name):
    values, expected = YAMLS[name]
    words = [word for pair in values.items() for word in pair]
    if "MODEL.MODEL_NAME" not in words:
        words += ["MODEL.MODEL_NAME", "ResNet"]
        words += [] if "MODEL.ARCH" in words else ["MODEL.ARCH", "slow"]
    assert {problem.key for problem in problems_of(*words)} == expected
