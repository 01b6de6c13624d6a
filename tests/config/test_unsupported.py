"""Parts that are not built: every switch is an error, and nothing is ignored silently."""

import pytest

import slowfast.cli.registrations  # noqa: F401
from slowfast.config import CfgNode, ConfigError, get_cfg, load_config
from slowfast.config.load import flatten
from slowfast.config.sections.unsupported import DEFAULTS, NAMES, SECTIONS, SWITCHES

# Keys without a switch of their own: section or key -> the switch that guards it, or why it may be
# set without anything happening.
GUARDED = {
    "AUG.": "AUG.GEN_MASK_LOADER",
    "AVA.": "DETECTION.ENABLE",
    "DEMO.": "DEMO.ENABLE",
    "DETECTION.": "DETECTION.ENABLE",
    "MASK.": "MASK.ENABLE",
    "MULTIGRID.": "MULTIGRID.LONG_CYCLE",
    "MVIT.REV.": "MVIT.REV.ENABLE",
    "TENSORBOARD.CONFUSION_MATRIX.": "TENSORBOARD.CONFUSION_MATRIX.ENABLE",
    "TENSORBOARD.HISTOGRAM.": "TENSORBOARD.HISTOGRAM.ENABLE",
    "TENSORBOARD.MODEL_VIS.": "TENSORBOARD.MODEL_VIS.ENABLE",
    "TENSORBOARD.WRONG_PRED_VIS.": "TENSORBOARD.WRONG_PRED_VIS.ENABLE",
    "DATA.LOADER_CHUNK_OVERALL_SIZE": "DATA.LOADER_CHUNK_SIZE",
}
HARMLESS = {
    "BENCHMARK.": "settings of a tool that is not here",
    "PREFETCH.": "no public code of PySlowFast reads it",
    "TENSORBOARD.CATEGORIES_PATH": "read by plots that are switched on by themselves",
    "TENSORBOARD.PREDICTIONS_PATH": "as above",
    "DATA.IN22K_TRAINVAL": "of the dataset imagenet, which is an error itself",
    "DATA.IN22k_VAL_IN1K": "as above",
    "DATA.IN_VAL_CROP_RATIO": "as above",
    "DATA.PATH_TO_PRELOAD_IMDB": "as above",
    "DATA.TRAIN_PCA_": "as above, and of the dataset ava",
    "DATA_LOADER.ENABLE_MULTI_THREAD_DECODE": "a setting of speed",
}
READ = {"DATA.INV_UNIFORM_SAMPLE"}


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
    return "[1, 3]" if isinstance(default, list) else "1"


def test_the_defaults_switch_nothing_on():
    defaults = flatten(get_cfg())
    assert not any(defaults[key] for key in SWITCHES)
    load()


@pytest.mark.parametrize("key", sorted(SWITCHES))
def test_a_switch_is_one_clear_error(key):
    (problem,) = problems_of(key, switched_on(key))
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


def test_no_key_is_ignored_silently():
    def is_guarded(key):
        guards = [switch for start, switch in GUARDED.items() if key.startswith(start)]
        return guards and all(guard in SWITCHES for guard in guards)

    keys = [key for key in flatten(CfgNode(DEFAULTS)) if key not in SWITCHES and key not in READ]
    assert len(keys) > 100
    assert [
        key for key in keys if not is_guarded(key) and not key.startswith(tuple(HARMLESS))
    ] == []


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
    "ImageNet/RES_R50": (
        {"TRAIN.DATASET": "imagenet", "TEST.DATASET": "imagenet", "MODEL.ARCH": "2d"},
        {"TRAIN.DATASET", "TEST.DATASET", "MODEL.ARCH"},
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
