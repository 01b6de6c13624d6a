import pytest
from helpers.configs import make_cfg

from slowfast.config import get_cfg
from slowfast.models.mvit.checks import check_mvit


def _problems(**section):
    found = check_mvit(make_cfg("MODEL.ARCH mvit", "MVIT", **section))
    return [(problem.key, problem.message) for problem in found]


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
        ({"POOL_KV_STRIDE": [[1, 0, 2, 2]]}, "POOL_KV_STRIDE", "all > 0"),
        ({"DIM_MUL": [[1, 2.0, 2.0]]}, "DIM_MUL", "a factor"),
        ({"POOL_KVQ_KERNEL": [3, 3]}, "POOL_KVQ_KERNEL", "time, height and width"),
        ({"PATCH_KERNEL": [7, 7]}, "PATCH_KERNEL", "expected time, height and width"),
        ({"USE_FIXED_SINCOS_POS": True, "USE_ABS_POS": False}, "USE_FIXED_SINCOS_POS", "needs"),
        ({"USE_FIXED_SINCOS_POS": True, "EMBED_DIM": 40}, "EMBED_DIM", "a multiple of 16"),
        (
            {"NUM_HEADS": 5},
            "NUM_HEADS",
            "block 0 has 96 channels, which are not divisible by 5 heads",
        ),
        (
            {"HEAD_MUL": [[3, 5.0]], "DIM_MUL_IN_ATT": True, "POOL_FIRST": True},
            "NUM_HEADS",
            "block 3 has 96 channels, which are not divisible by 5 heads",
        ),
    ],
)
def test_problems(section, key, words):
    found = _problems(**section)
    assert [name for name, _ in found] == [f"MVIT.{key}"]
    assert words in found[0][1]
