"""The hooks of a method: when they are called, with what, and what a checkpoint keeps of them."""

from typing import NamedTuple

import pytest
import torch
from helpers.synthetic import synthetic_cfg
from torch import Tensor, nn

from slowfast.engine.trainer import Trainer
from slowfast.models import build
from slowfast.models.method import Method, Progress, detached, without_media
from slowfast.models.optimizer import construct_optimizer

CPU = torch.device("cpu")


class Outputs(NamedTuple):
    logits: Tensor


class Recorder(Method):
    def __init__(self):
        super().__init__()
        self.head, self.fixed = nn.Linear(3, 3), nn.Linear(3, 3)
        self.calls = []
        self.shift = 0.0

    def setup(self, data):
        self.data = data
        self.register_buffer("counts", torch.zeros(data.num_rows))

    def forward(self, batch):
        assert torch.is_grad_enabled()
        self.calls.append(("forward", None))
        return Outputs(self.fixed(self.head(batch["video"].mean(dim=(1, 3, 4, 5)))))

    def before_epoch(self, progress):
        self.note("before_epoch", progress)

    def before_step(self, progress):
        self.note("before_step", progress)

    def after_backward(self, progress):
        self.note("after_backward", progress)
        assert self.fixed.weight.grad is not None
        self.fixed.weight.grad = None

    def after_batch(self, outputs, batch, progress):
        self.note("after_batch", progress)
        assert not outputs.logits.requires_grad
        assert "video" not in batch
        self.counts[batch["index"]] += 1

    def after_step(self, progress):
        self.note("after_step", progress)

    def note(self, name, progress):
        assert not torch.is_grad_enabled()
        self.calls.append((name, progress))

    def rank_state(self):
        return {"shift": torch.tensor(self.shift)}

    def load_rank_state(self, state):
        self.shift = float(state["shift"])


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    def loss(cfg):
        return lambda outputs, batch: {
            "loss": nn.functional.cross_entropy(outputs.logits, batch["label"])
        }

    registries = ((build.MODEL_REGISTRY, lambda cfg: Recorder()), (build.LOSS_REGISTRY, loss))
    for registry, entry in registries:
        monkeypatch.setattr(registry, "_obj_map", dict(registry._obj_map))
        monkeypatch.setattr(registry, "_capabilities", dict(registry._capabilities))
        registry.register_as("recorder")(entry)


def make(output_dir, *words):
    names = ("MODEL.MODEL_NAME", "recorder", "MODEL.LOSS_FUNC", "recorder", "LOG_MODEL_INFO", False)
    return Trainer(synthetic_cfg(output_dir, *names, *words), CPU)


def test_when_hooks_are_called(tmp_path):
    trainer = make(tmp_path, "SOLVER.ACCUMULATE_STEPS", 3, "SOLVER.MAX_EPOCH", 2)
    method = trainer.model
    fixed = method.fixed.weight.clone()
    trainer.train()
    step = ["before_step", *3 * ["forward"], "after_backward", *3 * ["after_batch"], "after_step"]
    assert [name for name, _ in method.calls] == 2 * ["before_epoch", *step]
    assert torch.equal(method.fixed.weight, fixed)  # its gradient was taken away
    assert method.counts.sum() == 2 * 3 * 4
    before, after = (method.calls[i][1] for i in (1, 8))
    assert before == Progress(0, 0, 0.0, 2, 1, stepped=False)
    assert after == before._replace(stepped=True)
    assert [p.step for name, p in method.calls if name == "after_step"] == [0, 1]


def test_what_a_method_knows_of_the_data(tmp_path):
    data = make(tmp_path).model.data
    assert data == (13, 13, 3, 4, 1)


def test_a_resumed_run_calls_before_epoch_only_at_its_beginning(tmp_path):
    first = make(tmp_path, "TRAIN.MAX_STEPS", 2)
    first.model.shift = 0.25
    first.train()
    second = make(tmp_path)
    assert second.model.shift == 0.25
    assert torch.equal(second.model.counts, first.model.counts)
    second.train()
    epochs = [p.step for name, p in second.model.calls if name == "before_epoch"]
    assert epochs == [3]


def test_own_groups_of_parameters(tmp_path):
    cfg = synthetic_cfg(tmp_path)

    class Own(Recorder):
        def parameter_groups(self, cfg):
            return [{"params": [self.head.weight], "weight_decay": 0.5}]

    (group,) = construct_optimizer(Own(), cfg).param_groups
    assert len(group["params"]) == 1
    assert group["weight_decay"] == 0.5
    assert len(construct_optimizer(Recorder(), cfg).param_groups[0]["params"]) > 1


def test_what_is_kept_of_a_batch():
    batch = {"video": torch.zeros(1, 1, 3, 2, 4, 4), "audio": torch.zeros(1, 1, 1, 4, 5)}
    batch |= {"label": torch.zeros(1), "clip_start_sec": torch.zeros(1, 2)}
    assert set(without_media(batch)) == {"label", "clip_start_sec"}
    x = torch.ones(2, requires_grad=True) * 2
    cut = detached(Outputs({"a": [x], "b": (x, None)}))
    assert isinstance(cut, Outputs)
    assert not cut.logits["a"][0].requires_grad
    assert not cut.logits["b"][0].requires_grad
    assert cut.logits["b"][1] is None
