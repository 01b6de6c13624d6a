import pytest

from slowfast.config import ConfigError, get_cfg, load_config
from slowfast.models.mvit.checks import check_mvit


def _problems(**section):
    cfg = get_cfg()
    cfg.MODEL.ARCH = "mvit"
    for key, value in section.items():
        cfg.MVIT[key] = value
    return [(problem.key, problem.message) for problem in check_mvit(cfg)]


def test_defaults_have_no_problem():
    assert _problems() == []


def test_other_backbones_are_not_checked():
    cfg = get_cfg()
    cfg.MVIT.MODE = "anything"
    assert check_mvit(cfg) == []


@pytest.mark.parametrize(
    ("section", "key", "words"),
    [
        ({"MODE": "cone"}, "MODE", "Did you mean 'conv'?"),
        ({"MODE": "conv_unshared"}, "MODE", "set MVIT.POOL_FIRST True"),
        ({"NORM": "batchnorm"}, "NORM", "expected 'layernorm'"),
        ({"DEPTH": 0}, "DEPTH", "at least 1"),
        ({"POOL_Q_STRIDE": [[1, 2, 2]]}, "POOL_Q_STRIDE", "strides in time, height and width"),
        ({"POOL_Q_STRIDE": [[16, 1, 2, 2]]}, "POOL_Q_STRIDE", "a block from 0 to 15"),
        ({"POOL_KV_STRIDE": [[1, 0, 2, 2]]}, "POOL_KV_STRIDE", "above 0"),
        ({"DIM_MUL": [[1, 2.0, 2.0]]}, "DIM_MUL", "a factor"),
        ({"POOL_KVQ_KERNEL": [3, 3]}, "POOL_KVQ_KERNEL", "time, height and width"),
        ({"PATCH_KERNEL": [7, 7]}, "PATCH_KERNEL", "expected time, height and width"),
        ({"USE_FIXED_SINCOS_POS": True, "USE_ABS_POS": False}, "USE_FIXED_SINCOS_POS", "needs"),
        ({"USE_FIXED_SINCOS_POS": True, "EMBED_DIM": 40}, "EMBED_DIM", "a multiple of 16"),
        ({"NUM_HEADS": 5}, "NUM_HEADS", "block 0 has 96 channels for 5 heads"),
        (
            {"HEAD_MUL": [[3, 5.0]], "DIM_MUL_IN_ATT": True, "POOL_FIRST": True},
            "NUM_HEADS",
            "block 3 has 96 channels for 5 heads",
        ),
    ],
)
def test_problems(section, key, words):
    found = _problems(**section)
    assert [name for name, _ in found] == [f"MVIT.{key}"]
    assert words in found[0][1]


REVERSIBLE = ("MODEL.MODEL_NAME", "MViT", "MODEL.ARCH", "mvit", "MVIT.REV.ENABLE", "True")
MASKED = ("MODEL.MODEL_NAME", "MaskMViT", "MODEL.ARCH", "maskmvit", "MODEL.LOSS_FUNC", "multi_mse")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (REVERSIBLE, "MVIT.REV.ENABLE: got True, but this is not built here: reversible MViT"),
        (
            (*MASKED, "MASK.ENABLE", "True"),
            "MASK.ENABLE: got True, but this is not built here: masked pretraining",
        ),
        (
            MASKED,
            "MODEL.MODEL_NAME: got 'MaskMViT', but this is not built here: masked pretraining",
        ),
    ],
)
def test_what_is_not_built_gets_one_clear_error(words, expected, tmp_path):
    own = ("DATA.PATH_TO_DATA_DIR", "unused", "NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path))
    with pytest.raises(ConfigError) as error:
        load_config(None, [*words, *own])
    assert len(error.value.problems) == 1
    assert expected in str(error.value)
