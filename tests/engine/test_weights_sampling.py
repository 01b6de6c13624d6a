"""DATA.SAMPLING auto: as the weights were trained, which a resumed run and its test keep."""

import pytest
import torch
from helpers.synthetic import synthetic_cfg

from slowfast.cli import test_job, train_job
from slowfast.engine.weights_sampling import with_sampling_of_weights
from slowfast.models.build import build_model
from slowfast.utils.checkpoint import find_last_checkpoint, read_checkpoint_file

CPU = torch.device("cpu")
THEIRS = "AVA:\n  BGR: false\nSOLVER:\n  BETAS: !!python/tuple\n  - 0.9\n"


def weights(tmp_path, **content):
    """A file with the weights of the small model."""
    state = build_model(synthetic_cfg(tmp_path)).state_dict()
    path = tmp_path / "weights.pyth"
    torch.save({key: state if value is None else value for key, value in content.items()}, path)
    return path


def resolved(tmp_path, path, section, *words):
    cfg = synthetic_cfg(tmp_path / "out", f"{section}.CHECKPOINT_FILE_PATH", path, *words)
    changed = with_sampling_of_weights(cfg, section)
    assert changed.is_frozen()
    return changed.DATA.SAMPLING


@pytest.mark.parametrize("section", ["TRAIN", "TEST"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"model_state": None, "epoch": 199, "cfg": THEIRS}, "pyslowfast"),
        ({"model_state": None}, "pyslowfast"),
        ({"state_dict": None}, "auto"),
        ({"model_state": None, "cfg": "DATA:\n  SAMPLING: segments\nPROJECTS: []\n"}, "segments"),
        ({"model_state": None, "cfg": "PROJECTS: []\nDATA:\n  SAMPLING_RATE: 2\n"}, "auto"),
    ],
)
def test_which_weights_set_it(tmp_path, section, content, expected, caplog):
    path = weights(tmp_path, **content)
    with caplog.at_level("INFO"):
        assert resolved(tmp_path, path, section) == expected
    assert ("DATA.SAMPLING auto: " in caplog.text) == (expected != "auto")
    assert resolved(tmp_path, path, section, "DATA.SAMPLING", "time_bins") == "time_bins"
    assert resolved(tmp_path, "random", section) == "auto"


def test_blobs_of_caffe2(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "slowfast.engine.weights_sampling.read_checkpoint", lambda path, key: {"blobs": {}}
    )
    assert resolved(tmp_path, "x.pkl", "TEST") == "pyslowfast"


def test_images_have_no_sampling(tmp_path):
    path = weights(tmp_path, model_state=None)
    assert resolved(tmp_path, path, "TRAIN", "TRAIN.CHECKPOINT_INFLATE", True) == "auto"


@pytest.mark.slow
def test_a_resumed_run_and_its_test_keep_it(tmp_path, monkeypatch):
    path = weights(tmp_path, model_state=None)
    out = tmp_path / "out"
    words = ("TRAIN.CHECKPOINT_FILE_PATH", path, "TRAIN.EVAL_PERIOD", 0)
    (out).mkdir()
    train_job.run_training(synthetic_cfg(out, *words, "SOLVER.MAX_EPOCH", 1), CPU)
    saved = read_checkpoint_file(find_last_checkpoint(out))["cfg"]
    assert "  SAMPLING: pyslowfast\n" in saved
    path.unlink()  # a resumed run does not read it
    train_job.run_training(synthetic_cfg(out, *words, "SOLVER.MAX_EPOCH", 2), CPU)
    assert read_checkpoint_file(find_last_checkpoint(out))["epoch"] == 1
    seen = []
    evaluate_views = test_job.evaluate_views

    def spy(cfg, *arguments, **options):
        seen.append(cfg.DATA.SAMPLING)
        return evaluate_views(cfg, *arguments, **options)

    monkeypatch.setattr(test_job, "evaluate_views", spy)
    test_job.run_test(synthetic_cfg(out), CPU)
    assert seen == ["pyslowfast"]
    plain = tmp_path / "plain"
    plain.mkdir()
    train_job.run_training(synthetic_cfg(plain, "SOLVER.MAX_EPOCH", 1), CPU)
    assert "  SAMPLING: auto\n" in read_checkpoint_file(find_last_checkpoint(plain))["cfg"]
