"""Training validates on TRAIN.DATASET; a test reads TEST.DATASET."""

import pytest
import torch
from helpers import synthetic
from helpers.media_files import Video, write_media
from helpers.synthetic import synthetic_cfg

from slowfast.cli import runner, test_job, train_job
from slowfast.config import UserError
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.engine import evaluator


def other(cfg, split):
    return synthetic.synthetic(cfg, split)


if "other" not in DATASET_REGISTRY:
    DATASET_REGISTRY.register(other)


def test_the_splits_that_are_read(tmp_path, monkeypatch):
    read = []
    construct = evaluator.construct_eval_loader

    def spy(cfg, split, dataset=""):
        read.append((dataset or cfg.TEST.DATASET, split))
        return construct(cfg, split, dataset)

    monkeypatch.setattr(evaluator, "construct_eval_loader", spy)
    words = ("TEST.DATASET", "other", "TRAIN.EVAL_PERIOD", 1, "SOLVER.MAX_EPOCH", 1)
    words += ("TEST.PROTOCOLS", "['classification','class_retrieval']")
    cfg = synthetic_cfg(tmp_path, *words)
    train_job.run_training(cfg, torch.device("cpu"))
    assert sorted(read) == [("synthetic", "gallery"), ("synthetic", "val")]
    read.clear()
    test_job.run_test(cfg, torch.device("cpu"))
    assert sorted(read) == [("other", "gallery"), ("other", "test")]


def csv_cfg(folder, *words, **largest):
    """A classifier of four classes on lists whose labels go from 0 to a largest one per split."""
    write_media(folder / "a.mp4", Video(ticks=range(20), size=(48, 48)))
    for split in ("train", "val", "test"):
        rows = [f"a.mp4 {label}\n" for label in range(largest.get(split, 3) + 1)]
        (folder / f"{split}.csv").write_text("".join(rows))
    data = ("TRAIN.DATASET", "kinetics", "TEST.DATASET", "kinetics")
    data += ("DATA.PATH_TO_DATA_DIR", str(folder), "MODEL.NUM_CLASSES", 4)
    return synthetic_cfg(folder / "out", *data, "TRAIN.EVAL_PERIOD", 1, *words)


def test_labels_of_the_validation_split_are_checked_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(train_job, "Trainer", lambda *_: pytest.fail("training began"))
    cfg = csv_cfg(tmp_path, val=4)
    with pytest.raises(UserError, match="got 4, but the largest label of the val split is 4"):
        train_job.run_training(cfg, torch.device("cpu"))


def test_labels_of_the_test_split_are_checked_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "run_training", lambda *_: pytest.fail("training began"))
    cfg = csv_cfg(tmp_path, test=5)
    job = runner.RunArgs(cfg, "a.yaml", [], [])
    with pytest.raises(UserError, match="the largest label of the test split is 5"):
        runner._train_and_test(job, torch.device("cpu"))


def test_labels_of_the_test_split_are_checked_before_the_test(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluator, "extract_features", lambda _, batches, *a, **k: list(batches))
    cfg = csv_cfg(tmp_path, "TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", "random", test=6)
    with pytest.raises(UserError, match="the largest label of the test split is 6"):
        test_job.run_test(cfg, torch.device("cpu"))
