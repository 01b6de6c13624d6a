import simplejson
import torch
from torch import nn

from slowfast.engine.precision import Precision
from slowfast.utils.logging import json_stats
from slowfast.utils.meters import LossMeter


def _weight_gradient(conv, x, precision):
    conv.zero_grad()
    # Freed memory full of NaN: what is read without having been written shows.
    _ = [torch.full((size,), float("nan")) for size in (10**3, 10**5, 10**6)]
    del _
    with precision.autocast():
        y = conv(x)
    (y.float() * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
    return conv.weight.grad.clone()


def test_reduced_precision_gives_the_gradient_of_full_precision_on_short_clips():
    cpu = torch.device("cpu")
    torch.manual_seed(0)
    for kernel, frames in [(3, 1), (3, 2), (3, 3), (5, 2), (5, 4), (5, 5)]:
        padding = (kernel // 2, 0, 0)
        conv = nn.Conv3d(16, 8, (kernel, 1, 1), padding=padding, bias=False)
        conv = conv.to(memory_format=torch.channels_last_3d)
        x = torch.randn(8, 16, frames, 3, 3).contiguous(memory_format=torch.channels_last_3d)
        x.requires_grad_()
        exact = _weight_gradient(conv, x, Precision(cpu))
        for _ in range(4):
            reduced = _weight_gradient(conv, x, Precision(cpu, torch.bfloat16))
            error = (reduced - exact).norm() / exact.norm()
            assert error < 0.02, (kernel, frames, float(error))


def test_reduced_precision_is_used_where_the_kernel_fits():
    conv = nn.Conv3d(3, 4, (3, 1, 1), padding=(1, 0, 0))
    with Precision(torch.device("cpu"), torch.bfloat16).autocast():
        assert conv(torch.randn(1, 3, 3, 2, 2)).dtype == torch.bfloat16
        assert conv(torch.randn(1, 3, 2, 2, 2)).dtype == torch.float32
    assert conv(torch.randn(1, 3, 2, 2, 2)).dtype == torch.float32


def test_a_step_that_loss_scaling_skipped_does_not_end_the_log():
    meter = LossMeter(3)
    meter.update({"loss": 2.0, "grad_norm": float("inf")})
    meter.update({"loss": 4.0, "grad_norm": 1.0})
    assert meter.mean() == {"loss": 3.0, "grad_norm": 1.0}
    line = json_stats({"grad_norm": float("inf"), "loss": 3.0})
    assert simplejson.loads(line.removeprefix("json_stats: ")) == {"grad_norm": None, "loss": 3.0}
