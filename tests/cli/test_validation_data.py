"""Training validates on TRAIN.DATASET; a test reads TEST.DATASET."""

import torch
from helpers import synthetic
from helpers.synthetic import synthetic_cfg

from slowfast.cli import test_job, train_job
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
