"""A head that was not loaded is an error in a test, unless it is asked for."""

import re

import pytest
import torch
from helpers.synthetic import synthetic_cfg

from slowfast.cli import test_job, train_job
from slowfast.config import ConfigValueError
from slowfast.models.build import build_model

CPU = torch.device("cpu")


@pytest.fixture
def file(tmp_path):
    """A checkpoint of the backbone, and one with a head of five classes."""

    def write(kind):
        classes = ("MODEL.NUM_CLASSES", 5) if kind == "other classes" else ()
        state = build_model(synthetic_cfg(tmp_path, *classes)).state_dict()
        if kind == "backbone":
            state = {k: v for k, v in state.items() if not k.startswith("head.")}
        torch.save({"state_dict": state}, tmp_path / "a.pyth")
        return tmp_path / "a.pyth"

    return write


def run(tmp_path, section, path, *words):
    cfg = synthetic_cfg(tmp_path / "out", f"{section}.CHECKPOINT_FILE_PATH", path, *words)
    (tmp_path / "out").mkdir(exist_ok=True)
    test_job.run_test(cfg, CPU)


@pytest.mark.parametrize("section", ["TRAIN", "TEST"])
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("backbone", "the checkpoint has no such key"),
        ("other classes", r"shape \(5,\) -> \(3,\) in the model"),
    ],
)
def test_it_is_an_error(tmp_path, file, section, kind, why):
    with pytest.raises(ConfigValueError, match=why) as caught:
        run(tmp_path, section, file(kind))
    message = str(caught.value)
    assert message.startswith(f"{section}.CHECKPOINT_FILE_PATH: not loaded: 'head.projection.")
    for key in ("TEST.RANDOM_HEAD True", "TEST.PROTOCOLS", "MODEL.NUM_CLASSES"):
        assert key in message


def test_it_may_be_asked_for(tmp_path, file):
    run(tmp_path, "TEST", file("backbone"), "TEST.RANDOM_HEAD", True)
    results = (tmp_path / "out" / "results.json").read_text(encoding="utf-8")
    assert re.search("top1_acc", results)


def test_protocols_without_a_head_need_none(tmp_path, file):
    run(tmp_path, "TEST", file("backbone"), "TEST.PROTOCOLS", "['class_retrieval','knn']")


def test_fine_tuning_starts_with_a_new_head(tmp_path, file):
    path = file("backbone")
    words = ("TRAIN.CHECKPOINT_FILE_PATH", path, "SOLVER.MAX_EPOCH", 1, "TRAIN.EVAL_PERIOD", 0)
    cfg = synthetic_cfg(tmp_path / "out", *words)
    (tmp_path / "out").mkdir()
    train_job.run_training(cfg, CPU)
    test_job.run_test(cfg, CPU)  # its own checkpoint has the head
