"""Training with mixup and cutmix: exact resume, accumulation, gradient caching, mixed precision."""

import numpy as np
import pytest
import torch
from helpers.chunks import spy_on_chunks
from helpers.synthetic import synthetic_cfg
from reference.classifier_augment import mix_batch

from slowfast.datasets.preprocess.mixup import Mixup
from slowfast.engine import trainer as trainer_module
from slowfast.engine.trainer import Trainer
from slowfast.utils.logging import read_stats
from slowfast.utils.random import seed_everything

CPU = torch.device("cpu")
MIXUP = ("MIXUP.ENABLE", True, "MODEL.LOSS_FUNC", "soft_cross_entropy")


def build(output_dir, *words, until=None, seed=None):
    output_dir.mkdir(exist_ok=True)
    last = ("TRAIN.MAX_STEPS", until) if until else ()
    cfg = synthetic_cfg(output_dir, *MIXUP, *words, *last)
    seed_everything(cfg.RNG_SEED if seed is None else seed)
    return Trainer(cfg, CPU)


def run(output_dir, *words, **options):
    """Train; a run that resumes gets another seed, which must not matter."""
    trainer = build(output_dir, *words, **options)
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
    resumed = run(tmp_path / "resumed", *words, "DATA_LOADER.NUM_WORKERS", 2, seed=999)
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
    cases = {"mixed": (), "plain": ("MIXUP.ENABLE", False), "smooth": ("MIXUP.PROB", 0.0)}
    no_dropout = ("MODEL.DROPOUT_RATE", 0.0)
    trainers = [build(tmp_path / n, *words, *no_dropout, until=1) for n, words in cases.items()]
    for other in trainers[1:]:
        assert_same_weights(trainers[0], other)
    for trainer in trainers:
        trainer.train()
    assert len({losses(tmp_path / name)[0] for name in cases}) == 3


def test_gradient_caching_gives_the_same_step(tmp_path, monkeypatch):
    sizes = spy_on_chunks(monkeypatch)
    words = ("MODEL.FROZEN_BN", True, "MODEL.DROPOUT_RATE", 0.0, "TRAIN.BATCH_SIZE", 5)
    whole = run(tmp_path / "whole", *words, until=1)
    chunks = run(tmp_path / "chunks", *words, "SOLVER.GRAD_CACHE_CHUNK", 2, until=1)
    assert sizes == [2]
    one, other = stats(tmp_path / "whole")[0], stats(tmp_path / "chunks")[0]
    for name in ("loss", "top1_err", "grad_norm"):
        assert one[name] == pytest.approx(other[name], rel=1e-5)
    for value, again in zip(whole.model.parameters(), chunks.model.parameters(), strict=True):
        torch.testing.assert_close(value, again, rtol=1e-4, atol=1e-6)


def test_mixed_precision(tmp_path):
    words = ("MODEL.DROPOUT_RATE", 0.0)
    run(tmp_path / "full", *words, until=1)
    words += ("TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_PRECISION_DTYPE", "bf16")
    assert run(tmp_path / "half", *words, until=1).precision.is_mixed
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


def test_several_views_of_a_sample_are_mixed_with_those_of_another(tmp_path, monkeypatch):
    seen = []
    mix = Mixup.__call__

    def checked(self, batch, seed):
        video, labels = batch["video"].numpy().copy(), batch["label"].tolist()
        share, box = self.sample(seed, *video.shape[-2:])
        expected, _ = mix_batch(video, labels, share, box, self.smoothing, self.num_classes)
        mixed = mix(self, batch, seed)
        np.testing.assert_allclose(mixed["video"].numpy(), expected, rtol=0, atol=1e-5)
        seen.append(video.shape[:2])
        return mixed

    monkeypatch.setattr(Mixup, "__call__", checked)
    run(tmp_path, "DATA.TRAIN_CROP_NUM_SPATIAL", 2, until=2)
    assert seen == [(4, 2)] * 2  # samples, views
