import copy

import pytest
import torch
from torch import nn

from slowfast.models.contrastive.ema import EmaEncoder, cosine_momentum
from slowfast.models.method import Progress

PROGRESS = Progress(step=3, epoch=1, epoch_float=1.5, max_epoch=4, steps_per_epoch=2, stepped=True)


def encoder():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def trained(module):
    """Give every weight and statistic another value."""
    with torch.no_grad():
        for value in module.state_dict().values():
            value.copy_(torch.rand_like(value.float()) + 1)
    return module


def test_the_first_step_copies_weights_and_statistics_and_later_ones_do_not():
    online = encoder()
    ema = EmaEncoder(online, momentum=0.9)
    trained(online)  # such as weights loaded from a file
    ema.before_step(online)
    for name, value in online.state_dict().items():
        assert torch.equal(ema.encoder.state_dict()[name], value), name
    trained(online)
    ema.before_step(online)
    assert not torch.equal(ema.encoder[0].weight, online[0].weight)


def test_after_a_resume_nothing_is_copied():
    ema = EmaEncoder(encoder(), momentum=0.9)
    ema.before_step(trained(encoder()))
    resumed = EmaEncoder(encoder(), momentum=0.9)
    resumed.load_state_dict(ema.state_dict())
    resumed.before_step(encoder())
    for name, value in ema.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


@pytest.mark.parametrize(("schedule", "momentum"), [("constant", 0.9), ("cosine", None)])
def test_parameters_are_averaged_and_statistics_are_not(schedule, momentum):
    online = encoder().double()
    ema = EmaEncoder(online, momentum=0.9, schedule=schedule)
    ema.before_step(online)
    old = copy.deepcopy(ema.encoder.state_dict())
    new = trained(online).state_dict()
    ema.after_step(online, PROGRESS)
    m = momentum or cosine_momentum(0.9, 1.5, 4)
    parameters = dict(ema.encoder.named_parameters())
    for name, value in ema.encoder.state_dict().items():
        expected = m * old[name] + (1 - m) * new[name] if name in parameters else old[name]
        torch.testing.assert_close(value, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("stepped", [True, False])
def test_a_device_decides_whether_a_step_is_skipped(stepped):
    online = encoder()
    ema = EmaEncoder(online, momentum=0.9)
    ema.before_step(online)
    expected = copy.deepcopy(ema)
    trained(online)
    if stepped:
        expected.after_step(online, PROGRESS)
    ema.after_step(online, PROGRESS._replace(stepped=torch.tensor(stepped)))
    rtol, atol = (1e-6, 1e-8) if stepped else (0.0, 0.0)  # of sums that nearly cancel
    torch.testing.assert_close(ema.state_dict(), expected.state_dict(), rtol=rtol, atol=atol)


def test_it_has_no_gradient_and_statistics_of_its_own_batches():
    online = encoder().train()
    ema = EmaEncoder(online, momentum=0.5).train()
    x = torch.randn(6, 3, requires_grad=True)
    key = ema(x)
    assert not key.requires_grad
    assert not any(p.requires_grad for p in ema.parameters())
    assert ema.encoder[1].num_batches_tracked == 1
    assert online[1].num_batches_tracked == 0
    torch.testing.assert_close(key, online(x).detach())


def test_the_cosine_begins_at_the_momentum_and_ends_at_one():
    values = [cosine_momentum(0.99, epoch, 10) for epoch in (0, 2.5, 5, 10)]
    assert values[0] == pytest.approx(0.99, abs=1e-15)
    assert values[2] == pytest.approx(0.995, abs=1e-15)
    assert values[3] == 1
    assert values == sorted(values)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"momentum": 1.1}, r"momentum: got 1\.1; expected 0 to 1"),
        ({"momentum": 0.9, "schedule": "linear"}, "schedule: got 'linear'"),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        EmaEncoder(encoder(), **kwargs)


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (nn.Sequential(nn.Linear(3, 4)), r"1\.bias"),
        (nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)), r"0\.weight"),
    ],
)
def test_another_encoder_is_refused(other, name):
    with pytest.raises(ValueError, match=f"not the encoder that was copied.*{name}"):
        EmaEncoder(encoder(), momentum=0.9).before_step(other)
