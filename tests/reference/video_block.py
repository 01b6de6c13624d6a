"""The (2+1)D residual block in numpy: convolution loops over kernel positions."""

from __future__ import annotations

import numpy as np


def conv3d(x, weight, stride, padding):
    """Cross-correlate (B, C, T, H, W) with (O, C, kt, kh, kw)."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    kernel = weight.shape[2:]
    size = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    out = np.zeros((x.shape[0], weight.shape[0], *size))
    for at in np.ndindex(*kernel):
        window = tuple(
            slice(c, c + s * (n - 1) + 1, s) for c, s, n in zip(at, stride, size, strict=True)
        )
        seen = x[(slice(None), slice(None), *window)]
        out += np.einsum("bcthw,oc->bothw", seen, weight[(slice(None), slice(None), *at)])
    return out


def batch_norm(x, state, name, eps=1e-5):
    """Normalize by running statistics."""
    mean, var, weight, bias = (
        state[f"{name}.{part}"].reshape(1, -1, 1, 1, 1)
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(var + eps) * weight + bias


def conv_2plus1d(x, state, name, stride):
    """Space, batch norm, ReLU, time."""
    x = conv3d(x, state[f"{name}.0.weight"], (1, stride, stride), (0, 1, 1))
    x = np.maximum(batch_norm(x, state, f"{name}.1"), 0)
    return conv3d(x, state[f"{name}.3.weight"], (stride, 1, 1), (1, 0, 0))


def block_2plus1d(x, state, stride):
    """The whole block in evaluation mode; ``state`` maps torchvision's names to arrays."""
    out = np.maximum(batch_norm(conv_2plus1d(x, state, "conv1.0", stride), state, "conv1.1"), 0)
    out = batch_norm(conv_2plus1d(out, state, "conv2.0", 1), state, "conv2.1")
    if "downsample.0.weight" in state:
        x = conv3d(x, state["downsample.0.weight"], (stride, stride, stride), (0, 0, 0))
        x = batch_norm(x, state, "downsample.1")
    return np.maximum(out + x, 0)
