import pytest
import simplejson
import torch
from torch import nn

import slowfast.engine.registrations  # noqa: F401
from slowfast.config import load_config
from slowfast.datasets.preprocess.batch import build_preprocess
from slowfast.engine.precision import Precision
from slowfast.models.build import construct_model
from slowfast.utils.env import full_precision, has_fast_bf16
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


BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32


@pytest.mark.filterwarnings("ignore:torch.cuda.amp.GradScaler is enabled")
@pytest.mark.parametrize(
    ("mixed", "name", "device", "is_fast", "expected"),
    [
        ("False", "bf16", "cpu", True, FP32),
        ("auto", "auto", "cpu", True, BF16),
        ("auto", "auto", "cpu", False, FP32),
        ("auto", "bf16", "cpu", False, FP32),
        ("auto", "auto", "cuda", True, BF16),
        ("auto", "auto", "cuda", False, FP32),
        ("True", "auto", "cpu", True, BF16),
        ("True", "auto", "cpu", False, FP32),
        ("True", "bf16", "cpu", False, BF16),
        ("True", "auto", "cuda", True, BF16),
        ("True", "auto", "cuda", False, FP16),
        ("True", "fp16", "cuda", True, FP16),
    ],
)
def test_the_dtype_follows_key_and_hardware(
    monkeypatch, caplog, mixed, name, device, is_fast, expected
):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: is_fast)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: is_fast)
    words = ["TRAIN.MIXED_PRECISION", mixed, "TRAIN.MIXED_PRECISION_DTYPE", name]
    cfg = load_config(None, words, validate=False).cfg
    with caplog.at_level("INFO"):
        precision = Precision.from_cfg(cfg, torch.device(device))
    assert precision.dtype == expected
    if mixed == "False":
        assert caplog.text == ""
    else:
        assert f"TRAIN.MIXED_PRECISION is {mixed}" in caplog.text
        assert precision.dtype_name in caplog.text


def test_amx_is_as_good_as_avx512_bf16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    for has_amx in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has_amx=has_amx: has_amx)
        assert has_fast_bf16(torch.device("cpu")) is has_amx


@pytest.mark.parametrize(
    ("switch", "mixed", "expected"),
    [("auto", "False", False), ("auto", "True", True), ("True", "False", True),
     ("False", "True", False)],
)  # fmt: skip
def test_the_memory_format_follows_the_precision(switch, mixed, expected):
    words = ["TRAIN.MIXED_PRECISION_DTYPE", "bf16", "TRAIN.MIXED_PRECISION", mixed]
    words += ["MODEL.CHANNELS_LAST", switch, "NUM_GPUS", "0", "RESNET.WIDTH_PER_GROUP", "4"]
    words += ["MODEL.MODEL_NAME", "VideoResNet", "MODEL.ARCH", "r3d_18"]
    cfg = load_config(None, words, validate=False).cfg
    weight = next(construct_model(cfg).parameters())
    batch = build_preprocess(cfg, train=False)({"video": torch.zeros(2, 1, 4, 8, 8, 3).byte()})
    for tensor in (weight, batch["video"][:, 0]):
        assert tensor.is_contiguous(memory_format=torch.channels_last_3d) is expected


def test_full_precision_within_autocast_and_without_values():
    x = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with full_precision(x.device):
            assert (x @ x).dtype == torch.float32
    with full_precision(torch.device("meta")):
        assert (x.to("meta") @ x.to("meta")).dtype == torch.float32
