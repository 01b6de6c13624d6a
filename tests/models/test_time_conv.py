"""Convolutions over time against torch's 3D convolution, the slow oracle."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from slowfast.config import load_config
from slowfast.models import time_conv
from slowfast.models.build import construct_model
from slowfast.models.time_conv import TimeConv3d, conv_over_time

FORMATS = (torch.contiguous_format, torch.channels_last_3d)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def gradients(y, *inputs):
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    return torch.autograd.grad((y * weight).sum(), inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("has_bias", [True, False])
def test_values_and_gradients_are_those_of_conv3d(dtype, layout, has_bias):
    torch.manual_seed(0)
    for kernel, padding, groups in itertools.product((1, 3, 5), (0, 1, 2), (1, 2, 4)):
        x = torch.randn(2, 4, 6, 3, 2, dtype=dtype).to(memory_format=layout).requires_grad_()
        w = torch.randn(8, 4 // groups, kernel, 1, 1, dtype=dtype, requires_grad=True)
        bias = torch.randn(8, dtype=dtype, requires_grad=True) if has_bias else None
        inputs = (x, w) if bias is None else (x, w, bias)
        expected = F.conv3d(x, w, bias, padding=(padding, 0, 0), groups=groups)
        options = {"padding": padding, "groups": groups}
        got = conv_over_time(x, w, bias, **options)
        rounding = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
        torch.testing.assert_close(got, expected, **rounding, msg=str(options))
        pairs = zip(gradients(got, *inputs), gradients(expected, *inputs), strict=True)
        for a, b in pairs:
            torch.testing.assert_close(a, b, **rounding, msg=str(options))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("groups", [1, 6])
def test_the_module_is_an_ordinary_convolution(monkeypatch, layout, groups):
    used = []
    monkeypatch.setattr(
        time_conv, "conv_over_time", lambda *a, **k: used.append(1) or conv_over_time(*a, **k)
    )
    torch.manual_seed(0)
    plain = nn.Conv3d(6, 6, (3, 1, 1), padding=(1, 0, 0), groups=groups, bias=False)
    fast = TimeConv3d(6, 6, (3, 1, 1), padding=(1, 0, 0), groups=groups, bias=False)
    fast.load_state_dict(plain.state_dict())
    for clips in (1, 15):
        x = torch.randn(clips, 6, 4, 5, 5).to(memory_format=layout).requires_grad_()
        got, expected = fast(x), plain(x)
        assert used.pop()
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
        for a, b in zip(
            gradients(got, x, fast.weight), gradients(expected, x, plain.weight), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        if layout is torch.channels_last_3d and clips > 1:
            assert got.is_contiguous(memory_format=layout)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace")
@pytest.mark.usefixtures("one_thread")
def test_elsewhere_it_is_the_same_kernel(monkeypatch):
    monkeypatch.setattr(time_conv, "conv_over_time", lambda *_, **__: pytest.fail("2D was used"))

    def conv(kernel=3, padding=1, **options):
        return TimeConv3d(2, 2, (kernel, 1, 1), padding=(padding, 0, 0), **options)

    x = torch.randn(2, 2, 6, 3, 3)
    conv()(torch.randn(16, 2, 6, 3, 3))
    conv(stride=(2, 1, 1))(x)
    conv(stride=(1, 2, 2))(x)
    conv(dilation=(2, 1, 1))(x)
    conv(1, 0)(x)
    conv(padding_mode="replicate")(x)
    conv().double()(x.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        conv()(x)
    torch.jit.trace(conv(), x, check_trace=False)
    torch.export.export(conv(), (x,))
    off = conv()
    off.may_use_2d = False
    off(x)
    torch.set_num_threads(2)
    conv()(x)


@pytest.mark.parametrize(
    ("kernel", "padding"), [((3, 3, 3), 0), ((1, 3, 1), 0), ((3, 1, 1), 1), (3, 1)]
)
def test_a_kernel_over_space_is_refused(kernel, padding):
    with pytest.raises(ValueError, match=r"TimeConv3d: got .*expected \(T, 1, 1\)"):
        TimeConv3d(2, 2, kernel, padding=padding)


@pytest.mark.parametrize("arch", ["r2plus1d_18", "slow", "s3d"])
def test_models_use_it_and_a_key_switches_it_off(arch):
    names = {"r2plus1d_18": "VideoResNet", "slow": "ResNet", "s3d": "S3D"}
    words = ["MODEL.MODEL_NAME", names[arch], "MODEL.ARCH", arch, "RESNET.WIDTH_PER_GROUP", "4"]
    words += ["DATA.INPUT_CHANNEL_NUM", "[3]", "NUM_GPUS", "0"]
    for value in (True, False):
        cfg = load_config(None, [*words, "MODEL.FAST_TIME_CONV", str(value)], validate=False).cfg
        modules = list(construct_model(cfg).modules())
        switches = [m.may_use_2d for m in modules if isinstance(m, TimeConv3d)]
        assert switches
        assert set(switches) == {value}
        longer = [m for m in modules if isinstance(m, nn.Conv3d) and m.kernel_size[0] > 1]
        over_time = [m for m in longer if m.kernel_size[1:] == (1, 1)]
        assert all(isinstance(m, TimeConv3d) for m in over_time)
