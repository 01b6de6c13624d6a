"""Settings of losses and weights that do not fit the labels are found when a YAML is loaded."""

import numpy as np
import pytest
from helpers.synthetic import synthetic_cfg

from slowfast.config import ConfigError, UserError, get_cfg
from slowfast.datasets.annotations.manifest import Manifest, VideoRecord
from slowfast.engine.class_weights import with_class_weights

MULTI = ("DATA.MULTI_LABEL", True, "MODEL.LOSS_FUNC", "bce_logit", "MODEL.HEAD_ACT", "sigmoid")


@pytest.mark.parametrize(
    "words",
    [
        MULTI,
        (*MULTI, "MODEL.LOSS_FUNC", "soft_cross_entropy", "MODEL.HEAD_ACT", "softmax"),
        ("MODEL.LOSS_FUNC", "bce"),
        ("DATA.MULTI_LABEL", True, "TRAIN.ENABLE", False),
        ("SOLVER.CLASS_WEIGHTS", [1, 0.5, 2]),
        ("SOLVER.CLASS_WEIGHTS", [1, 2], "TRAIN.ENABLE", False),
        ("SOLVER.BALANCED_CLASS_WEIGHTS", True, "DATA.BALANCED_SAMPLING", True),
    ],
)
def test_settings_that_work(tmp_path, words):
    assert synthetic_cfg(tmp_path, *words).is_frozen()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("DATA.MULTI_LABEL", True), r"LOSS_FUNC: got 'cross_entropy'.*use 'bce_logit'"),
        ((*MULTI, "MODEL.HEAD_ACT", "softmax"), r"HEAD_ACT: got 'softmax'.*use 'sigmoid'"),
        (("DATA.ENSEMBLE_METHOD", "mean"), r"ENSEMBLE_METHOD: got 'mean'"),
        ((*MULTI, "DATA.TRAIN_VIDEOS_PER_CLASS", 2), r"VIDEOS_PER_CLASS: got 2.*use 0"),
        ((*MULTI, "TEST.PROTOCOLS", "['knn']"), r"'knn' needs one label per video"),
        (("SOLVER.CLASS_WEIGHTS", [1, 2]), r"got 2 weights, expected MODEL.NUM_CLASSES 3"),
        (("SOLVER.CLASS_WEIGHTS", [1, -1, 2]), r"expected numbers of 0 or more"),
        (("SOLVER.CLASS_WEIGHTS", [0, 0, 0]), r"not all 0"),
        (("SOLVER.CLASS_WEIGHTS", ["a", 1, 2]), r"expected numbers of 0 or more"),
        (
            ("SOLVER.CLASS_WEIGHTS", [1, 1, 2], "SOLVER.BALANCED_CLASS_WEIGHTS", True),
            r"one of the two",
        ),
        (
            ("SOLVER.BALANCED_CLASS_WEIGHTS", True, "MODEL.LOSS_FUNC", "stica"),
            r"'stica' does not weigh classes",
        ),
    ],
)
def test_settings_that_do_not(tmp_path, words, message):
    projects = ("PROJECTS", "['stica']") if "stica" in words else ()
    with pytest.raises(ConfigError, match=message):
        synthetic_cfg(tmp_path, *projects, *words)


def test_weights_from_the_labels_of_the_train_split():
    cfg = get_cfg()
    cfg.MODEL.NUM_CLASSES = 3
    rows = [VideoRecord(f"{n}", label) for n, label in enumerate([0, 0, 0, 1])]
    manifest = Manifest.from_rows(rows, [])
    assert with_class_weights(cfg, manifest) is cfg
    cfg.SOLVER.BALANCED_CLASS_WEIGHTS = True
    weights = with_class_weights(cfg, manifest).SOLVER.CLASS_WEIGHTS
    assert weights == pytest.approx([2 / 3, 2, 1])
    assert np.mean([weights[row.label] for row in rows]) == pytest.approx(1)
    assert cfg.SOLVER.CLASS_WEIGHTS == []
    for unknown in (None, Manifest.from_rows([*rows, VideoRecord("x")], [])):
        with pytest.raises(UserError, match=r"BALANCED_CLASS_WEIGHTS: got True, but not every"):
            with_class_weights(cfg, unknown)
