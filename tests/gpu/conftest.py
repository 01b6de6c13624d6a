"""The device that these tests compare with the CPU."""

import os

import pytest
import torch


@pytest.fixture
def device():
    """The GPU; SLOWFAST_TEST_DEVICE=cpu compares the CPU with itself, which tests the tests."""
    name = os.environ.get("SLOWFAST_TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    yield torch.device(name)
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_float32_matmul_precision(before[1])
