"""Training on a GPU equals training on the CPU: losses, weights, banks, queues, checkpoints."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.datasets.catalog.fake import FakeClips
from slowfast.engine.benchmark import NO_OUTPUT
from slowfast.engine.precision import Precision
from slowfast.engine.trainer import Trainer
from slowfast.utils import distributed
from slowfast.utils.logging import read_stats

pytestmark = pytest.mark.gpu

CPU = torch.device("cpu")
CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = (
    "TRAIN.DATASET fake DATA_LOADER.NUM_WORKERS 0 TRAIN.BATCH_SIZE 4 DATA.NUM_FRAMES 16 "
    "DATA.TRAIN_CROP_SIZE 48 RESNET.WIDTH_PER_GROUP 4 AUDIO.WIDTH 4 LOG_PERIOD 1 NUM_GPUS 0 "
    "SOLVER.MAX_EPOCH 1 SOLVER.WARMUP_EPOCHS 0.0 SOLVER.BASE_LR 0.001"
).split()
METHODS = {
    "stica": "StiCA/R2plus1D_pretrain.yaml STICA.HEAD_DROPOUT 0.0",
    **{
        name: f"Contrastive/{name}.yaml"
        for name in ("simclr", "moco", "npid", "cmc", "swav", "gdt", "avid", "mmv")
    },
    "classifier": "Kinetics/R2PLUS1D_18_30f.yaml MODEL.DROPOUT_RATE 0.0",
}


@pytest.fixture(autouse=True)
def _samples_differ(monkeypatch):
    """Batch norm of equal rows is a division by almost zero: gradients would be rounding."""
    sample = FakeClips._sample

    def own_sample(self, epoch, index, repeat):
        found = sample(self, epoch, index, repeat)
        return found | {name: np.roll(found[name], index) for name in self._fields}

    monkeypatch.setattr(FakeClips, "_sample", own_sample)


def make_cfg(folder, name, *words):
    path, *own = METHODS[name].split()
    keys = NO_OUTPUT | {"OUTPUT_DIR": str(folder), "TRAIN.AUTO_RESUME": True}
    given = ["DATA.DEMO_CFG", "", *SMALL, *own, *map(str, words)]
    return load_config(CONFIGS / path, given, assignments=keys).cfg


def make_trainer(cfg, device, steps):
    torch.manual_seed(0)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TRAIN.MAX_STEPS = steps
    cfg.freeze()
    Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
    return Trainer(cfg, device)


def losses(folder):
    return [r["loss"] for r in read_stats(Path(folder)) if r["_type"] == "train_iter"]


def train(cfg, device, steps):
    """Train up to a number of steps; returns the trainer and the losses of all steps."""
    trainer = make_trainer(cfg, device, steps)
    trainer.train()
    return trainer, losses(cfg.OUTPUT_DIR)


def assert_same_updates(one, other, before):
    """From the same start all tensors moved alike, but for rounding."""
    a, b = one.model.state_dict(), other.model.state_dict()
    assert a.keys() == b.keys() == before.keys()
    for name, start in before.items():
        value, there = a[name].cpu(), b[name].cpu()
        if not value.is_floating_point():
            assert torch.equal(there, value), name
            continue
        finite = value.isfinite()
        assert torch.equal(there.isfinite(), finite), name
        value, there, start = value[finite], there[finite], start[finite]
        near = 0.3 * (value - start).norm() + 1e-6 * (1 + value.norm())
        assert (there - value).norm() <= near, name


@pytest.mark.parametrize("name", METHODS)
def test_steps_equal_those_on_the_cpu(tmp_path, device, name):
    before = make_trainer(make_cfg(tmp_path / "0", name), CPU, 2).model.state_dict()
    on_cpu, expected = train(make_cfg(tmp_path / "a", name), CPU, 2)
    on_device, found = train(make_cfg(tmp_path / "b", name), device, 2)
    assert len(found) == 2
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert_same_updates(on_cpu, on_device, before)


@pytest.mark.parametrize("name", ["stica", "avid", "moco"])
def test_a_resumed_run_equals_a_straight_one(tmp_path, device, name):
    before = make_trainer(make_cfg(tmp_path / "0", name), CPU, 4).model.state_dict()
    straight, expected = train(make_cfg(tmp_path / "a", name), device, 4)
    train(make_cfg(tmp_path / "b", name), device, 2)
    resumed, found = train(make_cfg(tmp_path / "b", name), device, 4)
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert_same_updates(straight, resumed, before)


def test_a_checkpoint_of_the_device_resumes_on_the_cpu(tmp_path, device):
    train(make_cfg(tmp_path, "stica"), device, 1)
    trainer, found = train(make_cfg(tmp_path, "stica"), CPU, 2)
    assert trainer.steps_done == len(found) == 2


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_reduced_precision_is_close_to_float32(tmp_path, device, dtype):
    _, expected = train(make_cfg(tmp_path / "a", "stica"), device, 2)
    words = ("TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_PRECISION_DTYPE", dtype)
    trainer = make_trainer(make_cfg(tmp_path / "b", "stica", *words), device, 2)
    convolution = next(m for m in trainer.model.modules() if isinstance(m, nn.Conv3d))
    dtypes = set()
    convolution.register_forward_hook(lambda module, args, out: dtypes.add(out.dtype))
    trainer.train()
    assert dtypes == {{"bf16": torch.bfloat16, "fp16": torch.float16}[dtype]}
    assert losses(tmp_path / "b") == pytest.approx(expected, rel=0.05)


def test_an_overflow_of_float16_skips_the_step_and_halves_the_scale(device):
    weight = torch.ones(3, device=device, requires_grad=True)
    precision, optimizer = Precision(device, torch.float16), torch.optim.SGD([weight], lr=1.0)
    scale = precision.scaler.get_scale()
    precision.scaler.scale((weight * float("inf")).sum()).backward()
    precision.unscale(optimizer)
    assert not precision.step(optimizer, weight.grad.isfinite().all())
    assert torch.equal(weight.detach().cpu(), torch.ones(3))
    assert precision.scaler.get_scale() == scale / 2
    weight.grad = None
    precision.scaler.scale(weight.sum()).backward()
    precision.unscale(optimizer)
    assert precision.step(optimizer, weight.grad.isfinite().all())
    torch.testing.assert_close(weight.detach().cpu(), torch.zeros(3))


def test_one_rank_over_nccl(tmp_path, device):
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(
        backend,
        init_method=f"file://{tmp_path / 'store'}",
        rank=0,
        world_size=1,
        device_id=torch.device("cuda", 0) if backend == "nccl" else None,
    )
    try:
        # What slowfast.utils.distributed offers returns early on one rank.
        rows = torch.arange(6.0, device=device).view(2, 3)
        assert torch.equal(distributed._all_gather(rows), rows)
        assert distributed._all_gather(torch.tensor([True, False])).tolist() == [True, False]
        torch.distributed.all_reduce(rows)
        assert rows.flatten().tolist() == [0, 1, 2, 3, 4, 5]
        layer = nn.Linear(3, 1, device=device)
        model = DistributedDataParallel(layer, [device] if backend == "nccl" else None)
        model(rows).sum().backward()
        assert layer.weight.grad.tolist() == [[3, 5, 7]]
        trainer, found = train(make_cfg(tmp_path / "run", "stica"), device, 2)
        assert trainer.steps_done == len(found) == 2
    finally:
        torch.distributed.destroy_process_group()
