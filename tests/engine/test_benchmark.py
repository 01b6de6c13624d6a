"""Times of a step: a part that sleeps is the part that is slow."""

import time
from types import SimpleNamespace

import pytest
import torch
from helpers.synthetic import synthetic_cfg

from slowfast.config import UserError
from slowfast.datasets.load_times import LoaderSpeed, SampleTimes
from slowfast.engine import benchmark
from slowfast.engine.benchmark import NO_OUTPUT, Measured, StepTimes, measure, measure_steps
from slowfast.engine.trainer import Trainer
from slowfast.utils.random import seed_everything

CPU = torch.device("cpu")
NAP = 16.0


def make_cfg(folder, *words):
    keys = [word for pair in NO_OUTPUT.items() for word in pair]
    return synthetic_cfg(folder, *keys, *words)


@pytest.mark.parametrize(
    ("owner", "name", "part"),
    [
        ("torch.optim.SGD", "step", "optimizer"),
        ("slowfast.datasets.preprocess.batch.VideoPreprocess", "forward", "copy"),
        ("slowfast.models.classifier.Classifier", "forward", "forward"),
        ("torch.Tensor", "backward", "backward"),
    ],
)
def test_the_slow_part_is_found(tmp_path, monkeypatch, owner, name, part):
    module, _, cls = owner.rpartition(".")
    owner = getattr(__import__(module, fromlist=[cls]), cls)
    real = getattr(owner, name)

    def slow(*args, **kwargs):
        clock.append(clock[-1] + NAP)
        return real(*args, **kwargs)

    clock = [0.0]
    stopped = SimpleNamespace(perf_counter=lambda: clock[-1], process_time=time.process_time)
    monkeypatch.setattr(benchmark, "time", stopped)
    monkeypatch.setattr(owner, name, slow)
    found = measure_steps(make_cfg(tmp_path), CPU, steps=2, warm_up=1)
    assert found.parts == {**dict.fromkeys(found.parts, 0.0), part: NAP}
    assert found.step == NAP
    assert found.steps == 2
    assert found.cpu < found.step  # sleep takes none


def test_accumulated_batches_and_grad_cache(tmp_path):
    words = ("SOLVER.ACCUMULATE_STEPS", 2, "TRAIN.BATCH_SIZE", 2, "SOLVER.GRAD_CACHE_CHUNK", 1)
    cfg = make_cfg(tmp_path, *words, "MODEL.FROZEN_BN", True)  # a chunk has no statistics
    found = measure(cfg, CPU, steps=2, warm_up=1, seconds=0)
    assert found.samples_per_step == 4
    assert found.steps.steps_per_epoch == 3
    assert found.samples.samples >= 4
    assert "forward and backward" in found.steps.parts
    assert "forward" not in found.steps.parts


def test_nothing_is_written_and_the_training_is_the_same(tmp_path):
    cfg = make_cfg(tmp_path / "out", "TRAIN.CHECKPOINT_PERIOD", 1)
    (tmp_path / "out").mkdir()
    measure_steps(cfg, CPU, steps=4, warm_up=0)
    assert list((tmp_path / "out").iterdir()) == []
    weights = []
    for kind in (benchmark._MeasuredTrainer, Trainer):
        seed_everything(cfg.RNG_SEED)
        trainer = kind(cfg, CPU)
        trainer.train()
        weights.append(trainer.model.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_a_training_that_is_too_short(tmp_path):
    with pytest.raises(UserError, match=r"only 6 steps, too few to measure any after 6 to warm up"):
        measure_steps(make_cfg(tmp_path), CPU, steps=2, warm_up=6)


def test_in_the_long_run_a_step_takes_as_long_as_the_loader():
    parts = {"wait": 0.1, "copy": 0.1, "forward": 0.8}
    steps = StepTimes(1.0, parts, 1.0, 10, 100, "float32", 0)
    samples = SampleTimes(0.3, 0.1, 0.05, 0.05, 0.4, 10)

    def measured(speed, **of):
        return Measured(steps, samples, LoaderSpeed(speed, 10), 8, 1)._replace(**of)

    assert measured(1000.0).compute == 0.9
    assert measured(1000.0).wait == 0.1  # as measured
    assert measured(4.0).wait == pytest.approx(8 / 4 - 0.9)  # batches were loaded in advance
    assert measured(4.0).needed_workers == 5  # 8 samples of 0.5 s in 0.9 s
    alone = measured(1.0, samples=None, loader=None)
    assert alone.wait == 0.1
    assert alone.needed_workers is None
