"""The architecture of saved weights as words of a command line."""

from pathlib import Path

import pytest
import torch

from slowfast.config import ConfigValueError, get_cfg, load_config
from slowfast.models.architecture import architecture_words
from slowfast.models.build import construct_model
from slowfast.models.weights import load_weights

WEIGHTS = Path(__file__).parents[2] / "projects/stica/weights"


def test_the_defaults_need_no_words():
    assert architecture_words(get_cfg().dump()) == ""
    assert architecture_words("") == ""


def test_keys_that_differ_are_named():
    words = ["MODEL.ARCH", "r2plus1d_18", "RESNET.WIDTH_PER_GROUP", "8", "RESNET.SPATIAL_STRIDES"]
    words += ["[[1], [2], [1], [1]]", "SOLVER.BASE_LR", "3.0", "PROJECTS", "['no_such_project']"]
    cfg = get_cfg()
    cfg.merge_from_list(words)
    assert architecture_words(cfg.dump()) == (
        "MODEL.ARCH r2plus1d_18 RESNET.SPATIAL_STRIDES '[[1], [2], [1], [1]]' "
        "RESNET.WIDTH_PER_GROUP 8"
    )


def test_sections_of_projects_are_compared_with_their_defaults():
    text = (WEIGHTS / "stica-grid" / "config.yaml").read_text(encoding="utf-8")
    words = architecture_words(text)
    assert words.endswith("TEMPORAL_TRANSFORMER.POSITIONS sinusoidal")
    assert words.count("TEMPORAL_TRANSFORMER") == 1


def test_a_checkpoint_of_another_architecture_names_its_own(tmp_path):
    common = ["MODEL.MODEL_NAME", "VideoResNet", "DATA.PATH_TO_DATA_DIR", "x", "NUM_GPUS", "0"]
    saved = load_config(None, [*common, "MODEL.ARCH", "r2plus1d_18"], validate=False).cfg
    state = {"backbone.other": torch.zeros(1)}
    torch.save({"model_state": state, "cfg": saved.dump()}, tmp_path / "saved.pyth")
    model = construct_model(load_config(None, [*common, "MODEL.ARCH", "r3d_18"]).cfg)
    with pytest.raises(ConfigValueError, match=r"was trained with: MODEL.ARCH r2plus1d_18\."):
        load_weights(model, tmp_path / "saved.pyth")
