import pytest
import torch
from helpers.configs import make_cfg
from torch import nn

from slowfast.models.batch_norm import SyncBatchNorm1d
from slowfast.models.lars import LARS
from slowfast.models.optimizer import construct_optimizer, get_epoch_lr, parameter_groups, set_lr


class _Model(nn.Module):
    num_layers = 2

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 3))
        self.body = nn.Sequential(nn.Linear(3, 4), SyncBatchNorm1d(4))
        self.scale = nn.Parameter(torch.ones(4))
        self.head = nn.Linear(4, 2)

    def no_weight_decay(self):
        return {"token"}

    def layer_id(self, name):
        return {"head": 2, "body": 1}.get(name.split(".")[0], 0)


def _cfg(**solver):
    return make_cfg("SOLVER.WEIGHT_DECAY 0.01 BN.WEIGHT_DECAY 0.002", "SOLVER", **solver)


def _by_name(model, groups, key):
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: group[key] for group in groups for p in group["params"]}


@pytest.mark.parametrize("zero_flat", [False, True])
def test_weight_decay(zero_flat):
    model = _Model()
    groups = parameter_groups(model, _cfg(ZERO_WD_1D_PARAM=zero_flat))
    flat = 0.0 if zero_flat else 0.01
    assert _by_name(model, groups, "weight_decay") == {
        "token": 0.0,
        "scale": flat,
        "body.0.weight": 0.01,
        "body.0.bias": flat,
        "body.1.weight": 0.002,
        "body.1.bias": 0.002,
        "head.weight": 0.01,
        "head.bias": flat,
    }


def test_names_without_weight_decay_match_whole_parts():
    model = nn.Module()
    model.inner = _Model()
    model.subtoken = nn.Parameter(torch.zeros(2, 2))
    model.no_weight_decay = lambda: {"token"}
    decay = _by_name(model, parameter_groups(model, _cfg()), "weight_decay")
    assert decay["inner.token"] == 0.0
    assert decay["subtoken"] == 0.01


def test_frozen_parameters_are_left_out_and_shared_ones_counted_once():
    model = _Model()
    model.head.requires_grad_(False)
    model.again = nn.Linear(3, 4)
    model.again.weight = model.body[0].weight
    model.again.bias = model.body[0].bias
    groups = parameter_groups(model, _cfg())
    assert sum(len(group["params"]) for group in groups) == 6


def test_layer_decay_scales_the_rate():
    model = _Model()
    optimizer = construct_optimizer(model, _cfg(LAYER_DECAY=0.1))
    set_lr(optimizer, 0.5)
    rates = _by_name(model, optimizer.param_groups, "lr")
    assert rates["head.weight"] == 0.5
    assert rates["body.0.weight"] == pytest.approx(0.05)
    assert rates["token"] == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("method", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_methods(method, kind):
    optimizer = construct_optimizer(_Model(), _cfg(OPTIMIZING_METHOD=method, BETAS=[0.8, 0.9]))
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    if method == "sgd":
        assert (group["momentum"], group["nesterov"], group["dampening"]) == (0.9, True, 0.0)
    else:
        assert group["betas"] == (0.8, 0.9)


def test_lars():
    model = _Model()
    optimizer = construct_optimizer(model, _cfg(LARS_ON=True, ZERO_WD_1D_PARAM=True))
    assert isinstance(optimizer, LARS)
    adapted = _by_name(model, optimizer.param_groups, "apply_LARS")
    norms = {name for name in adapted if name.startswith("body.1.")}
    assert {name for name, on in adapted.items() if not on} == norms
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    sum(p.sum() for p in model.parameters()).backward()
    set_lr(optimizer, 0.5)
    optimizer.step()
    for name, param in model.named_parameters():
        rate = 1.9 * 0.5  # of a first step with nesterov; the gradient is 1
        if param.dim() == 1 and name not in norms:  # neither adapted nor decayed
            torch.testing.assert_close(param.detach(), before[name] - rate)
        elif param.dim() == 2:
            assert (param - before[name]).abs().max() < 0.1


@pytest.mark.parametrize(
    ("model", "solver", "message"),
    [
        (_Model().requires_grad_(False), {}, "no trainable parameter.*MODEL.DETACH_FINAL_FC"),
        (nn.Linear(2, 2), {"LAYER_DECAY": 0.5}, "LAYER_DECAY: got 0.5, but Linear has no"),
        (
            *(_Model(), {"OPTIMIZING_METHOD": "mt_adamw"}),
            "SOLVER.OPTIMIZING_METHOD: got 'mt_adamw'.*use adamw",
        ),
        (
            *(_Model(), {"LARS_ON": True, "OPTIMIZING_METHOD": "adam"}),
            "SOLVER.LARS_ON: LARS adapts SGD.*'adam'",
        ),
    ],
)
def test_mistakes(model, solver, message):
    with pytest.raises(ValueError, match=message):
        construct_optimizer(model, _cfg(**solver))


def test_get_epoch_lr():
    cfg = _cfg(LR_POLICY="constant", BASE_LR=0.2, BASE_BATCH_SIZE=8)
    assert get_epoch_lr(0.5, cfg, 16) == pytest.approx(0.4)


def test_parts_have_rates_of_their_own():
    model = nn.ModuleDict({name: nn.Linear(2, 2) for name in ("backbone", "pooling", "head")})
    cfg = _cfg(BACKBONE_LR_FACTOR=0.1, POOLING_LR_FACTOR=0.5)
    optimizer = construct_optimizer(model, cfg)
    set_lr(optimizer, 2.0)
    rates = _by_name(model, optimizer.param_groups, "lr")
    assert {name.split(".")[0]: rate for name, rate in rates.items()} == {
        "backbone": pytest.approx(0.2),
        "pooling": pytest.approx(1.0),
        "head": 2.0,
    }
