import math

import pytest
import torch

from slowfast.models.lars import LARS


def _by_formula(weights, gradients, *, lr, momentum, decay, trust, nesterov=False):
    """The formula on lists of floats, step by step."""
    w, v = list(weights), None
    for g in gradients:
        norm_w = math.sqrt(sum(x * x for x in w))
        norm_g = math.sqrt(sum(x * x for x in g))
        local = trust * norm_w / (norm_g + decay * norm_w)
        change = [local * (a + decay * b) for a, b in zip(g, w, strict=True)]
        v = change if v is None else [momentum * a + b for a, b in zip(v, change, strict=True)]
        step = [c + momentum * a for c, a in zip(change, v, strict=True)] if nesterov else v
        w = [a - lr * s for a, s in zip(w, step, strict=True)]
    return w


def _run(start, gradients, **kwargs):
    param = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64))  # a matrix
    optimizer = LARS([param], **kwargs)
    for gradient in gradients:
        param.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    return param.detach()[0], optimizer


def test_biases_are_left_alone():
    """Neither adapted nor decayed, in a group that is both, as by PySlowFast's wrapper."""
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5])) for _ in range(2))
    options = {"lr": 0.3, "momentum": 0.9, "nesterov": True}
    optimizers = [
        LARS([ours], weight_decay=0.1, **options),
        torch.optim.SGD([theirs], weight_decay=0.0, **options),
    ]
    for gradient in GRADIENTS:
        for param, optimizer in zip((ours, theirs), optimizers, strict=True):
            param.grad = torch.tensor(gradient)
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


GRADIENTS = [[0.5, -1.0, 2.0], [0.1, 0.2, -0.3], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize("nesterov", [False, True])
def test_formula(nesterov):
    start = [1.0, -2.0, 0.5]
    got, _ = _run(
        start, GRADIENTS, lr=0.3, momentum=0.9, weight_decay=0.1, nesterov=nesterov,
        trust_coefficient=0.02,
    )  # fmt: skip
    expected = _by_formula(
        start, GRADIENTS, lr=0.3, momentum=0.9, decay=0.1, trust=0.02, nesterov=nesterov
    )
    assert got.tolist() == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_groups_that_are_not_adapted_take_steps_of_sgd(momentum, nesterov):
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5])) for _ in range(2))
    options = {"lr": 0.3, "momentum": momentum, "weight_decay": 0.1, "nesterov": nesterov}
    optimizers = [
        LARS([{"params": [ours], "apply_LARS": False}], **options),
        torch.optim.SGD([theirs], **options),
    ]
    for gradient in GRADIENTS:
        for param, optimizer in zip((ours, theirs), optimizers, strict=True):
            param.grad = torch.tensor(gradient)
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_zero_weights_and_zero_gradients_are_finite():
    got, _ = _run([0.0, 0.0], [[1.0, 2.0]], lr=0.1, momentum=0.0)
    assert got.tolist() == pytest.approx([-0.1, -0.2])
    got, _ = _run([1.0, 2.0], [[0.0, 0.0]], lr=0.1, momentum=0.0)
    assert got.tolist() == [1.0, 2.0]


def test_state_survives_saving():
    whole, _ = _run([1.0, -2.0, 0.5], GRADIENTS, lr=0.3)
    half, optimizer = _run([1.0, -2.0, 0.5], GRADIENTS[:2], lr=0.3)
    param = torch.nn.Parameter(half[None].clone())
    resumed = LARS([param], lr=1.0)
    resumed.load_state_dict(optimizer.state_dict())
    param.grad = torch.tensor([GRADIENTS[2]], dtype=torch.float64)
    resumed.step()
    torch.testing.assert_close(param.detach()[0], whole, rtol=0, atol=0)


def test_closure_and_parameters_without_gradient():
    param = torch.nn.Parameter(torch.ones(2))
    idle = torch.nn.Parameter(torch.ones(2))
    optimizer = LARS([param, idle], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = param.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 2.0
    assert param[0] < 1
    assert idle.tolist() == [1.0, 1.0]
