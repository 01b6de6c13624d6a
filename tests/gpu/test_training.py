"""Training on a GPU equals training on the CPU: losses, weights, banks, queues, checkpoints."""

from pathlib import Path

import pytest
import torch

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.engine.benchmark import NO_OUTPUT
from slowfast.engine.precision import Precision
from slowfast.engine.trainer import Trainer
from slowfast.utils import distributed
from slowfast.utils.logging import read_stats

pytestmark = pytest.mark.gpu

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = (
    "TRAIN.DATASET fake DATA_LOADER.NUM_WORKERS 0 TRAIN.BATCH_SIZE 4 DATA.NUM_FRAMES 16 "
    "DATA.TRAIN_CROP_SIZE 48 RESNET.WIDTH_PER_GROUP 4 AUDIO.WIDTH 4 LOG_PERIOD 1 NUM_GPUS 0 "
    "SOLVER.MAX_EPOCH 1 SOLVER.WARMUP_EPOCHS 0.0"
).split()
METHODS = {
    "stica": "StiCA/R2plus1D_pretrain.yaml STICA.HEAD_DROPOUT 0.0",
    **{
        name: f"Contrastive/{name}.yaml"
        for name in ("simclr", "moco", "npid", "cmc", "swav", "gdt", "avid", "mmv")
    },
    "classifier": "Kinetics/R2PLUS1D_18_30f.yaml MODEL.DROPOUT_RATE 0.0",
}
TOLERANCE = 0.02
"""Of weights after two steps, relative to the largest of each tensor."""


def make_cfg(folder, name, *words):
    path, *own = METHODS[name].split()
    keys = NO_OUTPUT | {"OUTPUT_DIR": str(folder), "TRAIN.AUTO_RESUME": True}
    given = ["DATA.DEMO_CFG", "", *SMALL, *own, *map(str, words)]
    return load_config(CONFIGS / path, given, assignments=keys).cfg


def train(cfg, device, steps):
    """Train up to a number of steps; returns the trainer and the losses of all steps."""
    torch.manual_seed(0)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TRAIN.MAX_STEPS = steps
    cfg.freeze()
    Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
    trainer = Trainer(cfg, device)
    trainer.train()
    records = read_stats(Path(cfg.OUTPUT_DIR))
    return trainer, [r["loss"] for r in records if r["_type"] == "train_iter"]


def assert_close(one, other):
    a, b = one.model.state_dict(), other.model.state_dict()
    assert a.keys() == b.keys()
    for name, value in a.items():
        value, there = value.cpu(), b[name].cpu()
        near = 0.0
        if value.is_floating_point():
            finite = value[value.isfinite()].abs()
            near = TOLERANCE * max(1e-3, float(finite.max()) if finite.numel() else 0.0)
        same = torch.equal(value.isfinite(), there.isfinite())
        assert same, name
        torch.testing.assert_close(there, value, rtol=0, atol=near, msg=f"{name} differs")


@pytest.mark.parametrize("name", METHODS)
def test_steps_equal_those_on_the_cpu(tmp_path, device, name):
    (on_cpu, expected), (on_device, found) = (
        train(make_cfg(tmp_path / str(number), name, "SOLVER.BASE_LR", 0.001), where, 2)
        for number, where in enumerate((torch.device("cpu"), device))
    )
    assert len(found) == 2
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert_close(on_cpu, on_device)


@pytest.mark.parametrize("name", ["stica", "avid", "moco"])
def test_a_resumed_run_equals_a_straight_one(tmp_path, device, name):
    straight, expected = train(make_cfg(tmp_path / "a", name), device, 4)
    train(make_cfg(tmp_path / "b", name), device, 2)
    resumed, found = train(make_cfg(tmp_path / "b", name), device, 4)
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert_close(straight, resumed)


def test_a_checkpoint_of_the_device_resumes_on_the_cpu(tmp_path, device):
    train(make_cfg(tmp_path, "stica"), device, 1)
    trainer, losses = train(make_cfg(tmp_path, "stica"), torch.device("cpu"), 2)
    assert trainer.steps_done == len(losses) == 2


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_reduced_precision_is_close_to_float32(tmp_path, device, dtype):
    _, expected = train(make_cfg(tmp_path / "a", "stica"), device, 2)
    words = ("TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_PRECISION_DTYPE", dtype)
    trainer, found = train(make_cfg(tmp_path / "b", "stica", *words), device, 2)
    assert trainer.precision.is_mixed
    assert found == pytest.approx(expected, rel=0.05)


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
        rows = torch.arange(6.0, device=device).view(2, 3).requires_grad_()
        gathered = distributed.gather_with_gradient(rows)
        (gathered * 2).sum().backward()
        assert torch.equal(gathered.detach(), rows.detach())
        assert torch.equal(rows.grad, torch.full_like(rows, 2.0))
        assert distributed.all_reduce_sum(torch.ones(2, device=device)).tolist() == [1.0, 1.0]
        trainer, losses = train(make_cfg(tmp_path / "run", "stica"), device, 2)
        assert trainer.steps_done == len(losses) == 2
    finally:
        torch.distributed.destroy_process_group()
