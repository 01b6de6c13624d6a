"""DEVICE: torch's global flags are set on a GPU, and left alone on the CPU."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from slowfast.config import get_cfg
from slowfast.utils.device_settings import DeviceSettings

CUDA = torch.backends.cuda
CUDNN = torch.backends.cudnn


def flags() -> dict[str, Any]:
    return {
        "benchmark": CUDNN.benchmark,
        "conv_tf32": CUDNN.allow_tf32,
        "matmul": torch.get_float32_matmul_precision(),
        "flash": CUDA.flash_sdp_enabled(),
        "mem_efficient": CUDA.mem_efficient_sdp_enabled(),
        "cudnn_sdp": CUDA.cudnn_sdp_enabled(),
    }


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = flags()
    yield
    CUDNN.benchmark, CUDNN.allow_tf32 = before["benchmark"], before["conv_tf32"]
    torch.set_float32_matmul_precision(before["matmul"])
    CUDA.enable_flash_sdp(before["flash"])
    CUDA.enable_mem_efficient_sdp(before["mem_efficient"])
    CUDA.enable_cudnn_sdp(before["cudnn_sdp"])
    assert flags() == before


@pytest.mark.parametrize(
    ("key", "names", "off"),
    [
        ("CUDNN_BENCHMARK", ["benchmark"], False),
        ("TF32", ["conv_tf32", "matmul"], "highest"),
        ("FUSED_ATTENTION", ["flash", "mem_efficient", "cudnn_sdp"], False),
    ],
)
def test_each_key_switches_its_flags_only(key, names, off) -> None:
    cfg = get_cfg()
    DeviceSettings.from_cfg(cfg).apply(torch.device("cuda"))
    on = flags()
    cfg.DEVICE[key] = False
    DeviceSettings.from_cfg(cfg).apply(torch.device("cuda"))
    changed = {name for name, value in flags().items() if value != on[name]}
    assert changed == set(names)
    assert flags()[names[-1]] == off


def test_defaults_are_those_of_a_gpu_and_are_logged(caplog) -> None:
    with caplog.at_level(logging.INFO):
        DeviceSettings.from_cfg(get_cfg()).apply(torch.device("cuda"))
    assert flags() == {
        "benchmark": True,
        "conv_tf32": True,
        "matmul": "high",
        "flash": True,
        "mem_efficient": True,
        "cudnn_sdp": True,
    }
    assert caplog.messages == [
        "settings of the GPU (DEVICE): CUDNN_BENCHMARK True, TF32 True, FUSED_ATTENTION True"
    ]


def test_the_cpu_is_left_alone(caplog) -> None:
    before = flags()
    cfg = get_cfg()
    cfg.DEVICE.FUSED_ATTENTION = False
    with caplog.at_level(logging.INFO):
        DeviceSettings.from_cfg(cfg).apply(torch.device("cpu"))
    assert flags() == before
    assert not caplog.messages
