"""Training with mixup and cutmix: exact resume, accumulation, gradient caching, mixed precision."""

import pytest
import torch
from helpers.synthetic import synthetic_cfg

from slowfast.datasets.preprocess.mixup import Mixup
from slowfast.engine import trainer as trainer_module
from slowfast.engine.trainer import Trainer
from slowfast.utils.logging import read_stats
from slowfast.utils.random import seed_everything

CPU = torch.device("cpu")
MIXUP = ("MIXUP.ENABLE", True, "MODEL.LOSS_FUNC", "soft_cross_entropy")


def run(output_dir, *words, until=None):
    output_dir.mkdir(exist_ok=True)
    last = ("TRAIN.MAX_STEPS", until) if until else ()
    cfg = synthetic_cfg(output_dir, *MIXUP, *words, *last)
    seed_everything(cfg.RNG_SEED)
    trainer = Trainer(cfg, CPU)
    trainer.train()
    return trainer


def stats(output_dir):
    return [s for s in read_stats(output_dir) if s["_type"] == "train_iter"]


def losses(output_dir):
    return [s["loss"] for s in stats(output_dir)]


def assert_same_weights(one, other):
    for (name, value), again in zip(
        one.model.state_dict().items(), other.model.state_dict().values(), strict=True
    ):
        assert torch.equal(value, again), name


def test_a_resumed_run_equals_a_straight_one_bit_for_bit(tmp_path):
    words = ("SOLVER.ACCUMULATE_STEPS", 2, "TRAIN.BATCH_SIZE", 3)
    straight = run(tmp_path / "straight", *words)
    run(tmp_path / "resumed", *words, until=3)
    torch.manual_seed(999)
    resumed = run(tmp_path / "resumed", *words, "DATA_LOADER.NUM_WORKERS", 2)
    assert losses(tmp_path / "resumed") == losses(tmp_path / "straight")
    assert_same_weights(straight, resumed)


def test_every_batch_is_mixed_by_the_seed_of_its_first_sample(tmp_path, monkeypatch):
    seen = []
    mix = Mixup.__call__

    def spied(self, batch, seed):
        assert seed == int(batch["aug_seed"][0])
        seen.append(seed)
        return mix(self, batch, seed)

    monkeypatch.setattr(Mixup, "__call__", spied)
    run(tmp_path, "SOLVER.ACCUMULATE_STEPS", 2, "TRAIN.BATCH_SIZE", 3)  # an odd batch
    assert len(seen) == len(set(seen)) == 8  # 2 epochs x 2 steps x 2 batches
    assert all("top1_err" in s for s in stats(tmp_path))


def test_it_changes_the_loss_and_not_the_first_weights(tmp_path):
    run(tmp_path / "mixed", until=1)
    run(tmp_path / "plain", "MIXUP.ENABLE", False, until=1)
    run(tmp_path / "smooth", "MIXUP.PROB", 0.0, until=1)
    found = [losses(tmp_path / name)[0] for name in ("mixed", "plain", "smooth")]
    assert len(set(found)) == 3


def test_gradient_caching_gives_the_same_step(tmp_path):
    words = ("MODEL.FROZEN_BN", True, "MODEL.DROPOUT_RATE", 0.0, "TRAIN.BATCH_SIZE", 5)
    whole = run(tmp_path / "whole", *words, until=1)
    chunks = run(tmp_path / "chunks", *words, "SOLVER.GRAD_CACHE_CHUNK", 2, until=1)
    one, other = stats(tmp_path / "whole")[0], stats(tmp_path / "chunks")[0]
    for name in ("loss", "top1_err", "grad_norm"):
        assert one[name] == pytest.approx(other[name], rel=1e-5)
    for value, again in zip(whole.model.parameters(), chunks.model.parameters(), strict=True):
        torch.testing.assert_close(value, again, rtol=1e-4, atol=1e-6)


def test_mixed_precision(tmp_path):
    words = ("MODEL.DROPOUT_RATE", 0.0)
    run(tmp_path / "full", *words, until=1)
    run(tmp_path / "half", *words, "TRAIN.MIXED_PRECISION", True, until=1)
    full, half = losses(tmp_path / "full")[0], losses(tmp_path / "half")[0]
    assert half == pytest.approx(full, rel=0.02)


def test_precise_batch_norm_sees_unmixed_batches(tmp_path, monkeypatch):
    labels = []

    def update(model, batches, number, precision):
        labels.extend(batch["label"] for batch in batches)

    monkeypatch.setattr(trainer_module, "update_bn_stats", update)
    run(tmp_path, "BN.USE_PRECISE_STATS", True, "SOLVER.MAX_EPOCH", 1)
    assert labels
    assert all(label.dtype == torch.int64 and label.dim() == 1 for label in labels)


def test_several_views_of_a_sample_are_mixed_with_those_of_another(tmp_path):
    run(tmp_path, "DATA.TRAIN_CROP_NUM_SPATIAL", 2, until=2)
    assert len(losses(tmp_path)) == 2
