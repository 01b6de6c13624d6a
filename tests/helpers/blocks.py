"""Layers with weights far from their initial values, to be compared with an oracle in numpy."""

import numpy as np
import torch


def randomize(block):
    """Sample all weights, in float64 and evaluation mode; return them as arrays by name."""
    torch.manual_seed(1)
    for name, value in block.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + (0.5 if "running_var" in name else -0.5))
    block.double().eval()
    return {name: value.numpy() for name, value in block.state_dict().items()}


def assert_computes(block, x, expected):
    """The block makes of x, which it may not need any more, what the oracle made of it."""
    with torch.no_grad():
        got = block(x.clone()).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
