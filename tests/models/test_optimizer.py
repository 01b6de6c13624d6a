import io

import pytest
import torch
from helpers.configs import make_cfg
from torch import nn

from slowfast.config import get_cfg
from slowfast.models.batch_norm import SyncBatchNorm1d
from slowfast.models.checks import check_solver
from slowfast.models.lars import LARS
from slowfast.models.optimizer import (
    FusedSGD,
    clip_gradients,
    construct_optimizer,
    get_epoch_lr,
    load_optimizer_state,
    parameter_groups,
    set_lr,
)


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
    [("sgd", FusedSGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
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


def _train(method, fused, steps=6, start=None, **solver):
    cfg = get_cfg()
    cfg.SOLVER.OPTIMIZING_METHOD, cfg.SOLVER.FUSED, cfg.SOLVER.BASE_LR = method, fused, 0.01
    cfg.SOLVER.WEIGHT_DECAY = 0.01
    for key, value in solver.items():
        cfg.SOLVER[key] = value
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8), nn.Linear(5, 7))
    model[0].to(memory_format=torch.channels_last_3d)
    optimizer = construct_optimizer(model, cfg)
    if start is not None:
        model.load_state_dict(start[0])
        load_optimizer_state(optimizer, start[1])
    noise = torch.Generator().manual_seed(1 if start is None else 2)
    for _ in range(steps):
        set_lr(optimizer, 0.01)
        for param in model.parameters():
            param.grad = torch.empty_like(param).copy_(torch.randn(param.shape, generator=noise))
        optimizer.step()
    return model, optimizer


@pytest.mark.parametrize(
    ("method", "solver"),
    [
        ("sgd", {"NESTEROV": False, "DAMPENING": 0.1}),
        ("sgd", {"NESTEROV": True}),
        ("sgd", {"NESTEROV": False, "MOMENTUM": 0.0}),
        ("adam", {}),
        ("adamw", {"BETAS": [0.9, 0.98]}),
    ],
)
def test_the_fused_optimizer_takes_the_same_steps(method, solver):
    plain, slow = _train(method, False, **solver)
    fused, fast = _train(method, True, **solver)
    assert bool(fast.defaults["fused"]) is not bool(solver.get("DAMPENING"))
    assert not slow.defaults["fused"]
    for a, b in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["sgd", "adam", "adamw"])
def test_a_first_step_that_loss_scaling_skips_leaves_no_trace(method):
    cfg = get_cfg()
    cfg.SOLVER.OPTIMIZING_METHOD, cfg.SOLVER.WEIGHT_DECAY = method, 0.0
    model = nn.Linear(300, 300)
    optimizer = construct_optimizer(model, cfg)
    before = model.weight.detach().clone()
    scaler = torch.amp.GradScaler("cpu")
    # Freed memory full of NaN: what is read without having been written shows.
    _ = [torch.full((300, 300), float("nan")) for _ in range(20)]
    del _
    for gradient in (float("inf"), 0.0):
        scaler.scale(torch.ones(()))
        for param in model.parameters():
            param.grad = torch.full_like(param, gradient)
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
    assert torch.equal(model.weight.detach(), before)


@pytest.mark.parametrize("method", ["sgd", "adam", "adamw"])
def test_a_parameter_that_gets_its_first_gradient_later(method):
    weights = []
    for fused in (True, False):
        cfg = get_cfg()
        cfg.SOLVER.OPTIMIZING_METHOD, cfg.SOLVER.FUSED = method, fused
        model = nn.Linear(3, 2)
        nn.init.ones_(model.weight)
        nn.init.ones_(model.bias)
        optimizer = construct_optimizer(model, cfg)
        for step in range(3):
            model.weight.grad = torch.full_like(model.weight, 0.5)
            model.bias.grad = torch.full_like(model.bias, 0.25) if step else None
            optimizer.step()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-6, atol=1e-7)


def test_lars_has_no_fused_form():
    _, optimizer = _train("sgd", True, LARS_ON=True, NESTEROV=False)
    assert "fused" not in optimizer.param_groups[0]


@pytest.mark.parametrize("method", ["sgd", "adamw"])
@pytest.mark.parametrize("fused", [True, False])
def test_a_run_resumes_with_the_other_form_of_its_optimizer(caplog, method, fused):
    model, optimizer = _train(method, fused, steps=3)
    saved = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict()), saved)

    def start():
        saved.seek(0)
        return torch.load(saved)

    same, _ = _train(method, fused, steps=3, start=start())
    with caplog.at_level("INFO"):
        other, resumed = _train(method, not fused, steps=3, start=start())
    assert resumed.param_groups[0]["fused"] is not fused
    assert "the configuration has changed since: fused" in caplog.text
    for a, b in zip(other.parameters(), same.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limit", [None, 0, 0.1, 1e6])
def test_clipping_is_that_of_torch_and_without_a_limit_gradients_stay(limit):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    gradients = [torch.randn_like(p) for p in model.parameters()]
    for param, gradient in zip(model.parameters(), gradients, strict=True):
        param.grad = gradient.clone()
    held = [p.grad for p in model.parameters()]
    versions = [g._version for g in held]
    norm = clip_gradients(model, clip_value=None, clip_norm=limit)
    reference = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for param, gradient in zip(reference, gradients, strict=True):
        param.grad = gradient.clone()
    bound = limit or float("inf")
    assert torch.equal(norm, nn.utils.clip_grad_norm_(reference, bound))
    for a, b in zip(held, reference, strict=True):
        assert torch.equal(a, b.grad)
    assert ([g._version for g in held] == versions) == (not limit)  # one pass, not two


@pytest.mark.parametrize("key", ["SOLVER.CLIP_GRAD_VAL", "SOLVER.CLIP_GRAD_L2NORM"])
@pytest.mark.parametrize("value", ["abc", [0], -1.0, True])
def test_a_limit_is_a_number_that_is_not_negative(key, value):
    cfg = get_cfg()
    section, name = key.split(".")
    cfg[section][name] = value
    (problem,) = check_solver(cfg)
    assert (problem.key, problem.message.split(";")[0]) == (
        key,
        f"got {value!r}, expected a number, 0 or more",
    )
